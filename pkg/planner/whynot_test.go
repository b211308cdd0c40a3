package planner

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Judging another count changes nothing, finds nothing wrong with the counts that are there, and finds what the planner finds: one
// replica fewer than are needed misses the objective, more than fit are over the budget, and beyond a bound is said to be.
func TestWhyNotAgreesWithThePlanner(t *testing.T) {
	sized, overBudget := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		before := in.Memory.clone()
		d, _ := Plan(in)
		if same := WhyNot(in, -1, -1); same.AskedGPUs != same.DecidedGPUs || same.Prefill.Asked != d.Prefill.To || same.Decode.Asked != d.Decode.To {
			t.Fatalf("the counts that were decided, %d and %d, are judged as %+v", d.Prefill.To, d.Decode.To, same)
		}
		if len(before.Prefill.Needs) != len(in.Memory.Prefill.Needs) || before.LastAt != in.Memory.LastAt {
			t.Fatal("the input was changed")
		}
		p := newRound(&in)
		if validate(&in) != "" {
			return
		}
		p.observe()
		p.sizeRoles()
		for _, r := range p.roles() {
			if !r.known || r.fixed != "" {
				continue
			}
			ask := func(n int) RoleAlternative {
				if r.role == Prefill {
					return WhyNot(in, n, -1).Prefill
				}
				return WhyNot(in, -1, n).Decode
			}
			if r.holds && r.need > 0 {
				if a := ask(r.need); !a.Holds {
					t.Fatalf("%s needs %d, and they are said not to hold: %+v", r.role, r.need, a)
				}
			}
			if r.need > 1 && r.need-1 != r.d.To {
				sized++
				if a := ask(r.need - 1); a.Holds && r.kept == "" || a.Asked != d.role(r.role).To && !speaks(a.Objections, ReasonObjective) {
					t.Fatalf("%s needs %d, and one fewer is said to do: %+v", r.role, r.need, a)
				}
			}
			if a := ask(r.spec.Max + 1); !speaks(a.Objections, ReasonMaximum) {
				t.Fatalf("more than the maximum is not refused: %+v", a)
			}
		}
		if budget := in.Spec.BudgetGPUs; budget > 0 && p.prefill.gpus > 0 && p.decode.gpus > 0 {
			overBudget++
			if a := WhyNot(in, budget/p.prefill.gpus, budget/p.decode.gpus+1); a.AskedGPUs > budget != speaks(a.Objections, ReasonBudget) {
				t.Fatalf("%d GPUs of a budget of %d: %+v", a.AskedGPUs, budget, a.Objections)
			}
		}
	})
	if sized == 0 || overBudget == 0 {
		t.Errorf("one fewer was asked about %d times and the budget %d times: the test has no subject", sized, overBudget)
	}
}

func speaks(all []Objection, reason Reason) bool {
	return slices.ContainsFunc(all, func(o Objection) bool { return o.Reason == reason })
}

// The wall is prefill's compute, and decode's that is met first.
func TestWallOfDecode(t *testing.T) {
	for _, c := range []struct {
		name string
		load load
		edit func(*Input)
		want Wall
	}{
		{"time enough for few", load{rate: 6, input: 400, output: 300}, func(in *Input) { in.Spec.Service.MaxSequences = 4096 }, WallBandwidth},
		{"a small cache", load{rate: 2, input: 4000, output: 300}, func(in *Input) { in.Spec.Service.Decode.KVCapacityTokens = 30_000 }, WallKV},
		{"few sequences", load{rate: 6, input: 400, output: 300}, func(in *Input) { in.Spec.Service.MaxSequences = 8 }, WallSequences},
	} {
		in := settled(testSpec(), have{2, 2}, have{1, 1}, c.load)
		c.edit(&in)
		if d, _ := Plan(in); d.Decode.Wall != c.want || d.Prefill.Wall != WallCompute {
			t.Errorf("%s: the walls are %q and %q, want compute and %q", c.name, d.Prefill.Wall, d.Decode.Wall, c.want)
		}
	}
}
