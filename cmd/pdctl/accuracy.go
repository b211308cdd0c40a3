package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// newAccuracy is for those who develop the model: how far it is from measurements, and what it believes and why.
func newAccuracy(env environment) *cobra.Command {
	var dir, shapes string
	cmd := &cobra.Command{
		Use:    "accuracy",
		Short:  "Hold the performance model against measured steps",
		Hidden: true,
		Long: `accuracy compares the model with steps and a service measured on an H200 (the files that
PDAUTOSCALER_DATA holds under h200), unfitted, fitted on a part and held against the rest; with the
step grids of other shapes that test/measure wrote to the folder of --shapes; and lists each prior with
its origin.

Exit codes: 0 all within what is allowed; 1 not; 2 the files are missing or wrong.`,
		Args: noArguments,
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		if dir == "" {
			dir = os.Getenv("PDAUTOSCALER_DATA")
		}
		rows, err := accuracyRows(filepath.Join(dir, "h200"))
		if err != nil {
			return usageError("--data %s: %w", dir, err)
		}
		others, err := shapeRows(shapes)
		if err != nil {
			return usageError("--shapes %s: %w", shapes, err)
		}
		if err := showAccuracy(env.stdout, rows, others); err != nil {
			return err
		}
		for _, r := range slices.Concat(rows, others) {
			if r.Mean > r.allowed {
				return &exitError{code: exitNo}
			}
		}
		return nil
	}
	cmd.Flags().StringVar(&dir, "data", "", "folder of the measured files; without it PDAUTOSCALER_DATA")
	cmd.Flags().StringVar(&shapes, "shapes", "pkg/perfmodel/testdata/h200", "folder of step grids of other shapes; one that is not there is passed over")
	return cmd
}

// accuracyRow is one comparison.
type accuracyRow struct {
	what    string
	allowed float64 // of the mean error
	calibrate.Errors
}

func accuracyRows(dir string) (out []accuracyRow, err error) {
	grid, err := readFile(filepath.Join(dir, "steps-qwen3-32b-tp1.json"), calibrate.ReadGrid)
	if err != nil {
		return nil, err
	}
	requests, err := readFile(filepath.Join(dir, "pd-qwen3-32b-conv-4-requests.csv"), calibrate.ReadRequests)
	if err != nil {
		return nil, err
	}
	steps, err := readFile(filepath.Join(dir, "pd-qwen3-32b-conv-4-steps.csv"), calibrate.ReadSteps)
	if err != nil {
		return nil, err
	}
	model, err := perfmodel.LookupModel("Qwen3-32B")
	if err != nil {
		return nil, err
	}
	gpu, err := perfmodel.LookupGPU("H200-SXM")
	if err != nil {
		return nil, err
	}
	var fitErr error
	add := func(what string, kind calibrate.Kind, allowed float64, on, rest []calibrate.Observation) {
		c, err := calibrate.FitAll(model, gpu, perfmodel.Options{}, on)
		if err != nil {
			fitErr = err
			return
		}
		out = append(out, accuracyRow{what, allowed, c.Errors(kind, rest)})
	}
	one, other := split(grid, func(i, _ int) bool { return i%2 == 0 })
	add("step grid, no fit: prefill", calibrate.Prefill, 0.12, nil, grid)
	add("step grid, no fit: decode", calibrate.Decode, 0.10, nil, grid)
	add("step grid, fitted on every other row: prefill of the rest", calibrate.Prefill, 0.04, one, other)
	add("step grid, fitted on every other row: decode of the rest", calibrate.Decode, 0.03, one, other)
	short, _ := split(grid, func(i, _ int) bool { return i < 3 })
	var long []calibrate.Observation
	for _, o := range grid {
		if o.Kind == calibrate.Prefill && o.Tokens == 8192 {
			long = append(long, o)
		}
	}
	add("fitted on prompts of 64, 128 and 256 tokens: prefill of 8192", calibrate.Prefill, 0.25, ofKind(short, calibrate.Prefill), long)
	first, second := split(append(requests, steps...), func(i, n int) bool { return i < n/2 })
	add("service, no fit: prefill of its second half", calibrate.Prefill, 0.15, nil, second)
	add("service, no fit: wall time of busy steps of its second half", calibrate.Decode, 0.10, nil, second)
	add("service, fitted on its first half: prefill of the second", calibrate.Prefill, 0.05, first, second)
	add("service, fitted on its first half: wall time of busy steps", calibrate.Decode, 0.05, first, second)
	return out, fitErr
}

func readFile(path string, read func(io.Reader) (calibrate.Readings, error)) ([]calibrate.Observation, error) {
	r, err := readReadings(path, read)
	return r.Observations, err
}

func readReadings(path string, read func(io.Reader) (calibrate.Readings, error)) (r calibrate.Readings, err error) {
	file, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer file.Close()
	return read(file)
}

func ofKind(rows []calibrate.Observation, kind calibrate.Kind) (of []calibrate.Observation) {
	for _, o := range rows {
		if o.Kind == kind {
			of = append(of, o)
		}
	}
	return of
}

// split parts the rows of each kind by their number among the n of that kind.
func split(rows []calibrate.Observation, first func(i, n int) bool) (one, other []calibrate.Observation) {
	for _, kind := range calibrate.Kinds() {
		of := ofKind(rows, kind)
		for i, o := range of {
			if first(i, len(of)) {
				one = append(one, o)
			} else {
				other = append(other, o)
			}
		}
	}
	return one, other
}

func showAccuracy(w io.Writer, rows, shapes []accuracyRow) error {
	for _, part := range []struct {
		title string
		rows  []accuracyRow
	}{{"QWEN3-32B ON H200", rows}, {"OTHER SHAPES ON H200", shapes}} {
		if len(part.rows) == 0 {
			continue
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, part.title+"\tROWS\tMEAN |ERROR|\tALLOWED\tWORST\tWITHIN 2 STATED SD")
		for _, r := range part.rows {
			fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%.0f %%\t%.1f %%\t%.0f %%\n", r.what, r.Rows, 100*r.Mean, 100*r.allowed, 100*r.Worst, 100*r.Covered)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PRIOR\tMEAN\tLOW\tHIGH\tORIGIN")
	for _, p := range perfmodel.Priors() {
		fmt.Fprintf(t, "%s\t%.4g\t%.4g\t%.4g\t%s\n", p.Name, p.Mean, p.Low, p.High, p.Source)
	}
	return t.Flush()
}
