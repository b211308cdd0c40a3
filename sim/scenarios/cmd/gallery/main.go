// Gallery plays the scenarios of sim/scenarios and writes one HTML page for each and one that leads to them.
//
//	gallery -out sim-report [-pictures docs/images] [NAME...]
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdautoscaler/pdautoscaler/sim/report"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
	"github.com/pdautoscaler/pdautoscaler/sim/scenarios"
)

func main() {
	out := flag.String("out", "sim-report", "folder for the pages")
	pictures := flag.String("pictures", "", "folder for an SVG of the planner's time line of each scenario; empty writes none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *pictures, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gallery:", err)
		os.Exit(1)
	}
}

// run plays the named scenarios, or all.
func run(ctx context.Context, out, pictures string, names []string, w io.Writer) error {
	if len(names) == 0 {
		names = scenarios.Names()
	}
	for _, dir := range []string{out, pictures} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	played := make([]report.Input, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // each may hold a day of traffic
	for i, name := range names {
		group.Go(func() (err error) {
			played[i], err = play(ctx, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return write(out, pictures, names, played, w)
}

func play(ctx context.Context, name string) (in report.Input, err error) {
	if in.Text, err = scenarios.Read(name); err != nil {
		return in, err
	}
	file, err := scenario.Parse([]byte(in.Text), name+".yaml")
	if err != nil {
		return in, err
	}
	if in.Scenario, err = scenario.Build(file, name+".yaml", scenario.Options{}); err != nil {
		return in, err
	}
	in.Scenario.Timelines = true
	in.Report, err = in.Scenario.Run(ctx, time.Now, nil)
	return in, err
}

func write(out, pictures string, names []string, played []report.Input, w io.Writer) error {
	var entries []report.Entry
	for i, in := range played {
		page := names[i] + ".html"
		if err := create(filepath.Join(out, page), func(w io.Writer) error { return report.Write(w, in) }); err != nil {
			return err
		}
		if pictures != "" {
			if err := create(filepath.Join(pictures, "sim-"+names[i]+".svg"), func(w io.Writer) error { return report.Picture(w, in, "pdautoscaler") }); err != nil {
				return err
			}
		}
		entry := report.EntryOf(in, page)
		entries = append(entries, entry)
		fmt.Fprintf(w, "\n%s\n\n", entry.Title)
		if err := in.Report.Table(w); err != nil {
			return err
		}
	}
	if err := create(filepath.Join(out, "results.md"), func(w io.Writer) error { return results(w, played) }); err != nil {
		return err
	}
	err := create(filepath.Join(out, "index.html"), func(w io.Writer) error {
		return report.WriteIndex(w, report.Heading{Title: "Simulated scenarios",
			About: "One service, Qwen3-32B on H200, under loads that each show one thing. Every policy has the same limits, start-up times and readings."}, entries)
	})
	fmt.Fprintf(w, "\npages: %s\n", filepath.Join(out, "index.html"))
	return err
}

// results is the table of all policies and scenarios for a document: what was attained, on how many GPU-hours.
func results(w io.Writer, played []report.Input) error {
	head, rule := "| policy |", "|---|"
	cells := map[string]map[int]string{}
	var order []string
	for i, in := range played {
		head += " " + report.HeadingOf(in.Text, in.Scenario.Name).Title + " |"
		rule += "---|"
		for _, p := range in.Report.Policies {
			if cells[p.Name] == nil {
				cells[p.Name] = map[int]string{}
				order = append(order, p.Name)
			}
			cells[p.Name][i] = fmt.Sprintf("%.1f %%, %.1f", 100*p.Attainment, p.GPUHours)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n%s\n", head, rule)
	for _, name := range order {
		fmt.Fprintf(&text, "| %s |", name)
		for i := range played {
			fmt.Fprintf(&text, " %s |", cells[name][i])
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func create(name string, fill func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(file)
	return errors.Join(fill(b), b.Flush(), file.Close())
}
