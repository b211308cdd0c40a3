package planner

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// attainableSlack is how close to the best latency that any count can give an
// objective is taken. An objective under that floor (one prompt's own prefill
// time, one decode step's weight read) cannot be met by more replicas; the role
// is then sized for the floor and this share of waiting on top, not for ever more.
const attainableSlack = 0.10

// worstRatio caps the ratio of latency to objective. A pool that is overloaded
// has no latency; its ratio is this times its load, so that less overloaded is
// better, and comparable between the roles.
const worstRatio = 1e6

// curve is one role's latency, as a share of its objective, by replica count.
// Values are worked out once and only when asked for.
type curve struct {
	latencyMs func(n int) float64
	limitMs   float64 // the objective, or the attainable part of it
	floorMs   float64 // what no count improves on
	handover  handover
	// work is the load of one replica that had to do it all: with n it is work/n.
	work float64
	memo []float64
}

// ratio returns latency over objective with n replicas: at most 1 is good.
// It falls with n. No replicas serve no demand.
func (c *curve) ratio(n int) float64 {
	if c.latencyMs == nil {
		return 0
	}
	if n <= 0 {
		return math.Inf(1)
	}
	if v := c.memo[n]; v >= 0 {
		return v
	}
	ms := c.latencyMs(n)
	v := min(ms/c.limitMs, worstRatio)
	if !finite(ms) {
		v = worstRatio * (1 + c.work/float64(n))
	}
	c.memo[n] = v
	return v
}

// smallest returns the fewest replicas up to most that hold the objective, or
// most when none does.
func (c *curve) smallest(most int) (n int, holds bool) {
	if c.latencyMs == nil {
		return 0, true
	}
	if c.ratio(most) > 1 {
		return most, false
	}
	low, high := 0, most // low does not hold, high does
	for high-low > 1 {
		if middle := (low + high) / 2; c.ratio(middle) <= 1 {
			high = middle
		} else {
			low = middle
		}
	}
	return high, true
}

// curveOf returns the latency curve of a role at the given traffic.
func (p *round) curveOf(r *roleRound, t capacity.Traffic) curve {
	return p.curveBy(&p.spec.Service, r, t)
}

// curveBy is the same by a model of the replicas.
func (p *round) curveBy(s *capacity.Service, r *roleRound, t capacity.Traffic) curve {
	if t.RequestsPerSecond <= 0 {
		return curve{}
	}
	c := curve{memo: make([]float64, r.top()+1)}
	for i := range c.memo {
		c.memo[i] = -1
	}
	objective, top := r.objective(p.spec), r.top()
	var floor, load float64
	if r.role == Prefill {
		c.handover = p.handover(s, t)
		handoverMs := c.handover.ms
		c.latencyMs = func(n int) float64 {
			return s.PrefillPool(n, t).TTFTQuantileMs(objective.Quantile) + handoverMs
		}
		most := s.PrefillPool(top, t)
		floor, load = most.FloorMs(objective.Quantile), most.Load
	} else {
		c.latencyMs = func(n int) float64 {
			return s.DecodePool(n, t).TPOTQuantileMs(objective.Quantile)
		}
		most := s.DecodePool(top, t)
		floor, load = most.FloorMs(objective.Quantile), most.LoadFor(objective)
	}
	c.work = min(load, 1e3) * float64(top)
	c.limitMs, c.floorMs = objective.Ms, floor+c.handover.ms
	// The slack is on the role's own floor: on the handover as well, a slower decode would leave prefill more time and not less.
	if attainable := floor*(1+attainableSlack) + c.handover.ms; finite(attainable) && attainable > objective.Ms {
		c.limitMs = attainable
	}
	return c
}

// top is the largest count that may be asked about.
func (r *roleRound) top() int { return max(r.spec.Max, r.pool.Desired, 1) + 1 }

// sizeRoles works out, per role, how many replicas the demand needs.
func (p *round) sizeRoles() {
	p.remember()
	for _, r := range p.roles() {
		traffic, known := p.demand(r)
		if !known {
			p.note(ReasonDemandUnknown, r.role, sprintf("the demand on %s is not known (%s): nothing goes down", r.role, r.d.Demand.Why))
			continue
		}
		r.known = true
		r.curve = p.curveOf(r, traffic)
		r.need, r.holds = r.curve.smallest(r.spec.Max)
		// What is held for a surge separates the way up from the way down as well: the tolerance is not on top of it.
		more, surge := traffic, r.d.Demand.SurgePerSecond
		more.RequestsPerSecond = max(traffic.RequestsPerSecond, (traffic.RequestsPerSecond-surge)*(1+p.spec.Behavior.Tolerance))
		wider := p.curveOf(r, more)
		r.keep, _ = wider.smallest(r.spec.Max)
		r.keep = max(r.keep, r.need)
		p.holdToPrior(r, traffic, more)
		p.describe(r, traffic)
		p.rememberNeed(r)
	}
}

// describe writes down what the model says of the role at this demand.
func (p *round) describe(r *roleRound, t capacity.Traffic) {
	s := &p.spec.Service
	n := max(r.ready, 0)
	objective := r.objective(p.spec)
	if r.role == Prefill {
		r.d.Wall = WallCompute
		if n > 0 {
			r.d.Load = s.PrefillPool(n, t).Load
		}
	} else {
		r.d.Wall = Wall(s.DecodePool(max(n, 1), t).BoundFor(objective))
		if n > 0 {
			r.d.Load = s.DecodePool(n, t).LoadFor(objective)
		}
	}
	if t.RequestsPerSecond <= 0 {
		r.d.Wall = ""
	}
	if r.curve.work > 0 {
		r.d.ServesPerSecond = t.RequestsPerSecond / r.curve.work
	}
	if !finite(r.d.Load) {
		r.d.Load = worstRatio
	}
	if r.curve.latencyMs == nil {
		return
	}
	if r.curve.limitMs > objective.Ms {
		p.note(ReasonUnattainable, r.role, sprintf("no count of %s replicas can hold %s: one request's own work takes %s ms; the role is sized for %s ms",
			r.role, r.objectiveText(p.spec), amount(r.curve.floorMs), amount(r.curve.limitMs)))
	}
	if why := p.decodesDoing(r); r.curve.handover.lateMs > 0 {
		p.note(ReasonBackPressure, r.role, why)
	}
	if !r.holds {
		p.note(ReasonCannotMeet, r.role, sprintf("%s of %s, the maximum, do not hold %s at %s requests/s",
			replicas(r.spec.Max), r.role, r.objectiveText(p.spec), amount(t.RequestsPerSecond)))
	}
}

func (r *roleRound) objective(s *Spec) capacity.Objective {
	if r.role == Prefill {
		return s.TTFT
	}
	return s.TPOT
}
