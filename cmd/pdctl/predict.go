package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// prediction is what predict prints.
type prediction struct {
	Model            string         `json:"model"`
	GPU              string         `json:"gpu"`
	TP               int            `json:"tp"`
	Prefill          []prefillPoint `json:"prefill"`
	Decode           []decodePoint  `json:"decode"`
	GPUs             int            `json:"gpus"`
	KVBytesPerToken  float64        `json:"kvBytesPerToken"`
	KVCapacityTokens float64        `json:"kvCapacityTokens"`
	WeightBytes      float64        `json:"weightBytes"`
	Load             phaseLoads     `json:"load"`
}

// prefillPoint is one prompt alone in a step.
type prefillPoint struct {
	Tokens int     `json:"tokens"`
	Ms     float64 `json:"ms"`
}

// decodePoint is one step of a batch, each sequence with so many tokens of context.
type decodePoint struct {
	Batch   int     `json:"batch"`
	Context int     `json:"context"`
	Ms      float64 `json:"ms"`
}

// phaseLoads are the activities, 0..1, that DCGM should read while a phase runs without a pause.
type phaseLoads struct {
	Prefill activity `json:"prefill"`
	Decode  activity `json:"decode"`
}

type activity struct {
	TensorActive float64 `json:"tensorActive"`
	DRAMActive   float64 `json:"dramActive"`
}

func newPredict(env environment) *cobra.Command {
	var model modelOptions
	tp := 1
	prompts := tokenCounts{128, 512, 2048, 8192}
	steps := batches{{1, 512}, {16, 1024}, {64, 2048}}
	cmd := &cobra.Command{
		Use:   "predict",
		Short: "Predict step times and memory of one replica",
		Long: `predict says what one replica does: the milliseconds of a prefill step with one prompt, of a decode
step with a batch of sequences, the tokens that its KV cache holds, and the activities (DCGM fields
1004 and 1005, 0..1) of a replica that is busy all the time.

The numbers are the roofline's, with shares of the peaks that real kernels reach: what is believed
before the service has shown anything. With --fit they are corrected by what it has shown.

Exit codes: 0 predicted; 2 wrong flags, or a model that does not fit.`,
		Example: `  pdctl predict --model qwen3-32b --gpu h200 --tp 1 --prefill 64,512,8192 --decode 1x512,64x2048 -o json`,
		Args:    noArguments,
	}
	output := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if model.dp < 1 || model.pp < 1 {
			return usageError("--dp is %d and --pp is %d: allowed is 1 or more of each", model.dp, model.pp)
		}
		replica, padTokens, err := model.replica(tp, "tp")
		if err != nil {
			return err
		}
		p := predict(replica, padTokens, prompts, steps)
		m, g, err := model.find()
		if err != nil {
			return err
		}
		p.Model, p.GPU, p.TP = m.Name, g.Name, tp
		return output.write(env.stdout, p, p.table)
	}
	model.add(cmd)
	model.addFit(cmd)
	model.addParallel(cmd)
	cmd.Flags().IntVar(&tp, "tp", tp, "GPUs of a replica (tensor parallel)")
	cmd.Flags().Var(&prompts, "prefill", "prompt lengths in tokens")
	cmd.Flags().Var(&steps, "decode", "decode steps: sequences x tokens of context of each")
	return cmd
}

func predict(r perfmodel.Replica, padTokens int, prompts tokenCounts, steps batches) prediction {
	p := prediction{
		Prefill: []prefillPoint{}, Decode: []decodePoint{},
		GPUs: r.GPUs, KVBytesPerToken: r.KVBytesPerToken, KVCapacityTokens: r.KVCapacityTokens, WeightBytes: r.WeightBytes,
		Load: phaseLoads{
			Prefill: activity{r.BusyActivity.PrefillTensorActive, r.BusyActivity.PrefillDRAMActive},
			Decode:  activity{r.BusyActivity.DecodeTensorActive, r.BusyActivity.DecodeDRAMActive},
		},
	}
	for _, n := range prompts {
		p.Prefill = append(p.Prefill, prefillPoint{n, r.Prefill.StepMs(calibrate.PadTokens(float64(n), padTokens), 0)})
	}
	for _, b := range steps {
		p.Decode = append(p.Decode, decodePoint{b.sequences, b.context, r.Decode.StepMs(float64(b.sequences), float64(b.sequences)*float64(b.context))})
	}
	return p
}

func (p prediction) table(w io.Writer) error {
	fmt.Fprintf(w, "%s on %d x %s\n\n", p.Model, p.GPUs, p.GPU)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "prompt tokens\tms\ttokens/s\t")
	for _, v := range p.Prefill {
		fmt.Fprintf(t, "%d\t%.2f\t%.0f\t\n", v.Tokens, v.Ms, 1000*float64(v.Tokens)/v.Ms)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sequences\tcontext\tms\ttokens/s\t")
	for _, v := range p.Decode {
		fmt.Fprintf(t, "%d\t%d\t%.2f\t%.0f\t\n", v.Batch, v.Context, v.Ms, 1000*float64(v.Batch)/v.Ms)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, `
KV cache: %.0f bytes per token, room for %.0f tokens
weights:  %.1f GB
busy:     prefill tensor pipe %.0f %%, memory %.0f %%; decode tensor pipe %.0f %%, memory %.0f %%
`, p.KVBytesPerToken, p.KVCapacityTokens, p.WeightBytes/1e9, 100*p.Load.Prefill.TensorActive, 100*p.Load.Prefill.DRAMActive,
		100*p.Load.Decode.TensorActive, 100*p.Load.Decode.DRAMActive)
	return err
}
