package planner

import (
	"math"
	"time"
)

// pair is a count for each role.
type pair struct{ prefill, decode int }

// shareBudget fits the wanted counts into the GPU budget. Where a role that
// grows needs GPUs that the other holds beyond its own need, the other gives
// them (a move). Where both need more than there is, the pair is chosen whose
// worse objective is best.
func (p *round) shareBudget() {
	defer func() {
		if !p.stillBetter {
			p.mem.BetterSince = time.Time{} // also where nothing could be compared: a window has no gaps
		}
	}()
	if p.spec.BudgetGPUs == 0 || p.mem.Move != nil {
		return
	}
	if p.spec.Paused != "" {
		return
	}
	if p.prefill.gpus <= 0 || p.decode.gpus <= 0 {
		return // fixed for that reason; what is free bounds the other role
	}
	if p.d.GPUs.Held > p.spec.BudgetGPUs {
		p.shrinkIntoBudget()
		return
	}
	if p.excess() > 0 {
		p.takeSurplus(&p.prefill, &p.decode)
		p.takeSurplus(&p.decode, &p.prefill)
	}
	if p.excess() > 0 {
		p.compromise()
	}
	p.proposeMove()
}

// excess is how many GPUs the wanted counts take beyond the budget.
func (p *round) excess() int {
	return p.prefill.d.Wanted*p.prefill.gpus + p.decode.d.Wanted*p.decode.gpus - p.spec.BudgetGPUs
}

// shrinkIntoBudget lowers the wanted counts until they fit a budget that is
// below what is held. Nothing grows.
func (p *round) shrinkIntoBudget() {
	for _, r := range p.roles() {
		if r.d.Wanted > r.d.From {
			r.bind(ReasonOverBudget, r.d.From, "more GPUs are held than the budget")
		}
	}
	if p.excess() <= 0 {
		return
	}
	low := func(r *roleRound) int {
		if r.fixed != "" {
			return r.d.From
		}
		return min(r.spec.Min, r.d.Wanted)
	}
	best := p.bestPair(pair{low(&p.prefill), low(&p.decode)}, pair{p.prefill.d.Wanted, p.decode.d.Wanted})
	for _, r := range p.roles() {
		if n := best.count(r.role); n < r.d.Wanted {
			r.bind(ReasonOverBudget, n, sprintf("the budget is %d GPUs", p.spec.BudgetGPUs))
			r.justified = n
		}
	}
}

// mayDonate reports whether a role may give replicas to the other before its
// own scale-down window has passed.
func (p *round) mayDonate(r *roleRound) bool {
	return p.spec.Rebalance.Enabled && p.warm() && r.known && r.fixed == "" && !r.pool.Rollout && r.pool.Held == "" &&
		!r.spec.Down.Disabled && !p.now.Before(p.mem.MoveNotBefore) && !p.now.Before(r.mem.QuietUntil) &&
		!r.breached && p.busierThanModelled(r) == ""
}

// takeSurplus lowers a donor to what it has needed over the rebalance window,
// as far as the other role's growth asks for it.
func (p *round) takeSurplus(donor, receiver *roleRound) {
	if donor.d.Wanted > donor.d.From || receiver.d.Wanted <= receiver.d.From || receiver.fixed != "" || !p.mayDonate(donor) {
		return
	}
	needed, covered := p.neededOver(donor, p.spec.Rebalance.WindowSeconds)
	if !covered {
		return
	}
	least := max(needed, donor.keep, donor.spec.Min)
	give := min((p.excess()+donor.gpus-1)/donor.gpus, donor.d.Wanted-least)
	if left := donor.d.Wanted - give; give > 0 && donor.ready >= left {
		donor.bind(ReasonMove, left, sprintf("%s needs the GPUs more: %s has needed %s over the last %s",
			receiver.role, donor.role, replicas(max(needed, donor.keep)), span(p.spec.Rebalance.WindowSeconds)))
	}
}

// compromise chooses counts where the budget cannot hold what both roles want.
// Headroom and surge are for what may come, and go before what is expected: the
// roles are judged by their demand without them, and they get what is left.
// Taking replicas from one role for the other must make the worse objective
// better by more than the tolerance, over a whole rebalance window, or noise
// would move GPUs for ever.
func (p *round) compromise() {
	for _, r := range p.roles() {
		if r.known && r.d.Demand.RequestsPerSecond > r.expected.RequestsPerSecond {
			defer func(atDemand curve) { r.curve = atDemand }(r.curve) // what is predicted is of the whole demand
			r.curve = p.curveOf(r, r.expected)
		}
	}
	want := pair{p.prefill.d.Wanted, p.decode.d.Wanted}
	stay := pair{min(p.prefill.d.From, want.prefill), min(p.decode.d.From, want.decode)}
	best := p.bestPair(stay, want)
	low := stay
	for _, r := range p.roles() {
		if p.mayDonate(r) && r.ready >= r.d.From && p.other(r).fixed == "" && p.other(r).d.Wanted > p.other(r).d.From {
			low.set(r.role, min(r.spec.Min, stay.count(r.role)))
		}
	}
	if moved := p.bestPair(low, want); p.lastingly(p.worst(moved) < p.worst(best)*(1-max(p.spec.Behavior.Tolerance, 0.05))) {
		best = moved
	}
	if p.prefill.known && p.decode.known && p.worst(best) > 1 {
		p.note(ReasonCannotMeet, "", sprintf("%d GPUs do not hold both objectives: they would take %d prefill and %d decode replicas (%d GPUs); the best within the budget is %d and %d",
			p.spec.BudgetGPUs, want.prefill, want.decode, want.prefill*p.prefill.gpus+want.decode*p.decode.gpus, best.prefill, best.decode))
	}
	for _, r := range p.roles() {
		if n := best.count(r.role); n != r.d.Wanted {
			r.bind(ReasonBudget, n, sprintf("the budget of %d GPUs does not hold more of both", p.spec.BudgetGPUs))
		}
	}
}

// lastingly reports that something has held at every decision of the last
// rebalance window.
func (p *round) lastingly(holds bool) bool {
	if !holds {
		return false
	}
	p.stillBetter = true
	if p.mem.BetterSince.IsZero() {
		p.mem.BetterSince = p.now
	}
	return p.now.Sub(p.mem.BetterSince) >= p.spec.Rebalance.WindowSeconds.Duration()
}

// bestPair returns the counts between low and high that fit the budget and
// minimise, in this order: the worse of both ratios of latency to objective
// (met is met: a ratio under 1 counts as 1), the other ratio, changes. High is
// what the roles want, so GPUs beyond their need are never in it. Where not even
// the low counts fit it returns those.
//
// Along the edge of the budget prefill's ratio falls with its count and
// decode's rises, so the best pair lies where the two curves cross: bisection
// finds it without looking at every pair.
func (p *round) bestPair(low, high pair) pair {
	budget := p.spec.BudgetGPUs
	decodeAt := func(prefill int) int {
		return min(high.decode, (budget-prefill*p.prefill.gpus)/p.decode.gpus)
	}
	if p.gpusOf(low) > budget {
		return low
	}
	top := min(high.prefill, (budget-low.decode*p.decode.gpus)/p.prefill.gpus)
	lo, hi := low.prefill, top
	for lo < hi {
		middle := (lo + hi) / 2
		if p.prefill.shortfall(middle) <= p.decode.shortfall(decodeAt(middle)) {
			hi = middle
		} else {
			lo = middle + 1
		}
	}
	best := pair{lo, decodeAt(lo)}
	for _, n := range []int{lo - 1, lo + 1} {
		if n < low.prefill || n > top {
			continue
		}
		if other := (pair{n, decodeAt(n)}); p.better(other, best) {
			best = other
		}
	}
	// Where decode is at its upper bound, GPUs may be left: they are prefill's.
	best.prefill = max(best.prefill, min(high.prefill, (budget-best.decode*p.decode.gpus)/p.prefill.gpus))
	return best
}

// better orders pairs as bestPair says.
func (p *round) better(a, b pair) bool {
	worstA, otherA := p.ratios(a)
	worstB, otherB := p.ratios(b)
	if worstA != worstB {
		return worstA < worstB
	}
	if otherA != otherB {
		return otherA < otherB
	}
	return p.changes(a) < p.changes(b)
}

// ratios returns the worse and the better ratio of a pair, a met objective as 1.
func (p *round) ratios(c pair) (worse, other float64) {
	a, b := max(1, p.prefill.shortfall(c.prefill)), max(1, p.decode.shortfall(c.decode))
	return max(a, b), min(a, b)
}

func (p *round) worst(c pair) float64 { worse, _ := p.ratios(c); return worse }

func (p *round) gpusOf(c pair) int { return c.prefill*p.prefill.gpus + c.decode*p.decode.gpus }

func (p *round) changes(c pair) int {
	return abs(c.prefill-p.prefill.d.From) + abs(c.decode-p.decode.d.From)
}

// shortfall is the ratio of latency to objective with n replicas. Where the
// demand is not known it is the share of today's replicas that would be lost.
func (r *roleRound) shortfall(n int) float64 {
	switch {
	case n >= r.top():
		n = r.top()
	case n <= 0 && (r.curve.latencyMs != nil || !r.known && r.d.From > 0):
		return math.Inf(1)
	}
	if !r.known {
		return float64(r.d.From) / float64(max(n, 1))
	}
	return r.curve.ratio(n)
}

func (p *round) other(r *roleRound) *roleRound {
	if r.role == Prefill {
		return &p.decode
	}
	return &p.prefill
}

func (c pair) count(r Role) int {
	if r == Prefill {
		return c.prefill
	}
	return c.decode
}

func (c *pair) set(r Role, n int) {
	if r == Prefill {
		c.prefill = n
	} else {
		c.decode = n
	}
}

func abs(n int) int { return max(n, -n) }
