package policy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// present is the oracle without the future: it knows exactly, without noise or delay, what arrived up to now, and the model.
// What it takes more than the oracle no policy can save that does not guess the future.
type present struct {
	oracle
	hold int // intervals for which the most that was needed is kept
}

func (p *present) Decide(in *Input) (Counts, string) {
	i := int(in.At/p.every) - 1 // the last whole interval
	var c Counts
	for k := max(0, i-p.hold); k <= i; k++ {
		c.Prefill, c.Decode = max(c.Prefill, p.needs[k].Prefill), max(c.Decode, p.needs[k].Decode)
	}
	if in.At < 3*time.Minute {
		return in.Desired, "" // the trace begins with a minute of little traffic
	}
	return c, ""
}

// TestWhatTheFutureIsWorth measures how much of the regret on the Azure conversation trace is not knowing what comes, at the
// size and the attainment of docs/simulator.md.
func TestWhatTheFutureIsWorth(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the trace is not here")
	}
	const target, scale = 0.99, 24
	tr, err := trace.Open(filepath.Join(dir, "traces", "AzureLLMInferenceTrace_conv.csv"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if tr, err = tr.Scale(scale, 1); err != nil {
		t.Fatal(err)
	}
	s := setup(t, tr)
	s.Start, s.DecodeStartup = Counts{16, 5}, s.PrefillStartup
	s.Spec.Prefill.Max, s.Spec.Decode.Max, s.Spec.BudgetGPUs = 64, 64, 256
	s.Spec.TTFT, s.Spec.TPOT = capacity.Objective{Quantile: 0.99, Ms: 2000}, capacity.Objective{Quantile: 0.99, Ms: 40}
	cheapest := func(knobs []float64, policy func(*oracle) Policy) (least float64) {
		for _, s.Aggressiveness = range knobs {
			r := playPolicy(t, "oracle", policy(newOracle(s).(*oracle)), s, tr, Readings{})
			if r.Outcome.Attainment() >= target && (least == 0 || r.GPUHours < least) {
				least = r.GPUHours
			}
		}
		return least
	}
	known := cheapest([]float64{0.925, 0.95, 0.975, 1}, func(o *oracle) Policy { return o })
	best := 0.0
	for _, hold := range []int{0, 7} {
		hours := cheapest([]float64{1.2, 1.25, 1.3, 1.35, 1.4}, func(o *oracle) Policy { return &present{*o, hold} })
		t.Logf("knowing all but the future, replicas kept for %v: %.2f GPU-hours, the oracle %.2f: %.1f %% more",
			time.Duration(hold)*s.Spec.Behavior.IntervalSeconds.Duration(), hours, known, 100*(hours/known-1))
		if best == 0 || hours > 0 && hours < best {
			best = hours
		}
	}
	if !(known > 0 && best > 1.15*known) {
		t.Errorf("%.2f GPU-hours without the future and %.2f with it: docs/simulator.md says that the difference is more", best, known)
	}
}
