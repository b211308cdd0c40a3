package planner

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestRolesAlone: without a budget and a move, each role gets exactly the count
// that rules 2 to 7, 10 and 12 give it, no more and no less.
func TestRolesAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Spec.BudgetGPUs, in.Memory.Move = 0, nil
		d, m := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			s := look(&in, &d, &m, role)
			if wanted, to := s.alone(); d.role(role).Wanted != wanted || d.role(role).To != to {
				t.Fatalf("%s %d -> %d of %d wanted; the rules say %d of %d (need %d, keep %d): %s",
					role, s.pool.Desired, d.role(role).To, d.role(role).Wanted, to, wanted, s.need, s.keep, d.role(role).Because)
			}
		}
	})
}

// TestPredictionsAreOfTheCounts: what the model is said to predict before and
// after is for the counts before and after, and missing where there is none.
func TestPredictionsAreOfTheCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		d, m := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			s, r := look(&in, &d, &m, role), d.role(role)
			for n, got := range map[int]*float64{r.From: r.BeforeMs, r.To: r.AfterMs} {
				if r.From == r.To {
					got = r.AfterMs
				}
				want := s.latency(n, 1)
				there := r.Demand.Known && r.Demand.RequestsPerSecond > 0 && n > 0 && want < 1e6*s.limitMs
				want += s.waitBeside()
				if (got != nil) != there || there && math.Abs(*got-want) > 1e-6*want {
					t.Fatalf("%s with %d: %v predicted, want %g: %s", role, n, got, want, r.Because)
				}
			}
			if r.Ready != s.ready || r.ObjectiveMs != s.objective.Ms {
				t.Fatalf("%s: %d ready for %g ms, want %d and %g", role, r.Ready, r.ObjectiveMs, s.ready, s.objective.Ms)
			}
			if r.Demand.Known && s.ready > 0 && r.Demand.RequestsPerSecond > 0 {
				load := in.Spec.Service.PrefillPool(s.ready, s.traffic).Load
				if role == Decode {
					load = in.Spec.Service.DecodePool(s.ready, s.traffic).LoadFor(s.objective)
				}
				if math.IsInf(load, 0) {
					load = 1e6
				}
				if math.Abs(r.Load-load) > 1e-9*load {
					t.Fatalf("%s has a load of %g, want %g", role, r.Load, load)
				}
			}
		}
	})
}

// TestBoundsApplyWhateverIsKnown: a minimum or maximum that a person changes is
// obeyed at once, in an outage and right after a start too.
func TestBoundsApplyWhateverIsKnown(t *testing.T) {
	for name, l := range map[string]load{"unknown": {unknown: true}, "known": {rate: 1, input: 500, output: 50}, "none": {}} {
		for _, restarted := range []bool{false, true} {
			in := settled(testSpec(), have{4, 4}, have{2, 2}, l)
			in.Spec.Prefill.Max, in.Spec.Decode.Min, in.Spec.BudgetGPUs = 3, 3, 40
			if restarted {
				in.Memory = Memory{}
			}
			d, _ := Plan(in)
			if d.Prefill.To != 3 || d.Prefill.Binding != ReasonMaximum || d.Decode.To != 3 || d.Decode.Binding != ReasonMinimum {
				t.Errorf("%s, restarted %v: %s", name, restarted, d.Summary)
			}
		}
	}
}
