package policy

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// present is the oracle without the future: it knows exactly, without noise or delay, what arrived up to now, and the model, and
// each role has a headroom of its own. What it takes more than the oracle no policy can save that does not guess the future.
type present struct {
	prefill, decode *oracle // with the headroom of the role as their knob
	hold            int     // intervals for which the most that was needed is kept
}

func (p *present) Interval() time.Duration { return p.prefill.every }

func (p *present) Decide(in *Input) (Counts, string) {
	i := int(in.At/p.prefill.every) - 1 // the last whole interval
	var c Counts
	for k := max(0, i-p.hold); k <= i; k++ {
		c.Prefill, c.Decode = max(c.Prefill, p.prefill.needs[k].Prefill), max(c.Decode, p.decode.needs[k].Decode)
	}
	if in.At < 3*time.Minute {
		return in.Desired, "" // the trace begins with a minute of little traffic
	}
	return c, ""
}

// TestWhatTheFutureIsWorth measures how much of the regret on the Azure conversation trace is not knowing what comes, at the
// size and the attainment of docs/simulator.md.
func TestWhatTheFutureIsWorth(t *testing.T) {
	const target = 0.99
	s := azure(t)
	hours := func(p Policy) float64 {
		r := playPolicy(t, "oracle", p, s, s.Traffic, Readings{})
		if r.Outcome.Attainment() < target {
			return math.Inf(1)
		}
		return r.GPUHours
	}
	knowing := func(knob float64) *oracle {
		s.Aggressiveness = knob
		return newOracle(s).(*oracle)
	}
	known := math.Inf(1)
	for _, knob := range []float64{0.95, 0.9625, 0.975, 1} {
		known = min(known, hours(knowing(knob)))
	}
	best, one := math.Inf(1), math.Inf(1)
	for _, hold := range []int{0, 4} {
		for _, more := range []float64{1.2, 1.25, 1.3} {
			prefill := knowing(more)
			one = min(one, hours(&present{prefill, prefill, hold}))
			for _, other := range []float64{1.05, 1.1} {
				best = min(best, hours(&present{prefill, knowing(other), hold}))
			}
		}
	}
	t.Logf("knowing all but the future takes %.2f GPU-hours with one headroom for both roles and %.2f with one for each, the oracle %.2f: %.1f and %.1f %% more",
		one, best, known, 100*(one/known-1), 100*(best/known-1))
	if !(best > 1.13*known && best < one) {
		t.Errorf("%.2f GPU-hours without the future, %.2f with it: docs/simulator.md says that the difference is more", best, known)
	}
}

// azure is the conversation trace at the size of docs/simulator.md.
func azure(t *testing.T) *Setup {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the trace is not here")
	}
	tr, err := trace.Open(filepath.Join(dir, "traces", "AzureLLMInferenceTrace_conv.csv"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if tr, err = tr.Scale(24, 1); err != nil {
		t.Fatal(err)
	}
	s := setup(t, tr)
	s.Start, s.DecodeStartup = Counts{16, 5}, s.PrefillStartup
	s.Spec.Prefill.Max, s.Spec.Decode.Max, s.Spec.BudgetGPUs = 64, 64, 256
	s.Spec.TTFT, s.Spec.TPOT = capacity.Objective{Quantile: 0.99, Ms: 2000}, capacity.Objective{Quantile: 0.99, Ms: 40}
	return s
}
