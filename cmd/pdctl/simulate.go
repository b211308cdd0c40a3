package main

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/report"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

//go:embed simulate_example.yaml
var exampleScenario string

// simulateOptions are simulate's flags.
type simulateOptions struct {
	file, trace, requestsOut, report string
	text                             string // of the scenario
	policies                         []string
	stepwise, example                bool
	frontier                         bool
	target                           *number
	sweeps                           sweepOptions
}

func newSimulate(env environment) *cobra.Command {
	o := simulateOptions{target: &number{value: 0.99, open: true, high: math.Nextafter(1, 0), allowed: "allowed is a share above 0 and below 1"}}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Simulate a service under recorded or synthetic traffic and compare autoscalers on it",
		Long: `simulate plays traffic against a simulated prefill/decode service and lets one or more autoscalers
decide: this project's planner, the very code of the controller, and the published rules of others.
It says what share of the requests met both objectives and what GPU-hours that took.

The scenario is a YAML file: pdctl simulate -f scenario.yaml. --example prints one to start from,
and docs/scenario.md lists its keys. "-" reads the scenario, or with --trace the trace, from
standard input.

--sweep simulates many scenarios that differ in some keys, on all cores. Past one machine the same
sweep is cut into shards: --job-manifest writes a Kubernetes Job whose pods simulate one each, and
pdctl merge joins what they printed into what one machine would have:

    pdctl simulate -f scenario.yaml --sweep budget.gpus=12,16,20 --sweep seed=1,2,3
    pdctl simulate -f scenario.yaml --sweep seed=1,2,3,4 --shards 4 --job-manifest > job.yaml

Exit codes: 0 simulated; 2 a flag, the scenario or a file that it names is wrong; 130 interrupted.`,
		Example: `  pdctl simulate --example`,
		Args:    noArguments,
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "scenario file, or - for standard input")
	f.StringVar(&o.trace, "trace", "", "trace file to play instead of the scenario's traffic, or - for standard input")
	f.StringSliceVar(&o.policies, "policy", nil, "policies to simulate instead of the scenario's, by comma")
	f.StringVar(&o.requestsOut, "requests-out", "", "CSV file to write every request that ended to")
	f.StringVar(&o.report, "report", "", "HTML file to draw the result in: one page with everything in it")
	f.BoolVar(&o.stepwise, "stepwise", false, "take decode steps one by one; the result is the same and comes later")
	f.BoolVar(&o.frontier, "frontier", false, "tune every policy over its own knob and report the cheapest setting that attains --target")
	f.Var(o.target, "target", "share of requests that --frontier tunes to")
	f.BoolVar(&o.example, "example", false, "print a scenario to start from")
	o.sweeps.addFlags(cmd)
	output := addOutput(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.example {
			_, err := io.WriteString(env.stdout, exampleScenario)
			return err
		}
		if !o.frontier && cmd.Flags().Changed("target") {
			return usageError("--target is what --frontier tunes to: --frontier is missing")
		}
		if err := o.sweeps.check(&o); err != nil {
			return usageError("%w", err)
		}
		if len(o.sweeps.keys) > 0 {
			return o.runSweep(cmd, env, output)
		}
		s, err := o.read(env)
		if err != nil {
			return usageError("%w", err)
		}
		if s.Timelines = o.report != ""; s.Timelines {
			if err := writable(o.report); err != nil {
				return usageError("--report: %w", err)
			}
		}
		for _, note := range s.Traffic.Notes {
			fmt.Fprintln(env.stderr, "traffic: "+note)
		}
		progress := newProgress(env)
		s.OnProgress = progress.simulation
		var result *scenario.Report
		err = o.withRequests(func(onEnd func(string, des.Record)) (err error) {
			if o.frontier {
				result, err = s.Frontier(cmd.Context(), time.Now, o.target.value)
				return err
			}
			result, err = s.Run(cmd.Context(), time.Now, onEnd)
			return err
		})
		progress.end()
		if err != nil {
			return usageError("%w", err)
		}
		if err := o.draw(s, result); err != nil {
			return usageError("--report: %w", err)
		}
		return output.write(env.stdout, result, result.Table)
	}
	return cmd
}

// read reads the scenario and what it names.
func (o *simulateOptions) read(env environment) (*scenario.Scenario, error) {
	text, name, options, err := o.readText(env)
	if err != nil {
		return nil, err
	}
	o.text = string(text)
	file, err := scenario.Parse(text, name)
	if err != nil {
		return nil, err
	}
	if err := o.keepInputs(file, options.Dir); err != nil {
		return nil, err
	}
	return scenario.Build(file, name, options)
}

// keepInputs refuses to write a result over what it is made from, or over the other result.
func (o *simulateOptions) keepInputs(f *scenario.File, dir string) error {
	read := []string{o.file, o.trace}
	for _, named := range f.Files() {
		if !filepath.IsAbs(named) {
			named = filepath.Join(dir, named)
		}
		read = append(read, named)
	}
	if err := notOver("requests-out", o.requestsOut, read...); err != nil {
		return err
	}
	return notOver("report", o.report, append(read, o.requestsOut)...)
}

// maxScenarioBytes is more than any scenario takes: a trace that was given for one is refused, not read to its end.
const maxScenarioBytes = 1 << 20

// readText reads the scenario's text and says what it is called and what else is asked for.
func (o *simulateOptions) readText(env environment) (text []byte, name string, options scenario.Options, err error) {
	name = o.file
	options = scenario.Options{Dir: filepath.Dir(o.file), Trace: o.trace, Policies: o.policies, Stepwise: o.stepwise, Stdin: env.stdin}
	switch {
	case o.file == "":
		return nil, "", options, fmt.Errorf("--file is missing: give a scenario, or --example to see one")
	case o.frontier && o.requestsOut != "":
		return nil, "", options, fmt.Errorf("--requests-out goes with one simulation, and --frontier runs many: allowed is one of them")
	case o.file == "-" && o.trace == "-":
		return nil, "", options, fmt.Errorf("--file and --trace are both standard input: allowed is one of them")
	case o.file == "-":
		name, options.Dir = "standard input", "."
		text, err = readAtMost(env.stdin, maxScenarioBytes)
	default:
		var file *os.File
		if file, err = os.Open(o.file); err != nil {
			break
		}
		defer file.Close()
		text, err = readAtMost(file, maxScenarioBytes)
	}
	if err != nil {
		return nil, "", options, fmt.Errorf("--file: %w", err)
	}
	return text, name, options, nil
}

func readAtMost(r io.Reader, most int64) ([]byte, error) {
	all, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(all)) > most {
		return nil, fmt.Errorf("it is larger than %d bytes: a scenario never is", most)
	}
	return all, err
}

// draw writes the page, where one is asked for.
func (o *simulateOptions) draw(s *scenario.Scenario, r *scenario.Report) error {
	if o.report == "" {
		return nil
	}
	return writeFile(o.report, func(w io.Writer) error {
		return report.Write(w, report.Input{Scenario: s, Text: o.text, Report: r})
	})
}

// withRequests runs a simulation whose requests go to a CSV file, where one is asked for.
func (o *simulateOptions) withRequests(run func(func(string, des.Record)) error) error {
	if o.requestsOut == "" {
		return run(nil)
	}
	var failed error // of the simulation itself
	err := writeFile(o.requestsOut, func(w io.Writer) error {
		if _, err := io.WriteString(w, "policy,id,arrival_s,input,output,cached,ttft_ms,tpot_ms,end_s,outcome,preempted,migrated\n"); err != nil {
			return err
		}
		failed = run(requestLines(w))
		return failed
	})
	if failed != nil || err == nil {
		return failed
	}
	return fmt.Errorf("--requests-out: %w", err)
}

// requestLines writes each request as a line. An error stays with the writer until it is flushed.
func requestLines(w io.Writer) func(string, des.Record) {
	var line []byte
	number := func(v float64, digits int) {
		line = append(strconv.AppendFloat(line, v, 'f', digits, 64), ',')
	}
	whole := func(v int64) { line = append(strconv.AppendInt(line, v, 10), ',') }
	return func(policyName string, r des.Record) {
		line = append(append(line[:0], policyName...), ',')
		whole(int64(r.ID))
		number(r.Arrived.Seconds(), 6)
		whole(int64(r.InputTokens))
		whole(int64(r.OutputTokens))
		whole(int64(r.CachedTokens))
		if r.End == des.Failed {
			line = append(line, ",,"...)
		} else {
			number(r.TTFTMs(), 4)
			number(r.TPOTMs(), 4)
		}
		number(r.Done.Seconds(), 6)
		line = append(line, map[des.End]string{des.Finished: "finished,", des.Failed: "failed,"}[r.End]...)
		whole(int64(r.Preempted))
		line = append(strconv.AppendInt(line, int64(r.Migrated), 10), '\n')
		_, _ = w.Write(line)
	}
}
