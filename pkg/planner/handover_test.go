package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"pgregory.net/rapid"
)

// endsAtDecode is a settled service whose first token comes from decode.
func endsAtDecode(prefill, decode have, sequences int, l load) Input {
	spec := testSpec()
	spec.BudgetGPUs, spec.Prefill.Max, spec.Decode.Max = 0, 60, 60
	spec.Service.TTFTEndsAt, spec.Service.MaxSequences = capacity.EndsAtDecode, sequences
	return settled(spec, prefill, decode, l)
}

// TestOverloadedDecodeNeverLowersPrefill: whatever decode makes a first token wait, prefill gets what it needs where decode
// has replicas enough: it neither goes down to less nor stays there, and does not grow for a latency that is not its own.
func TestOverloadedDecodeNeverLowersPrefill(t *testing.T) {
	for _, c := range []struct {
		name      string
		sequences int
		l         load
		decode    int
		// less is what prefill needed where it was judged by all of decode's wait.
		less, want int
		says       string
	}{
		{"waits for the cache", 256, load{rate: 1.2, input: 6000, output: 2000}, 1, 1, 2, "takes 12655 ms"},
		{"waits for the cache, long prompts", 256, load{rate: 3.446, input: 9000, output: 600}, 1, 3, 5, "takes 23982 ms"},
		{"waits for the cache, and so it would with the tolerance", 256, load{rate: 0.416, input: 20_000, output: 2000}, 1, 2, 3, "takes"},
		{"waits for a slot, TPOT holds", 32, load{rate: 2.409, input: 9000, output: 600}, 1, 2, 4, "takes 178756 ms"},
		{"waits for a slot nearly for ever", 32, load{rate: 29.562, input: 9000, output: 150}, 3, 19, 22, "does not keep up"},
		{"is overloaded", 32, load{rate: 0.79, input: 6000, output: 2000}, 1, 1, 2, "does not keep up"},
		{"is overloaded, long outputs", 256, load{rate: 2.968, input: 6000, output: 2000}, 1, 2, 3, "does not keep up"},
		{"leaves some of the objective", 256, load{rate: 2.473, input: 9000, output: 2000}, 3, 3, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			plenty := endsAtDecode(have{c.want, c.less}, have{50, 50}, c.sequences, c.l)
			if d, _ := Plan(plenty); d.Prefill.To != c.want || hasNote(d, ReasonBackPressure) {
				t.Fatalf("with decode replicas enough prefill goes to %d, want %d: %s", d.Prefill.To, c.want, d.Prefill.Because)
			}
			for _, from := range []int{c.less, c.want} {
				d, _ := Plan(endsAtDecode(have{from, c.less}, have{c.decode, c.decode}, c.sequences, c.l))
				if d.Prefill.To != c.want {
					t.Errorf("prefill goes from %d to %d, want %d: %s", from, d.Prefill.To, c.want, d.Prefill.Because)
				}
				if d.Prefill.AfterMs == nil {
					t.Errorf("nothing is predicted: %s", d.Prefill.Because)
				}
				if said := noteOf(d, ReasonBackPressure); !strings.Contains(said, c.says) || c.says == "" && said != "" {
					t.Errorf("the note is %q, want one that says %q", said, c.says)
				}
			}
			missed := endsAtDecode(have{c.want, c.want}, have{c.decode, c.decode}, c.sequences, c.l)
			missed.Snapshot.Signals.TTFTMs = Quantile{Reading: missed.fresh(9000)}
			missed.Memory.Prefill.BreachSince = missed.before(3600)
			if d, m := Plan(missed); d.Prefill.To != c.want || !m.Prefill.BreachSince.IsZero() {
				t.Errorf("prefill grows to %d for what decode is late: %s", d.Prefill.To, d.Prefill.Because)
			}
		})
	}
}

// TestQueueBeforePrefillDoesNotMakeDecodeLate: decode keeps up with what arrives, and not with the queue worked off on top.
func TestQueueBeforePrefillDoesNotMakeDecodeLate(t *testing.T) {
	l := load{rate: 2.4, input: 1000, output: 600}
	for waiting, queued := range map[float64]float64{0: 0, 10_000: l.rate} {
		in := endsAtDecode(have{2, 2}, have{1, 1}, 32, l)
		in.Snapshot.Signals.PrefillWaiting = in.fresh(waiting)
		in.Snapshot.Signals.TTFTMs = Quantile{Reading: in.fresh(9000)}
		in.Memory.Prefill.BreachSince = in.before(60)
		d, _ := Plan(in)
		if pool := in.Spec.Service.DecodePool(1, capacity.Traffic{RequestsPerSecond: l.rate + queued, ArrivalSCV: 1, Input: capacity.Lengths{Mean: l.input, SCV: 1},
			Output: OutputLengths(l.output, 1)}); pool.Stable != (queued == 0) {
			t.Fatalf("decode keeps up with %g requests/s more: %v", queued, pool.Stable)
		}
		if d.Prefill.Demand.BacklogPerSecond != queued || hasNote(d, ReasonBackPressure) || d.Prefill.To != 3 {
			t.Errorf("with %g waiting (%g requests/s) prefill goes to %d, want 3: %s; notes %v", waiting, d.Prefill.Demand.BacklogPerSecond, d.Prefill.To, d.Prefill.Because, d.Notes)
		}
	}
}

func noteOf(d Decision, reason Reason) string {
	for _, n := range d.Notes {
		if n.Reason == reason {
			return n.Message
		}
	}
	return ""
}

// TestPrefillNeedsNoLessForLessDecode: with any decode, the more so at the edge of what it holds, prefill needs at least
// what it needs beside plenty.
func TestPrefillNeedsNoLessForLessDecode(t *testing.T) {
	cases, late, unstable := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.Prefill.Max, spec.Decode.Max, spec.BudgetGPUs = 60, 60, 0
		spec.Behavior.Headroom = rapid.SampledFrom([]float64{0, 0.2}).Draw(t, "headroom")
		spec.TTFT.Ms = rapid.SampledFrom([]float64{2000, 300, 800, 5000}).Draw(t, "objective")
		spec.Service.TTFTEndsAt = capacity.EndsAtDecode
		spec.Service.MaxSequences = rapid.SampledFrom([]int{256, 32, 16}).Draw(t, "sequences")
		l := load{input: rapid.Float64Range(100, 15_000).Draw(t, "input"), output: rapid.Float64Range(20, 3000).Draw(t, "output")}
		n := rapid.IntRange(1, 4).Draw(t, "decode")
		pool := func() capacity.DecodePool {
			return spec.Service.DecodePool(n, capacity.Traffic{RequestsPerSecond: l.rate * (1 + spec.Behavior.Headroom), ArrivalSCV: 1,
				Input: capacity.Lengths{Mean: l.input, SCV: 1}, Output: OutputLengths(l.output, 1)})
		}
		l.rate = largest(0.001, 1e4, func(rate float64) bool { l.rate = rate; return pool().Stable })
		l.rate *= rapid.Float64Range(0.8, 1.3).Draw(t, "of what decode holds")
		size := func(decode int) *round {
			in := settled(spec, have{2, 2}, have{decode, decode}, l)
			p := newRound(&in)
			p.observe()
			p.sizeRoles()
			return p
		}
		tight, plenty := &size(n).prefill, &size(1000).prefill
		if tight.need < plenty.need || tight.keep < plenty.keep {
			t.Fatalf("prefill needs %d (%d with the tolerance), and %d (%d) beside plenty of decode", tight.need, tight.keep, plenty.need, plenty.keep)
		}
		cases++
		switch p := pool(); {
		case !p.Stable:
			unstable++
		case p.HandoverMs() >= spec.TTFT.Ms:
			late++
		}
	})
	if share := fmt.Sprintf("of %d cases decode was late in %d and overloaded in %d", cases, late, unstable); cases >= 100 && (20*late < cases || 5*unstable < cases) {
		t.Error("the test tests too little:", share)
	} else {
		t.Log(share)
	}
}
