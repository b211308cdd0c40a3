package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// fitOptions are fit's flags.
type fitOptions struct {
	model                 modelOptions
	tp                    int
	requests, steps, grid string
	output, image         string
}

func newFit(env environment) *cobra.Command {
	o := fitOptions{tp: 1}
	cmd := &cobra.Command{
		Use:   "fit",
		Short: "Learn a replica's step times from what its service has shown",
		Long: `fit corrects the roofline of one replica by measurements, and writes what it learnt to a file
that predict and plan take with --fit. What the measurements do not tell stays as the roofline
has it, so that a fit on short prompts does not go wrong on long ones.

  --requests  CSV with a header: input (tokens), prefill_start_s, prefill_end_s (seconds since any
              start); with kv_done_s also the KV transfers; cached (tokens of input) is optional
  --steps     CSV with a header: batch, context_tokens (summed), ms; with t_s (start, seconds) a
              step takes until the next one starts, and idle time is left out
  --grid      JSON: prefill[] of tokens, ms; decode[] of batch, context (of each sequence), ms

Rows that cannot be right are left out and counted by their reason.

Exit codes: 0 fitted; 2 wrong flags, or files that cannot be of this model and GPU.`,
		Example: `  pdctl fit --model qwen3-32b --gpu h200 --tp 1 --requests requests.csv --steps steps.csv -o fit.json
  pdctl predict --model qwen3-32b --gpu h200 --tp 2 --fit fit.json`,
		Args: noArguments,
	}
	cmd.RunE = func(*cobra.Command, []string) error { return o.run(env) }
	o.model.add(cmd)
	f := cmd.Flags()
	f.IntVar(&o.tp, "tp", o.tp, "GPUs of the measured replica (tensor parallel)")
	f.StringVar(&o.requests, "requests", "", "CSV file of requests")
	f.StringVar(&o.steps, "steps", "", "CSV file of decode steps")
	f.StringVar(&o.grid, "grid", "", "JSON file of measured steps")
	f.StringVar(&o.image, "image", "", "image and version of the engine that was measured, kept in the fit: step times change with it")
	f.StringVarP(&o.output, "output", "o", "", "file to write the fit to; without it the fit is only shown")
	return cmd
}

func (o *fitOptions) run(env environment) error {
	model, gpu, err := o.model.find()
	if err != nil {
		return err
	}
	options, err := o.model.options(o.tp, "tp")
	if err != nil {
		return err
	}
	if err := notOver("output", o.output, o.requests, o.steps, o.grid); err != nil {
		return usageError("%w", err)
	}
	readings, err := o.read(model, gpu)
	if err != nil {
		return err
	}
	before, err := calibrate.New(model, gpu, options)
	if err != nil {
		return usageError("%w", err)
	}
	after, err := calibrate.FitAll(model, gpu, options, readings.Observations)
	if err != nil {
		return usageError("%w", err)
	}
	for why, n := range readings.Ignored {
		after.Counts[calibrate.Prefill].Ignore(why, n)
	}
	after.Image = o.image
	fit, err := after.Fit()
	if err != nil {
		return usageError("%w", err)
	}
	if o.output != "" {
		raw, err := json.MarshalIndent(fit, "", "  ")
		if err != nil {
			return err
		}
		if err := writeFile(o.output, func(w io.Writer) error { _, err := w.Write(append(raw, '\n')); return err }); err != nil {
			return usageError("--output: %w", err)
		}
	}
	return showFit(env.stdout, fit, before, after, readings)
}

// read gathers the readings of all files. What a file says of itself must be what the flags say.
func (o *fitOptions) read(m perfmodel.Model, g perfmodel.GPU) (all calibrate.Readings, err error) {
	if o.requests == "" && o.steps == "" && o.grid == "" {
		return all, usageError("nothing to fit: give --requests, --steps or --grid, or several of them")
	}
	all.Ignored = map[string]int{}
	for _, source := range []struct {
		flag, path string
		read       func(io.Reader) (calibrate.Readings, error)
	}{
		{"requests", o.requests, calibrate.ReadRequests}, {"steps", o.steps, calibrate.ReadSteps}, {"grid", o.grid, calibrate.ReadGrid},
	} {
		if source.path == "" {
			continue
		}
		file, err := os.Open(source.path)
		if err != nil {
			return all, usageError("--%s: %w", source.flag, err)
		}
		r, err := source.read(file)
		file.Close()
		if err != nil {
			return all, usageError("--%s %s: %w", source.flag, source.path, err)
		}
		if err := o.sameThing(r, m, g); err != nil {
			return all, usageError("--%s %s: %w", source.flag, source.path, err)
		}
		all.Observations = append(all.Observations, r.Observations...)
		for why, n := range r.Ignored {
			all.Ignored[why] += n
		}
	}
	return all, nil
}

// sameThing refuses readings of another model, GPU or TP, as far as they say what they are of.
func (o *fitOptions) sameThing(r calibrate.Readings, m perfmodel.Model, g perfmodel.GPU) error {
	if other, err := perfmodel.LookupModel(r.Model); err == nil && other != m && other.Name != m.Name {
		return fmt.Errorf("it was measured with model %s, but --model is %s", other.Name, m.Name)
	}
	other, err := perfmodel.MatchGPU(r.GPU)
	if err != nil {
		other, err = perfmodel.LookupGPU(r.GPU)
	}
	if err == nil && other.Name != g.Name {
		return fmt.Errorf("it was measured on GPU %s, but --gpu is %s", other.Name, g.Name)
	}
	if r.TP != 0 && r.TP != o.tp {
		return fmt.Errorf("it was measured at TP %d, but --tp is %d", r.TP, o.tp)
	}
	return nil
}

// showFit says what was learnt, and how sure it is.
func showFit(w io.Writer, fit calibrate.Fit, before, after *calibrate.Calibration, readings calibrate.Readings) error {
	fmt.Fprintf(w, "%s on %d x %s%s\n\n", fit.Model, fit.TP, fit.GPU, ofImage(fit.Image))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PHASE\tREADINGS\tMEAN ERROR BEFORE\tAFTER\tSCATTER")
	for _, kind := range calibrate.Kinds() {
		used := after.Counts[kind].Used
		if used == 0 {
			fmt.Fprintf(t, "%s\tnone\t\t\t\n", kind)
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%.1f %%\t%.1f %%\n", kind, used, 100*before.Errors(kind, readings.Observations).Mean,
			100*after.Errors(kind, readings.Observations).Mean, 100*after.States[kind].Residual)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "COEFFICIENT\tBEFORE\t+-\tAFTER\t+-")
	for _, p := range []struct {
		kind             calibrate.Kind
		names            []string
		prior, posterior calibrate.Estimates
	}{
		{calibrate.Prefill, perfmodel.PrefillNames[:], fit.Prior.Prefill, fit.Posterior.Prefill},
		{calibrate.Decode, perfmodel.DecodeNames[:], fit.Prior.Decode, fit.Posterior.Decode},
		{calibrate.KVTransfer, perfmodel.TransferNames[:], fit.Prior.KVTransfer, fit.Posterior.KVTransfer},
	} {
		for _, name := range p.names {
			a, b := p.prior[name], p.posterior[name]
			fmt.Fprintf(t, "%s.%s\t%.4g\t%.2g\t%.4g\t%.2g\n", p.kind, name, a.Value, a.SD, b.Value, b.SD)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if pad := fit.Prefill.PadTokens; pad > 1 {
		fmt.Fprintf(w, "\nprompts are padded up to multiples of %d tokens\n", pad)
	}
	ignored := map[string]int{}
	for _, kind := range calibrate.Kinds() {
		for why, n := range after.Counts[kind].Ignored {
			ignored[why] += n
		}
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(ignored)) {
		parts = append(parts, fmt.Sprintf("%d %s", ignored[why], why))
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "\nleft out: %s\n", strings.Join(parts, ", "))
	}
	return nil
}

// ofImage says which engine's image something is of, where that is known.
func ofImage(image string) string {
	if image == "" {
		return ""
	}
	return ", " + image
}

// readFit reads a fit file for a model on a GPU with the given options. A fit of another image than the one asked for is
// refused.
func readFit(path, image string, m perfmodel.Model, g perfmodel.GPU, o perfmodel.Options) (*calibrate.Calibration, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError("--fit: %w", err)
	}
	fit, err := calibrate.ParseFit(raw)
	if err != nil {
		return nil, usageError("--fit %s: %w", path, err)
	}
	if image != "" && fit.Image != image {
		of := "no image that was named"
		if fit.Image != "" {
			of = "image " + fit.Image
		}
		return nil, usageError("--fit %s: the fit is of %s, not of %s: fit that one, or go without --image", path, of, image)
	}
	c, err := calibrate.Restore(fit, m, g, o)
	if err != nil {
		return nil, usageError("--fit %s: %w", path, err)
	}
	return c, nil
}
