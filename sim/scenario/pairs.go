package scenario

import (
	"cmp"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

// pairs finds the cheapest static pair. Each role's least count is found with the other at its most, by bisection; from there
// the role that gains more is raised until the target is reached. Pairs beyond the budget are not tried.
func (t *tuner) pairs() error {
	spec := &t.scenario.Setup.Spec
	before, points := t.best, len(t.points)
	s := pairSearch{tuner: t, attained: map[policy.Counts]float64{}}
	mostPrefill, mostDecode := s.most()
	least, err := s.least(max(1, spec.Prefill.Min), mostPrefill, func(n int) policy.Counts { return policy.Counts{Prefill: n, Decode: spec.Decode.Max} })
	if err != nil {
		return err
	}
	from := policy.Counts{Prefill: least}
	if from.Decode, err = s.least(max(1, spec.Decode.Min), mostDecode, func(n int) policy.Counts { return policy.Counts{Prefill: spec.Prefill.Max, Decode: n} }); err != nil {
		return err
	}
	// The pairs so far may not fit the budget: those that do are tried again.
	t.best, t.points = before, t.points[:points]
	clear(s.attained)
	if !s.fits(from) {
		return s.edge()
	}
	return s.climb(from)
}

// pairSearch plays pairs of counts that hold for the whole time.
type pairSearch struct {
	*tuner
	attained map[policy.Counts]float64 // of the pairs played
}

// try plays a pair, once.
func (s *pairSearch) try(c policy.Counts) (attained float64, err error) {
	if v, ok := s.attained[c]; ok {
		return v, nil
	}
	one := trial{name: "static", scenario: *s.scenario, point: Point{Start: &c}}
	one.scenario.Setup.Start = c
	one.scenario.Engine.Prefill.Replicas, one.scenario.Engine.Decode.Replicas = c.Prefill, c.Decode
	one.scenario.Setup.Spec.BudgetGPUs = 0 // the pair itself fits, or is asked for without regard to the budget
	if err := s.play(&one); err != nil {
		return 0, err
	}
	s.keep(&one)
	s.attained[c] = one.report.Attainment
	return one.report.Attainment, nil
}

// most is the highest count of each role that the budget leaves beside the minimum of the other.
func (s *pairSearch) most() (prefill, decode int) {
	spec := &s.scenario.Setup.Spec
	if spec.BudgetGPUs == 0 {
		return spec.Prefill.Max, spec.Decode.Max
	}
	p, d := spec.Prefill.GPUsPerReplica, spec.Decode.GPUsPerReplica
	prefill = max(1, min(spec.Prefill.Max*p, spec.BudgetGPUs-spec.Decode.Min*d)) / p
	decode = max(1, min(spec.Decode.Max*d, spec.BudgetGPUs-spec.Prefill.Min*p)) / d
	return prefill, decode
}

func (s *pairSearch) fits(c policy.Counts) bool {
	spec := &s.scenario.Setup.Spec
	return spec.BudgetGPUs == 0 || c.Prefill*spec.Prefill.GPUsPerReplica+c.Decode*spec.Decode.GPUsPerReplica <= spec.BudgetGPUs
}

// least bisects for the lowest count that reaches the target, high where none does.
func (s *pairSearch) least(low, high int, at func(int) policy.Counts) (int, error) {
	for low < high {
		middle := (low + high) / 2
		v, err := s.try(at(middle))
		if err != nil {
			return 0, err
		}
		if v >= s.target {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// climb raises the role that gains more until the target is reached, or nothing more fits.
func (s *pairSearch) climb(c policy.Counts) error {
	spec := &s.scenario.Setup.Spec
	for {
		v, err := s.try(c)
		if err != nil || v >= s.target {
			return err
		}
		more := []policy.Counts{{Prefill: c.Prefill + 1, Decode: c.Decode}, {Prefill: c.Prefill, Decode: c.Decode + 1}}
		more = slices.DeleteFunc(more, func(c policy.Counts) bool {
			return c.Prefill > spec.Prefill.Max || c.Decode > spec.Decode.Max || !s.fits(c)
		})
		if len(more) == 0 {
			return nil
		}
		gains := map[policy.Counts]float64{}
		for _, m := range more {
			if gains[m], err = s.try(m); err != nil {
				return err
			}
		}
		c = slices.MaxFunc(more, func(a, b policy.Counts) int { return cmp.Compare(gains[a], gains[b]) })
	}
}

// edge tries the pairs that fill the budget: where the least of both roles does not fit, no pair reaches the target, and
// more replicas of one role are fewer of the other.
func (s *pairSearch) edge() error {
	spec := &s.scenario.Setup.Spec
	for prefill := max(1, spec.Prefill.Min); prefill <= spec.Prefill.Max; prefill++ {
		decode := min(spec.Decode.Max, (spec.BudgetGPUs-prefill*spec.Prefill.GPUsPerReplica)/spec.Decode.GPUsPerReplica)
		if decode < max(1, spec.Decode.Min) {
			break
		}
		if _, err := s.try(policy.Counts{Prefill: prefill, Decode: decode}); err != nil {
			return err
		}
	}
	return nil
}
