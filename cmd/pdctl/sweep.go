package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/sim/report"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// indexVariable is where Kubernetes tells a pod of an Indexed Job which one it is.
const indexVariable = "JOB_COMPLETION_INDEX"

// sweepOptions are simulate's flags about sweeps.
type sweepOptions struct {
	keys        []string
	shards      int
	shard       int
	jobManifest bool
	image, name string
}

func (o *sweepOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "sweep", nil, "KEY=A,B,C: simulate with each of these values of a dotted scenario key, such as decode.tp; several sweeps are all combinations")
	f.IntVar(&o.shards, "shards", 0, "cut the sweep into so many shards and write one of them for pdctl merge")
	f.IntVar(&o.shard, "shard", -1, "which shard, from 0 (default: the environment's "+indexVariable+")")
	f.BoolVar(&o.jobManifest, "job-manifest", false, "write a Kubernetes Indexed Job whose pods simulate the shards, instead of simulating")
	f.StringVar(&o.image, "image", "pdctl", "image of --job-manifest: one whose entry point is pdctl")
	f.StringVar(&o.name, "job-name", "simulate", "name of --job-manifest")
}

// check refuses flags that do not go together.
func (o *sweepOptions) check(s *simulateOptions) error {
	switch {
	case len(o.keys) == 0 && (o.shards != 0 || o.shard >= 0 || o.jobManifest):
		return errors.New("--shards, --shard and --job-manifest are about a sweep: --sweep is missing")
	case len(o.keys) == 0:
		return nil
	case s.requestsOut != "":
		return errors.New("--requests-out is about one scenario, and --sweep simulates many: allowed is one of them")
	case s.report != "" && o.shards > 0:
		return errors.New("--report draws a whole sweep, and a shard is a part of one: give it without --shards")
	case s.file == "-" && s.trace == "-" || s.trace == "-":
		return errors.New("--trace - can be read once, and --sweep simulates many times: give a file")
	case o.shards < 0 || o.shards > 1000:
		return fmt.Errorf("--shards is %d; allowed is 1 to 1000", o.shards)
	case o.jobManifest && o.shards == 0:
		return errors.New("--job-manifest needs to know how many pods to use: --shards is missing")
	case o.shard >= 0 && o.shards == 0:
		return errors.New("--shard says which, and --shards how many: --shards is missing")
	}
	return nil
}

// index is the shard to simulate.
func (o *sweepOptions) index() (int, error) {
	if o.shard >= 0 {
		return o.shard, nil
	}
	text := os.Getenv(indexVariable)
	if text == "" {
		return 0, fmt.Errorf("which shard to simulate is not known: give --shard, or set %s", indexVariable)
	}
	i, err := strconv.Atoi(text)
	if err != nil || i < 0 {
		return 0, fmt.Errorf("%s is %q; allowed is a number from 0", indexVariable, text)
	}
	return i, nil
}

// sweep prepares the sweep over a scenario file.
func (o *sweepOptions) sweep(text []byte, name string) (*scenario.Sweep, error) {
	var keys []scenario.SweepKey
	for _, k := range o.keys {
		key, err := scenario.ParseSweep(k)
		if err != nil {
			return nil, fmt.Errorf("--sweep: %w", err)
		}
		keys = append(keys, key)
	}
	return scenario.NewSweep(text, name, keys)
}

// runSweep simulates a sweep, or a shard of it, or writes the manifest that does.
func (o *simulateOptions) runSweep(cmd *cobra.Command, env environment, output *format) error {
	text, name, options, err := o.readText(env)
	if err != nil {
		return usageError("%w", err)
	}
	s, err := o.sweeps.sweep(text, name)
	if err != nil {
		return usageError("%w", err)
	}
	if o.sweeps.jobManifest {
		manifest, err := o.manifest(s, text)
		if err != nil {
			return usageError("--job-manifest: %w", err)
		}
		_, err = env.stdout.Write(manifest)
		return err
	}
	progress := newProgress(env)
	run := scenario.SweepOptions{Options: options, Of: 1, Done: progress.sweep}
	if o.frontier {
		run.Target = o.target.value
	}
	if o.sweeps.shards > 0 {
		run.Of = o.sweeps.shards
		if run.Index, err = o.sweeps.index(); err != nil {
			return usageError("%w", err)
		}
	}
	if file, err := scenario.Parse(text, name); err == nil { // it was parsed before
		if err := o.keepInputs(file, options.Dir); err != nil {
			return usageError("%w", err)
		}
	}
	if o.report != "" {
		if err := writable(o.report); err != nil {
			return usageError("--report: %w", err)
		}
	}
	shard, err := s.Run(cmd.Context(), run)
	progress.end()
	if err != nil {
		return usageError("%w", err)
	}
	if o.sweeps.shards > 0 {
		return json.NewEncoder(env.stdout).Encode(shard) // one line, so that logs of many pods can be put together
	}
	result, err := shard.Report()
	if err != nil {
		return usageError("%w", err)
	}
	if err := o.drawSweep(string(text), name, result); err != nil {
		return usageError("--report: %w", err)
	}
	return output.write(env.stdout, result, result.Table)
}

// drawSweep writes the page, where one is asked for.
func (o *simulateOptions) drawSweep(text, name string, r *scenario.SweepReport) error {
	if o.report == "" {
		return nil
	}
	return writeFile(o.report, func(w io.Writer) error { return report.WriteSweep(w, text, name, r) })
}

func newMerge(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Join the shards of a sweep that pdctl simulate --shards wrote",
		Long: `merge joins the shards of a sweep into what pdctl simulate --sweep writes on one machine, to the
last byte. A file holds one shard or several, such as the logs of all pods of a Job put together;
"-" is standard input. A shard may be there twice, as it is when a pod was tried again.

    kubectl logs -l batch.kubernetes.io/job-name=simulate --tail=-1 > shards.jsonl
    pdctl merge shards.jsonl

Exit codes: 0 joined; 2 a shard is missing, broken, or of another sweep.`,
		Example: `  pdctl merge shards.jsonl`,
		Args:    cobra.ArbitraryArgs,
	}
	output := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, names []string) error {
		if len(names) == 0 {
			return usageError("no file of shards is given; allowed is one or more, or - for standard input")
		}
		var all []*scenario.Shard
		for _, name := range names {
			shards, err := readShards(env, name)
			if err != nil {
				return usageError("%w", err)
			}
			all = append(all, shards...)
		}
		whole, err := scenario.Join(all)
		if err != nil {
			return usageError("%w", err)
		}
		result, err := whole.Report()
		if err != nil {
			return usageError("%w", err)
		}
		return output.write(env.stdout, result, result.Table)
	}
	return cmd
}

func readShards(env environment, name string) ([]*scenario.Shard, error) {
	if name == "-" {
		return scenario.ReadShards(env.stdin, "standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return scenario.ReadShards(file, name)
}
