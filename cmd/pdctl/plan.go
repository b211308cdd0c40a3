package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// planOptions are plan's flags.
type planOptions struct {
	model                           modelOptions
	prefillTP, decodeTP             int
	rate, input, output             *number
	arrivalSCV, inputSCV, outputSCV *number
	cachedShare                     *number
	ttft, tpot                      objective
	ttftEndsAt                      string
	maxGPUs, maxSequences           int
	engine                          engineOptions
	lengths                         string
	// counted are the lengths of the file, nil without one.
	counted *countedLengths
}

func newPlan(env environment) *cobra.Command {
	o := planOptions{
		prefillTP: 1, decodeTP: 1, maxSequences: 256, ttftEndsAt: string(capacity.EndsAtPrefill),
		rate: above0(0), input: above0(0), output: above0(0),
		arrivalSCV: atLeast0(1), inputSCV: atLeast0(1), outputSCV: atLeast0(1), cachedShare: shareBelow1(0),
	}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Find the cheapest prefill and decode counts that hold the objectives",
		Long: `plan finds the fewest GPUs that hold both objectives at a steady load: the counts of prefill and
decode replicas, the TTFT and TPOT that the model predicts, what binds, and the next cheaper plan with
the objective that it breaks. Where no counts within --max-gpus hold both, it gives those whose worse
objective is best, as the autoscaler would, and says so.

Lengths and the time between arrivals are random: an SCV is a squared coefficient of variation, 0 for
a constant, 1 for what public traces of conversations show. --lengths counts them from a file of
requests instead, which is better wherever they are no smooth hill.

Exit codes: 0 a plan that holds both objectives; 1 there is none; 2 wrong flags, or a model that does
not fit.`,
		Example: `  pdctl plan --model qwen3-32b --gpu h200 --prefill-tp 2 --decode-tp 2 --rate 5 --input 4000 --output 500 --ttft p95=2s --tpot p95=40ms
  pdctl plan --model qwen3-32b --gpu h200 --rate 5 --lengths requests.csv --batching tokenBudget --ttft p95=2s --tpot p95=40ms`,
		Args: noArguments,
	}
	output := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := o.readLengths(cmd); err != nil {
			return err
		}
		service, err := o.service()
		if err != nil {
			return err
		}
		p, err := o.plan(service)
		if err != nil {
			return err
		}
		if err := output.write(env.stdout, p, func(w io.Writer) error { return p.table(w, &o) }); err != nil {
			return err
		}
		if !p.Meets {
			return &exitError{code: exitNo}
		}
		return nil
	}
	o.model.add(cmd)
	o.model.addFit(cmd)
	f := cmd.Flags()
	f.IntVar(&o.prefillTP, "prefill-tp", o.prefillTP, "GPUs of a prefill replica (tensor parallel)")
	f.IntVar(&o.decodeTP, "decode-tp", o.decodeTP, "GPUs of a decode replica (tensor parallel)")
	f.Var(o.rate, "rate", "requests per second")
	f.Var(o.input, "input", "mean prompt length in tokens")
	f.Var(o.output, "output", "mean output length in tokens")
	f.Var(o.arrivalSCV, "arrival-scv", "SCV of the time between arrivals; 1 is Poisson")
	f.Var(o.inputSCV, "input-scv", "SCV of the prompt length")
	f.Var(o.outputSCV, "output-scv", "SCV of the output length")
	f.Var(o.cachedShare, "cached-share", "share of prompt tokens found in the prefix cache")
	f.StringVar(&o.lengths, "lengths", "", "CSV file of requests with a header: input, output (tokens) and, optional, cached; in place of --input, --output and their SCV")
	f.Var(&o.ttft, "ttft", "objective for the time to the first token, such as p95=2s")
	f.Var(&o.tpot, "tpot", "objective for the time per output token, such as p95=40ms")
	f.StringVar(&o.ttftEndsAt, "ttft-ends-at", o.ttftEndsAt, "worker that emits the first token: prefill or decode")
	f.IntVar(&o.maxGPUs, "max-gpus", 0, "most GPUs of both roles together; 0 is no limit")
	f.IntVar(&o.maxSequences, "max-sequences", o.maxSequences, "most sequences that a decode replica runs at once")
	o.engine.add(cmd)
	cmd.MarkFlagsOneRequired("input", "lengths")
	cmd.MarkFlagsRequiredTogether("input", "output")
	for _, name := range []string{"input", "output", "input-scv", "output-scv"} {
		cmd.MarkFlagsMutuallyExclusive(name, "lengths")
	}
	for _, name := range []string{"rate", "ttft", "tpot"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func (o *planOptions) service() (s capacity.Service, err error) {
	if o.engine.offloadGBps != nil {
		o.model.offloadGBps = o.engine.offloadGBps.value
	}
	if s.Prefill, s.PadTokens, err = o.model.replica(o.prefillTP, "prefill-tp"); err != nil {
		return s, err
	}
	if s.Decode, _, err = o.model.replica(o.decodeTP, "decode-tp"); err != nil {
		return s, err
	}
	s.TTFTEndsAt, s.MaxSequences = capacity.TTFTEnd(o.ttftEndsAt), o.maxSequences
	if err := o.engine.apply(&s, o.model.batchedTokens); err != nil {
		return s, err
	}
	smallest := o.prefillTP + o.decodeTP
	switch {
	case s.TTFTEndsAt != capacity.EndsAtPrefill && s.TTFTEndsAt != capacity.EndsAtDecode:
		return s, usageError("--ttft-ends-at is %q: allowed is prefill or decode", o.ttftEndsAt)
	case o.maxSequences < 1:
		return s, usageError("--max-sequences is %d: allowed is 1 or more", o.maxSequences)
	case o.maxGPUs < 0 || o.maxGPUs > 0 && o.maxGPUs < smallest:
		return s, usageError("--max-gpus is %d: allowed is 0 (no limit), or at least the %d GPUs of one replica of each role", o.maxGPUs, smallest)
	}
	return s, nil
}

func (o *planOptions) traffic() capacity.Traffic {
	t := capacity.Traffic{
		RequestsPerSecond: o.rate.value, ArrivalSCV: o.arrivalSCV.value,
		Input:       capacity.Lengths{Mean: o.input.value, SCV: o.inputSCV.value},
		Output:      planner.OutputLengths(o.output.value, o.outputSCV.value),
		CachedShare: o.cachedShare.value,
	}
	o.engine.load(&t)
	if o.counted != nil {
		t.Input, t.Output = o.counted.input, o.counted.output
	}
	return t
}

// plan is what plan prints.
type plan struct {
	// Meets is true where both objectives are held.
	Meets   bool `json:"meets"`
	Prefill int  `json:"prefill"`
	Decode  int  `json:"decode"`
	GPUs    int  `json:"gpus"`
	// TTFTMs and TPOTMs are predicted, by percentile; empty where the role is overloaded.
	TTFTMs map[string]float64 `json:"ttftMs"`
	TPOTMs map[string]float64 `json:"tpotMs"`
	// Binding is what keeps the plan from being cheaper: the objective ttft or tpot, or minimum (one replica of each is
	// enough). Where there is no plan it is max-gpus or unattainable.
	Binding string `json:"binding"`
	// PrefillLoad and DecodeLoad are the shares of what the replicas can do; DecodeBound is what decode runs out of first.
	PrefillLoad *float64 `json:"prefillLoad,omitempty"`
	DecodeLoad  *float64 `json:"decodeLoad,omitempty"`
	DecodeBound string   `json:"decodeBound"`
	// NextCheaper is the plan with one replica less, nil where there is none.
	NextCheaper *cheaper `json:"nextCheaper,omitempty"`
	// Why says why no plan holds both objectives.
	Why []string `json:"why,omitempty"`
}

// cheaper is a plan with fewer GPUs, and the objective it breaks.
type cheaper struct {
	Prefill int    `json:"prefill"`
	Decode  int    `json:"decode"`
	GPUs    int    `json:"gpus"`
	Breaks  string `json:"breaks"` // ttft or tpot
	// PredictedMs is at the objective's percentile, nil where the role is overloaded.
	PredictedMs *float64 `json:"predictedMs,omitempty"`
}

// describe fills in what the model says of the plan's counts.
func (p *plan) describe(s capacity.Service, o *planOptions) {
	t := o.traffic()
	decode := s.DecodePool(p.Decode, t)
	prefill := s.PrefillPool(p.Prefill, t)
	p.GPUs = p.Prefill*o.prefillTP + p.Decode*o.decodeTP
	p.TTFTMs, p.TPOTMs = map[string]float64{}, map[string]float64{}
	for _, q := range quantiles(o.ttft.Quantile) {
		setFinite(p.TTFTMs, q, ttftMs(s, p.Prefill, decode, t, q))
	}
	for _, q := range quantiles(o.tpot.Quantile) {
		setFinite(p.TPOTMs, q, decode.TPOTQuantileMs(q))
	}
	p.PrefillLoad, p.DecodeLoad = finite(prefill.Load), finite(decode.LoadFor(o.tpot.Objective))
	p.DecodeBound = decode.Bound
}

// quantiles are those that a plan shows: the usual ones and the objective's.
func quantiles(objective float64) []float64 {
	all := []float64{0.5, 0.95, 0.99, objective}
	slices.Sort(all)
	return slices.Compact(all)
}

func percentile(q float64) string { return fmt.Sprintf("p%.6g", 100*q) }

func setFinite(m map[string]float64, q, ms float64) {
	if finite(ms) != nil {
		m[percentile(q)] = ms
	}
}

func finite(x float64) *float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return nil
	}
	return &x
}

func (p *plan) table(w io.Writer, o *planOptions) error {
	var b strings.Builder
	if p.Meets {
		fmt.Fprintf(&b, "%d prefill and %d decode replicas, %d GPUs in all\n\n", p.Prefill, p.Decode, p.GPUs)
	} else {
		fmt.Fprintf(&b, "No plan holds both objectives. Nearest are %d prefill and %d decode replicas, %d GPUs in all.\n", p.Prefill, p.Decode, p.GPUs)
		for _, why := range p.Why {
			fmt.Fprintf(&b, "%s.\n", strings.TrimSuffix(why, "."))
		}
		b.WriteByte('\n')
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tOBJECTIVE\tPREDICTED\tLOAD")
	fmt.Fprintf(t, "TTFT\t%s\t%s\t%s\n", o.ttft.String(), latencies(p.TTFTMs, o.ttft.Quantile), loadText(p.PrefillLoad, "compute"))
	fmt.Fprintf(t, "TPOT\t%s\t%s\t%s\n", o.tpot.String(), latencies(p.TPOTMs, o.tpot.Quantile), loadText(p.DecodeLoad, p.DecodeBound))
	t.Flush()
	if c := p.NextCheaper; c != nil {
		name, limit := "TTFT", o.ttft
		if c.Breaks == "tpot" {
			name, limit = "TPOT", o.tpot
		}
		says := "is overloaded and has no " + name + " at all"
		if c.PredictedMs != nil {
			says = fmt.Sprintf("has a %s %s of %.4g ms, over %.4g ms", percentile(limit.Quantile), name, *c.PredictedMs, limit.Ms)
		}
		fmt.Fprintf(&b, "\nThe next cheaper plan, %d prefill and %d decode on %d GPUs, %s.\n", c.Prefill, c.Decode, c.GPUs, says)
	} else if p.Meets {
		b.WriteString("\nOne replica of each role is the least there can be.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// latencies writes the predicted percentiles in their order.
func latencies(ms map[string]float64, objective float64) string {
	var parts []string
	for _, q := range quantiles(objective) {
		if v, ok := ms[percentile(q)]; ok {
			parts = append(parts, fmt.Sprintf("%s %.4g ms", percentile(q), v))
		}
	}
	if len(parts) == 0 {
		return "overloaded"
	}
	return strings.Join(parts, ", ")
}

func loadText(load *float64, of string) string {
	if load == nil {
		return "beyond any measure"
	}
	return fmt.Sprintf("%.0f %% of %s", 100**load, of)
}
