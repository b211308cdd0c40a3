package calibrate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// shape reads a grid that test/measure wrote.
func shape(t *testing.T, model, file string, o perfmodel.Options) (perfmodel.Model, perfmodel.GPU, perfmodel.Options, []Observation) {
	t.Helper()
	m, err := perfmodel.LookupModel(model)
	if err != nil {
		t.Fatal(err)
	}
	_, g := qwen(t)
	f, err := os.Open(filepath.Join("..", "testdata", "h200", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := ReadGrid(f)
	if err != nil {
		t.Fatal(err)
	}
	return m, g, o, rows.Observations
}

// holdShape is hold without a bar for the stated uncertainty: NCCL changes its protocol within these grids, which no
// coefficient describes, and four rows say little of a share.
func holdShape(t *testing.T, what string, e Errors, mean float64) {
	t.Helper()
	t.Logf("%s: %d rows, mean |error| %.2f %% (allowed %.1f %%), worst %.1f %%, %.0f %% within two stated deviations",
		what, e.Rows, 100*e.Mean, 100*mean, 100*e.Worst, 100*e.Covered)
	if e.Rows == 0 || e.Mean > mean {
		t.Errorf("%s: mean |error| is %.2f %% over %d rows, allowed is %.1f %%", what, 100*e.Mean, e.Rows, 100*mean)
	}
}

func TestFittedOnEveryOtherRowOfMeasuredShapes(t *testing.T) {
	for _, s := range []struct {
		model, file     string
		o               perfmodel.Options
		prefill, decode float64
	}{
		{"Qwen3-32B", "steps-qwen3-32b-tp2.json", perfmodel.Options{TP: 2}, 0.04, 0.035},
		{"Qwen3-8B", "steps-qwen3-8b-tp1.json", perfmodel.Options{}, 0.04, 0.03},
		{"Qwen3-8B", "steps-qwen3-8b-tp2.json", perfmodel.Options{TP: 2}, 0.07, 0.03},
		{"Qwen3-30B-A3B", "steps-qwen3-30b-a3b-tp1.json", perfmodel.Options{}, 0.04, 0.03},
		{"Qwen3-30B-A3B", "steps-qwen3-30b-a3b-tp2.json", perfmodel.Options{TP: 2}, 0.04, 0.03},
		{"Qwen3-14B", "steps-qwen3-14b-tp1.json", perfmodel.Options{}, 0.04, 0.03},
		{"Llama-3.1-70B", "steps-llama-3.1-70b-tp2.json", perfmodel.Options{TP: 2}, 0.04, 0.03},
		{"Mixtral-8x7B", "steps-mixtral-8x7b-tp1.json", perfmodel.Options{}, 0.04, 0.03},
	} {
		m, g, o, rows := shape(t, s.model, s.file, s.o)
		odd, even := everyOther(rows)
		for name, c := range map[string]struct{ on, rest []Observation }{"even rows": {even, odd}, "odd rows": {odd, even}} {
			fit, err := FitAll(m, g, o, c.on)
			if err != nil {
				t.Fatal(err)
			}
			holdShape(t, s.file+" fitted on the "+name+", prefill", fit.Errors(Prefill, c.rest), s.prefill)
			holdShape(t, s.file+" fitted on the "+name+", decode", fit.Errors(Decode, c.rest), s.decode)
		}
	}
}

// What was learnt at one TP, taken to another, against steps measured there.
func TestRescaledToAnotherTP(t *testing.T) {
	for _, s := range []struct {
		model, on, to   string
		from, tp        int
		prefill, decode float64
	}{
		{"Qwen3-32B", "steps-qwen3-32b-tp1.json", "steps-qwen3-32b-tp2.json", 1, 2, 0.05, 0.05},
		{"Qwen3-32B", "steps-qwen3-32b-tp2.json", "steps-qwen3-32b-tp1.json", 2, 1, 0.05, 0.05},
		{"Qwen3-8B", "steps-qwen3-8b-tp1.json", "steps-qwen3-8b-tp2.json", 1, 2, 0.05, 0.05},
		{"Qwen3-8B", "steps-qwen3-8b-tp2.json", "steps-qwen3-8b-tp1.json", 2, 1, 0.05, 0.05},
		{"Qwen3-30B-A3B", "steps-qwen3-30b-a3b-tp1.json", "steps-qwen3-30b-a3b-tp2.json", 1, 2, 0.05, 0.05},
		{"Qwen3-30B-A3B", "steps-qwen3-30b-a3b-tp2.json", "steps-qwen3-30b-a3b-tp1.json", 2, 1, 0.05, 0.05},
	} {
		m, g, o, rows := shape(t, s.model, s.on, perfmodel.Options{TP: s.from})
		c, err := FitAll(m, g, o, rows)
		if err != nil {
			t.Fatal(err)
		}
		other, err := c.rescale(s.tp)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, rest := shape(t, s.model, s.to, o)
		holdShape(t, s.on+" taken to "+s.to+", prefill", other.Errors(Prefill, rest), s.prefill)
		holdShape(t, s.on+" taken to "+s.to+", decode", other.Errors(Decode, rest), s.decode)
	}
}
