package calibrate

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// open opens a measured file, or skips the test where there are none.
func open(t *testing.T, name string) *os.File {
	t.Helper()
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the measured steps are not part of the repository")
	}
	f, err := os.Open(filepath.Join(dir, "h200", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func readGrid(t *testing.T) []Observation {
	t.Helper()
	rows, err := ReadGrid(open(t, "steps-qwen3-32b-tp1.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows.Observations) < 60 {
		t.Fatalf("the grid has %d rows", len(rows.Observations))
	}
	return rows.Observations
}

func qwen(t testing.TB) (perfmodel.Model, perfmodel.GPU) {
	t.Helper()
	m, err := perfmodel.LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	g, err := perfmodel.LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	return m, g
}

func fitted(t testing.TB, rows []Observation) *Calibration {
	t.Helper()
	m, g := qwen(t)
	c, err := FitAll(m, g, perfmodel.Options{}, rows)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hold fails where the mean error is above what is allowed, or the stated uncertainty is too small.
func hold(t *testing.T, what string, e Errors, mean float64) {
	t.Helper()
	t.Logf("%s: %d rows, mean |error| %.2f %% (allowed %.0f %%), worst %.1f %%, %.0f %% within two stated deviations",
		what, e.Rows, 100*e.Mean, 100*mean, 100*e.Worst, 100*e.Covered)
	if e.Rows == 0 || e.Mean > mean {
		t.Errorf("%s: mean |error| is %.2f %% over %d rows, allowed is %.0f %%", what, 100*e.Mean, e.Rows, 100*mean)
	}
	if e.Covered < 0.85 {
		t.Errorf("%s: only %.0f %% lie within two stated standard deviations", what, 100*e.Covered)
	}
}

// everyOther splits the rows of each kind.
func everyOther(rows []Observation) (odd, even []Observation) {
	seen := map[Kind]int{}
	for _, o := range rows {
		if seen[o.Kind]%2 == 0 {
			even = append(even, o)
		} else {
			odd = append(odd, o)
		}
		seen[o.Kind]++
	}
	return odd, even
}

func TestUnfittedGrid(t *testing.T) {
	rows := readGrid(t)
	prior := fitted(t, nil)
	hold(t, "no fit, prefill", prior.Errors(Prefill, rows), 0.12)
	hold(t, "no fit, decode", prior.Errors(Decode, rows), 0.10)
}

func TestFittedOnEveryOtherRowOfTheGrid(t *testing.T) {
	odd, even := everyOther(readGrid(t))
	for name, c := range map[string]struct{ on, rest []Observation }{"even rows": {even, odd}, "odd rows": {odd, even}} {
		fit := fitted(t, c.on)
		hold(t, "fitted on the "+name+", prefill", fit.Errors(Prefill, c.rest), 0.04)
		hold(t, "fitted on the "+name+", decode", fit.Errors(Decode, c.rest), 0.03)
	}
}

// The counters that a fitted replica should show are those that were read beside the steps.
func TestFittedActivityIsWhatTheCountersRead(t *testing.T) {
	a := fitted(t, readGrid(t)).Replica().BusyActivity
	for name, c := range map[string]struct{ got, read, within float64 }{
		"prefill tensor-active at 2048 tokens":      {a.PrefillTensorActive, 0.770, 0.05},
		"prefill DRAM-active at 2048 tokens":        {a.PrefillDRAMActive, 0.211, 0.03},
		"decode DRAM-active at 16 x 512":            {a.DecodeDRAMActive, 0.708, 0.03},
		"decode tensor-active at 16 x 512 (padded)": {a.DecodeTensorActive, 0.056, 0.02},
	} {
		t.Logf("%s: %.3f, read %.3f", name, c.got, c.read)
		if math.Abs(c.got-c.read) > c.within {
			t.Errorf("%s is %.3f, read %.3f, allowed is +-%v", name, c.got, c.read, c.within)
		}
	}
}

// Fitted on 64, 128 and 256 tokens only: the prior must hold what short prompts cannot tell.
func TestExtrapolationFromShortPrompts(t *testing.T) {
	var short []Observation
	var long Observation
	for _, o := range readGrid(t) {
		switch {
		case o.Kind == Prefill && o.Tokens <= 256:
			short = append(short, o)
		case o.Kind == Prefill && o.Tokens == 8192:
			long = o
		}
	}
	if len(short) != 3 || long.Ms == 0 {
		t.Fatalf("%d short prompts, long %+v", len(short), long)
	}
	c := fitted(t, short)
	off := c.PredictMs(long)/long.Ms - 1
	t.Logf("8192 tokens: predicted %.0f ms, measured %.0f ms (%+.1f %%), stated +-%.0f %%", c.PredictMs(long), long.Ms, 100*off, 100*c.Uncertainty(long))
	if math.Abs(off) > 0.25 || math.Abs(off) > 2*c.Uncertainty(long) {
		t.Errorf("off by %+.1f %%, allowed is 25 %% and twice the stated %.0f %%", 100*off, 100*c.Uncertainty(long))
	}
}

// The first half of a recorded service, by time, against its second half.
func TestFirstHalfOfAServicePredictsItsSecond(t *testing.T) {
	requests, err := ReadRequests(open(t, "pd-qwen3-32b-conv-4-requests.csv"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := ReadSteps(open(t, "pd-qwen3-32b-conv-4-steps.csv"))
	if err != nil {
		t.Fatal(err)
	}
	half := func(rows []Observation) (first, second []Observation) {
		for _, kind := range Kinds() {
			var of []Observation
			for _, o := range rows {
				if o.Kind == kind {
					of = append(of, o)
				}
			}
			first, second = append(first, of[:len(of)/2]...), append(second, of[len(of)/2:]...)
		}
		return first, second
	}
	first, second := half(append(requests.Observations, steps.Observations...))
	c := fitted(t, first)
	if pad := c.States[Prefill].PadTokens; pad != 128 {
		t.Errorf("prompts are taken as padded to %d, the service pads to 128", pad)
	}
	hold(t, "second half, prefill service", c.Errors(Prefill, second), 0.05)
	hold(t, "second half, wall time between busy steps", c.Errors(Decode, second), 0.05)
	hold(t, "second half, KV transfer", c.Errors(KVTransfer, second), 0.15)
	t.Logf("%+v %+v %+v", c.Replica().Prefill, c.Replica().Decode, c.Replica().Transfer)
}
