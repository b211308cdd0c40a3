package capacity

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// The closed forms of the batch and of the largest batch against the step times that they solve for.
func TestBatchesSolveTheirStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string, most float64) float64 { return rapid.Float64Range(0, most).Draw(t, name) }
		d := perfmodel.Decode{
			WeightReadMs: ms("read", 30), GEMMMsPerSequence: ms("gemm", 0.3), PerSequenceMs: ms("sequence", 0.1),
			OverheadMs: 0.1 + ms("overhead", 10), KVMsPerToken: 1e-6 + ms("kv", 1e-4),
		}
		if rapid.Bool().Draw(t, "mixture") {
			d.ExpertReadMs, d.ExpertMissShare = ms("experts", 30), rapid.Float64Range(0.5, 0.99).Draw(t, "miss")
		}
		if rapid.Bool().Draw(t, "exchange") {
			d.ExchangeGrowth, d.ExchangeTokens = ms("growth", 1), 1+ms("half", 500)
		}
		s := Service{
			Decode: perfmodel.Replica{Decode: d, KVCapacityTokens: 1e12}, Prefill: perfmodel.Replica{KVCapacityTokens: 1e12},
			MaxSequences: 1 << 20,
		}
		traffic := Traffic{RequestsPerSecond: 0.01 + ms("rate", 5), ArrivalSCV: 1, Input: Lengths{Mean: 1000}, Output: Lengths{Mean: 201}}
		p := s.DecodePool(1, traffic)
		if p.BandwidthLoad >= 1 {
			return
		}
		x := 1 + traffic.RequestsPerSecond/1000*200*p.StepMs
		if want := d.StepMs(x, x*p.context.mean); math.Abs(p.StepMs-want) > 1e-6*want {
			t.Fatalf("the mean step is %v ms, a step of its batch %v takes %v ms", p.StepMs, x, want)
		}
		if x > 1e4 {
			return
		}
		if got := p.step.sequencesAt(p.StepMs); math.Abs(got-x) > 1e-5*x {
			t.Fatalf("a step of %v ms holds %v sequences, want %v", p.StepMs, got, x)
		}
	})
}
