package planner

import (
	"slices"
	"time"
)

// limitRoles turns the wanted counts into those to write now.
func (p *round) limitRoles() {
	for _, r := range p.roles() {
		if r.fixed == "" && r.d.Wanted < r.d.From {
			p.limitDown(r)
		}
	}
	for _, r := range p.growingFirst() {
		if r.fixed == "" && r.d.Wanted > r.d.From {
			p.limitUp(r)
		}
	}
}

// limitDown applies what may hold a role up.
func (p *round) limitDown(r *roleRound) {
	from, to := r.d.From, r.d.Wanted
	switch {
	case r.spec.Down.Disabled:
		r.limit(ReasonDisabled, from, "scaling down is disabled for this role")
	case r.pool.Held != "":
		p.note(ReasonHeld, r.role, r.pool.Held)
		r.limit(ReasonHeld, from, r.pool.Held)
	case tooSoon(r.mem.LastDown, r.spec.Down.PeriodSeconds, p):
		r.limit(ReasonPeriod, from, sprintf("one decision down per %s", span(r.spec.Down.PeriodSeconds)))
	case r.spec.Down.MaxStep > 0 && from-to > r.spec.Down.MaxStep:
		r.limit(ReasonMaxStep, from-r.spec.Down.MaxStep, sprintf("at most %s at once", replicas(r.spec.Down.MaxStep)))
	default:
		r.d.To = to
	}
}

// limitUp applies what may hold a role down, the free GPUs last: nothing may
// raise the count after the budget was looked at.
func (p *round) limitUp(r *roleRound) {
	from, to := r.d.From, r.d.Wanted
	switch {
	case p.waitsForDonor(r):
		r.limit(ReasonMove, from, sprintf("pods of %s still hold their GPUs", p.other(r).role))
		return
	case p.waitsForReceiver(r):
		r.limit(ReasonMove, from, sprintf("%s is to have the GPUs first", p.other(r).role))
		return
	case r.spec.Up.MaxStep > 0 && to-from > r.spec.Up.MaxStep:
		to = from + r.spec.Up.MaxStep
		r.limit(ReasonMaxStep, to, sprintf("at most %s at once", replicas(r.spec.Up.MaxStep)))
	}
	if fits := p.freeGPUs / r.gpus; to-from > fits {
		to = from + fits
		r.limit(ReasonFreeGPUs, to, sprintf("%d GPUs of the budget are free now", p.freeGPUs))
	}
	r.d.To = to
	if p.freeGPUs != unlimitedGPUs {
		p.freeGPUs -= (to - from) * r.gpus
	}
}

// limit sets the count to write at once where it differs from the wanted one.
func (r *roleRound) limit(reason Reason, count int, detail string) {
	r.d.Steps = append(r.d.Steps, Step{Reason: reason, Before: r.d.Wanted, After: count, Detail: detail})
	r.d.Binding, r.d.To = reason, count
}

func tooSoon(last time.Time, period Seconds, p *round) bool {
	return period > 0 && !last.IsZero() && p.now.Sub(last) < period.Duration()
}

// growingFirst orders the roles by who gets the free GPUs first: the receiver
// of a move, a role under its minimum, then the one that misses its objective more.
func (p *round) growingFirst() []*roleRound {
	roles := []*roleRound{&p.prefill, &p.decode}
	urgency := func(r *roleRound) float64 {
		switch {
		case p.mem.Move != nil && p.mem.Move.grows() == r.role:
			return 3 * worstRatio * worstRatio
		case r.d.From < r.spec.Min:
			return 2 * worstRatio * worstRatio
		}
		return min(r.shortfall(r.d.From), worstRatio*worstRatio)
	}
	slices.SortStableFunc(roles, func(a, b *roleRound) int {
		switch ua, ub := urgency(a), urgency(b); {
		case ua > ub:
			return -1
		case ua < ub:
			return 1
		}
		return 0
	})
	return roles
}
