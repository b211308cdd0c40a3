package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

type explainOptions struct {
	snapshot string
	record   int
	history  bool
	cluster  clusterOptions
	output   *format
}

func newExplain(env environment) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain NAME | --snapshot FILE",
		Short: "Say what was decided last and why",
		Long: `explain says, in a sentence per role, what was decided and why: what bound the count, which
counts were tried and rejected, the objective beside what is observed and what is predicted, the
GPUs, a move that is under way, and what else a person should know.

With NAME it reads the status of a PDAutoscaler. With --snapshot it reads decision records (one, a
list, or JSON lines; - is standard input), makes each decision again from its input and says whether
it is the saved one, bit for bit.

Exit codes: 0 explained; 1 a decision made again is not the saved one; 2 wrong flags or a record that
cannot be read; 3 the resource could not be read.`,
		Example: `  pdctl explain qwen3 -n default
  pdctl explain qwen3 -n default --history
  pdctl snapshot qwen3 -n default -o last.json && pdctl explain --snapshot last.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError("unexpected argument %q; see %s --help", args[1], cmd.CommandPath())
			case len(args) == 1 && o.snapshot != "":
				return usageError("a NAME and --snapshot were given: allowed is one of them")
			case len(args) == 0 && o.snapshot == "":
				return usageError("what is to be explained? Give the NAME of a PDAutoscaler, or --snapshot FILE")
			case o.snapshot == "" && cmd.Flags().Changed("record"):
				return usageError("--record picks a record of a file: it needs --snapshot")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.snapshot != "" {
				return o.records(env)
			}
			return o.resource(cmd, args[0], env)
		},
	}
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "file of decision records to replay and explain")
	cmd.Flags().IntVar(&o.record, "record", 0, "explain only this record of the file, 1 the first, -1 the last; 0 is all")
	cmd.Flags().BoolVar(&o.history, "history", false, "a line for each decision")
	o.cluster.add(cmd)
	o.output = addOutput(cmd)
	return cmd
}

// resource explains from the status of a PDAutoscaler.
func (o *explainOptions) resource(cmd *cobra.Command, name string, env environment) error {
	pda, err := o.cluster.pdautoscaler(cmd.Context(), name)
	if err != nil {
		return err
	}
	if o.history {
		changes := report.HistoryOfStatus(pda)
		return o.output.write(env.stdout, changes, func(w io.Writer) error { return report.WriteHistory(w, changes) })
	}
	e := report.OfStatus(pda)
	return o.output.write(env.stdout, e, func(w io.Writer) error { return e.Text(w, env.now()) })
}

// records explains from a file, and makes every decision of it again.
func (o *explainOptions) records(env environment) error {
	records, err := readRecords(o.snapshot, env.stdin)
	if err != nil {
		return err
	}
	if records, err = o.pick(records); err != nil {
		return err
	}
	var explained []report.Explanation
	var changes []report.Change
	different := 0
	for i, r := range records {
		replay, err := report.MakeAgain(r)
		if err != nil {
			return usageError("%s: record %d: %w", o.snapshot, i+1, err)
		}
		if !replay.Equal {
			different++
		}
		e, c := report.OfRecord(r), report.ChangeOf(r)
		e.Replay, c.ReplayEqual = &replay, &replay.Equal
		explained, changes = append(explained, e), append(changes, c)
	}
	if o.history {
		err = o.output.write(env.stdout, changes, func(w io.Writer) error { return report.WriteHistory(w, changes) })
	} else {
		err = o.output.write(env.stdout, oneOrAll(explained), func(w io.Writer) error { return writeTexts(w, explained) })
	}
	if err == nil && different > 0 {
		return &exitError{exitNo, fmt.Errorf("%d of %d decisions made again are not the saved ones", different, len(records))}
	}
	return err
}

// pick keeps the record that --record names.
func (o *explainOptions) pick(records []planner.Record) ([]planner.Record, error) {
	n, i := len(records), o.record-1
	if o.record < 0 {
		i = n + o.record
	}
	switch {
	case o.record == 0:
		return records, nil
	case i < 0 || i >= n:
		return nil, usageError("--record is %d and %s holds %d: allowed is 1 to %d, or -1 to -%d from the end", o.record, o.snapshot, n, n, n)
	}
	return records[i : i+1], nil
}

// oneOrAll gives a single explanation as an object and several as a list.
func oneOrAll(all []report.Explanation) any {
	if len(all) == 1 {
		return all[0]
	}
	return all
}

func writeTexts(w io.Writer, all []report.Explanation) error {
	for i := range all {
		if i > 0 {
			if _, err := io.WriteString(w, "\n----\n\n"); err != nil {
				return err
			}
		}
		if err := all[i].Text(w, noTime); err != nil {
			return err
		}
	}
	return nil
}

// readRecords reads the records of a file; - is standard input.
func readRecords(path string, stdin io.Reader) ([]planner.Record, error) {
	in, name := stdin, "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError("%w", err)
		}
		defer f.Close()
		in, name = f, path
	}
	records, err := report.ReadRecords(in, name)
	if err != nil {
		return nil, usageError("%w", err)
	}
	return records, nil
}
