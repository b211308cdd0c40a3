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
	whyNot   string
	ask      snapshotOptions // the controller, for records
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

With NAME it reads the status of a PDAutoscaler; with NAME and --url it asks the controller for the last
record, which knows more (see pdctl snapshot --help for --url and its companions). With --snapshot it reads decision records (one, a
list, or JSON lines; - is standard input), makes each decision again from its input and says whether
it is the saved one, bit for bit.

--why-not names other counts and says what speaks against them on what the decision was made from: the
objective that they would miss, the budget, a limit, a window; or that they would hold, and what they cost.
It needs a record: --snapshot, or NAME and --url.

Exit codes: 0 explained; 1 a decision made again is not the saved one; 2 wrong flags or a record that
cannot be read; 3 the resource could not be read.`,
		Example: `  pdctl explain qwen3 -n default
  pdctl explain qwen3 -n default --history
  pdctl snapshot qwen3 -n default -o last.json && pdctl explain --snapshot last.json
  pdctl explain --snapshot last.json --why-not 'prefill=2,decode=6'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError("unexpected argument %q; see %s --help", args[1], cmd.CommandPath())
			case len(args) == 1 && o.snapshot != "":
				return usageError("a NAME and --snapshot were given: allowed is one of them")
			case len(args) == 0 && o.snapshot == "":
				return usageError("what is to be explained? Give the NAME of a PDAutoscaler, or --snapshot FILE")
			case o.whyNot != "" && o.history:
				return usageError("--why-not and --history were given: allowed is one of them")
			case o.whyNot != "" && o.snapshot == "" && o.ask.url == "":
				return usageError("--why-not plans again from a record: it needs --snapshot FILE, or --url of the controller to get one (pdctl snapshot %s saves one)", args[0])
			case o.snapshot == "" && cmd.Flags().Changed("record"):
				return usageError("--record picks a record of a file: it needs --snapshot")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.snapshot != "":
				records, err := readRecords(o.snapshot, env.stdin)
				if err != nil {
					return err
				}
				return o.records(records, env)
			case o.ask.url != "":
				o.ask.last = 1
				if o.history {
					o.ask.last = mostRecords
				}
				o.snapshot = "the controller's answer"
				records, err := o.ask.records(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return o.records(records, env)
			}
			return o.resource(cmd, args[0], env)
		},
	}
	cmd.Flags().StringVar(&o.snapshot, "snapshot", "", "file of decision records to replay and explain")
	cmd.Flags().IntVar(&o.record, "record", 0, "explain only this record of the file, 1 the first, -1 the last; 0 is all")
	cmd.Flags().BoolVar(&o.history, "history", false, "a line for each decision")
	cmd.Flags().StringVar(&o.whyNot, "why-not", "", "other counts, such as 'decode=6' or 'prefill=2,decode=4', and what speaks against them")
	o.ask.addConnection(cmd)
	o.output = addOutput(cmd)
	return cmd
}

// resource explains from the status of a PDAutoscaler.
func (o *explainOptions) resource(cmd *cobra.Command, name string, env environment) error {
	pda, err := o.ask.cluster.pdautoscaler(cmd.Context(), name)
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

// records explains records, and makes every decision of them again.
func (o *explainOptions) records(records []planner.Record, env environment) error {
	records, err := o.pick(records)
	if err != nil {
		return err
	}
	if o.whyNot != "" {
		return o.against(records, env)
	}
	var explained []report.Explanation
	var changes []report.Change
	different := 0
	for i, r := range records {
		replay, err := report.MakeAgain(r)
		if err != nil {
			return usageError("%s: record %d: %w", o.snapshot, i+1, err)
		}
		e, c := report.OfRecord(r), report.ChangeOf(r)
		e.Replay = &replay
		if replay.Older == 0 {
			c.ReplayEqual = &replay.Equal
			if !replay.Equal {
				different++
			}
		}
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

// oneOrAll gives a single thing as an object and several as a list.
func oneOrAll[T any](all []T) any {
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
