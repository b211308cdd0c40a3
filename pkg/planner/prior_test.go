package planner

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// corrected is a replica whose steps all take so many times as long.
func corrected(r perfmodel.Replica, times float64) perfmodel.Replica {
	p, d := r.Prefill.Coefficients(), r.Decode.Coefficients()
	for i := range p {
		p[i] *= times
	}
	for i := range d {
		d[i] *= times
	}
	r.Prefill, r.Decode = r.Prefill.WithCoefficients(p), r.Decode.WithCoefficients(d)
	return r
}

// Rule 13: however much faster the service was thought to be, what is wanted is at least the share of what the prior wants.
func TestRule13LearntTakesNoMoreThanItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := settled(testSpec(), have{8, 8}, have{8, 8}, load{
			rate: rapid.Float64Range(0.1, 20).Draw(t, "rate"), input: rapid.Float64Range(100, 8000).Draw(t, "input"), output: rapid.Float64Range(10, 1500).Draw(t, "output"),
		})
		in.Memory.Prefill.Needs, in.Memory.Decode.Needs = nil, nil
		in.Spec.BudgetGPUs, in.Spec.Behavior.Headroom = 0, 0
		unlearnt, _ := Plan(in)
		share := rapid.Float64Range(0, 1).Draw(t, "share")
		in.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: share}
		in.Spec.Service.Prefill = corrected(in.Spec.Service.Prefill, rapid.Float64Range(0.01, 2).Draw(t, "prefill"))
		in.Spec.Service.Decode = corrected(in.Spec.Service.Decode, rapid.Float64Range(0.01, 2).Draw(t, "decode"))
		learnt, m := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			before, after := look(&in, &unlearnt, &m, role), needOf(&m, role)
			before.in.Spec.Service = in.Spec.Prior.Service
			most, _ := before.fewest(1)
			if least := int(math.Ceil(share*float64(most) - 1e-9)); after < least {
				t.Fatalf("%s needs %d, and %d without what was learnt, of which %.2f are to be kept: %s", role, after, most, share, learnt.role(role).Because)
			}
		}
	})
}

// needOf is what a role was remembered to need last.
func needOf(m *Memory, role Role) int {
	needs := m.role(role).Needs
	return needs[len(needs)-1].Replicas
}

// A service that is far faster than the model gives replicas back, up to the bound, and says so.
func TestPriorBoundIsSaid(t *testing.T) {
	l := load{rate: 14, input: 3000, output: 300}
	in := settled(testSpec(), have{8, 8}, have{4, 4}, l)
	in.Spec.BudgetGPUs = 0
	free := in
	free.Spec.Service.Prefill = corrected(in.Spec.Service.Prefill, 0.3)
	d, _ := Plan(free)
	bound := free
	bound.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: 0.7}
	b, _ := Plan(bound)
	if !strings.Contains(b.Prefill.Because, "at least 70 % of what the model asked for before that") || strings.Contains(d.Prefill.Because, "asked for before") {
		t.Errorf("bound: %s\nfree: %s", b.Prefill.Because, d.Prefill.Because)
	}
	slower := in
	slower.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: 0.7}
	slower.Spec.Service.Prefill = corrected(in.Spec.Service.Prefill, 1.5)
	if s, _ := Plan(slower); strings.Contains(s.Prefill.Because, "asked for before") {
		t.Errorf("a slower service is not held back: %s", s.Prefill.Because)
	}
	wrong := bound
	wrong.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: math.NaN()}
	if w, _ := Plan(wrong); w.Prefill.Binding != ReasonInvalidSpec || !strings.Contains(w.Summary, "prior.leastShare is NaN") {
		t.Errorf("%s", w.Summary)
	}
}
