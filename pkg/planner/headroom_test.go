package planner

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

func TestMoreHeadroomNeverGivesFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t, "load")
		less := rapid.Float64Range(-0.5, 2).Draw(t, "headroom")
		more := rapid.Float64Range(less, 4).Draw(t, "more headroom")
		plan := func(headroom float64) [2]int {
			spec := testSpec()
			spec.BudgetGPUs, spec.Behavior.Headroom = 0, headroom
			w := newWorld(spec, 1, 1)
			w.run(40, l)
			return w.counts()
		}
		if a, b := plan(less), plan(more); b[0] < a[0] || b[1] < a[1] {
			t.Fatalf("%v replicas with %.0f %% headroom, %v with %.0f %%", a, 100*less, b, 100*more)
		}
	})
}

// Under a hard cap that holds what both roles need, but not with headroom for both, neither goes short for the other's headroom.
func TestHeadroomGoesBeforeWhatIsExpected(t *testing.T) {
	spec := testSpec()
	l := load{rate: 9, input: 5000, output: 300}
	needed := [2]int{enough(spec, Prefill, l, 1), enough(spec, Decode, l, 1)}
	spec.BudgetGPUs = 2 * (needed[0] + needed[1])
	for _, headroom := range []float64{0, 0.1, 0.3, 1} {
		spec.Behavior.Headroom = headroom
		w := newWorld(spec, 1, 1)
		w.run(60, l)
		if got := w.counts(); got != needed {
			t.Errorf("with %.0f %% headroom the counts are %v, the budget holds just the %v that are needed", 100*headroom, got, needed)
		}
	}
}

func TestHeadroomThatIsNoShareIsRefused(t *testing.T) {
	for _, headroom := range []float64{-0.6, 5, math.NaN(), math.Inf(1)} {
		w := newWorld(testSpec(), 2, 1)
		w.spec.Behavior.Headroom = headroom
		if _, d := w.step(quiet); d.Prefill.Binding != ReasonInvalidSpec {
			t.Errorf("a headroom of %g was planned with", headroom)
		}
	}
}

func TestOutputLengthsAreWhatWasRead(t *testing.T) {
	for _, scv := range []float64{0, 0.1, 0.6, 1, 2, 5, 1e9} {
		for _, mean := range []float64{1, 50, 1200} {
			l := OutputLengths(mean, scv)
			if l.Histogram == nil {
				if scv > 1e-3 || l.Mean != mean {
					t.Errorf("%g tokens with SCV %g are %+v", mean, scv, l)
				}
				continue
			}
			// Its own mean, bin by bin.
			sum, total, below := 0.0, 0.0, 0.0
			for i, upTo := range l.Histogram.UpTo {
				if !(upTo > below) {
					t.Fatalf("the bins of SCV %g do not rise: %v", scv, l.Histogram.UpTo)
				}
				sum += l.Histogram.Count[i] * (below + upTo) / 2
				total += l.Histogram.Count[i]
				below = upTo
			}
			if got := sum / total; math.Abs(got/mean-1) > 1e-9 {
				t.Errorf("the mean of %g tokens with SCV %g is %g", mean, scv, got)
			}
		}
	}
}

// Long and short answers in one service: no two-moment Weibull's answers of one token, whose TPOT is the KV transfer.
func TestMixedOutputsAskForNoReplicasThatDoNotHelp(t *testing.T) {
	traffic := capacity.Traffic{RequestsPerSecond: 20, ArrivalSCV: 1, Input: capacity.Lengths{Mean: 4000, SCV: 1}}
	count := func(l capacity.Lengths) int {
		traffic.Output = l
		n, _ := sharedService.DecodeReplicas(traffic, capacity.Objective{Quantile: 0.99, Ms: 40}, 32)
		return n
	}
	mixed, even := count(OutputLengths(200, 2)), count(OutputLengths(200, 0.6))
	if mixed > even+1 {
		t.Errorf("%d decode replicas for mixed outputs, %d for even ones", mixed, even)
	}
	if weibull := count(capacity.Lengths{Mean: 200, SCV: 2}); weibull <= mixed {
		t.Errorf("two moments ask for %d replicas: the test has no subject", weibull)
	}
}
