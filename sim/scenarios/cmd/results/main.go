// Results makes the table of docs/simulator.md: every policy of the scenarios in sim/scenarios/results, tuned over its own knob to
// the same attainment, its GPU-hours and how far they are above the oracle's.
//
//	results [-traces DIR] [-target 0.99] [NAME...]
//
// The traces are read from DIR, which is $PDAUTOSCALER_DATA/traces unless it is said; a scenario whose trace is not there is left out.
// The table goes to standard output and what is being played to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/report"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
	"github.com/pdautoscaler/pdautoscaler/sim/scenarios"
)

func main() {
	traces := flag.String("traces", filepath.Join(os.Getenv("PDAUTOSCALER_DATA"), "traces"), "folder of the published traces")
	target := flag.Float64("target", 0.99, "share of requests that must keep both objectives")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *traces, *target, flag.Args(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "results:", err)
		os.Exit(1)
	}
}

// run tunes the named scenarios, or all, and writes the table.
func run(ctx context.Context, traces string, target float64, names []string, out, progress io.Writer) error {
	if len(names) == 0 {
		names = scenarios.ResultNames()
	}
	var columns []column
	for _, name := range names {
		s, title, err := load(traces, name)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(progress, "%s is left out: %v\n", name, err)
			continue
		}
		if err != nil {
			return err
		}
		started := time.Now()
		r, err := s.Frontier(ctx, time.Now, target)
		if err != nil {
			return err
		}
		fmt.Fprintf(progress, "%s: %d requests in %.0f s\n", name, r.Simulation.Requests, time.Since(started).Seconds())
		columns = append(columns, column{title, r})
	}
	if len(columns) == 0 {
		return fmt.Errorf("no scenario was played: their traces are not in %s", traces)
	}
	return write(out, columns)
}

// load builds a scenario; the path of its trace is relative to the folder of traces.
func load(traces, name string) (*scenario.Scenario, string, error) {
	text, err := scenarios.ReadResult(name)
	if err != nil {
		return nil, "", err
	}
	file, err := scenario.Parse([]byte(text), name+".yaml")
	if err != nil {
		return nil, "", err
	}
	var options scenario.Options
	if file.Traffic.Trace != "" {
		options.Trace = filepath.Join(traces, file.Traffic.Trace)
		if _, err := os.Stat(options.Trace); err != nil {
			return nil, "", err
		}
	}
	s, err := scenario.Build(file, name+".yaml", options)
	return s, report.HeadingOf(text, name).Title, err
}

// column is one scenario of the table.
type column struct {
	title  string
	report *scenario.Report
}

// write draws the table: a row for each policy in the order of the first scenario that has it.
func write(w io.Writer, columns []column) error {
	var text strings.Builder
	var order []string
	text.WriteString("| policy |")
	for _, c := range columns {
		fmt.Fprintf(&text, " %s |", c.title)
		for i := range c.report.Policies {
			if name := c.report.Policies[i].Name; !slices.Contains(order, name) {
				order = append(order, name)
			}
		}
	}
	text.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, name := range order {
		fmt.Fprintf(&text, "| %s |", name)
		for _, c := range columns {
			text.WriteString(" " + cell(c.report, name) + " |")
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// cell is what a policy took and how far that is above the oracle, or what it attained at most; empty where it was not played.
func cell(r *scenario.Report, name string) string {
	for i := range r.Policies {
		switch p := &r.Policies[i]; {
		case p.Name != name:
		case p.Attainment < r.Target:
			return fmt.Sprintf("%.2f, attains %.1f %%", p.GPUHours, 100*p.Attainment)
		case p.Regret == nil:
			return fmt.Sprintf("%.2f", p.GPUHours)
		default:
			return fmt.Sprintf("%.2f, %.1f %%", p.GPUHours, 100**p.Regret)
		}
	}
	return ""
}
