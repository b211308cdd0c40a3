package planner

import (
	"math"
	"strings"
)

// Objection is one thing that speaks against a count, with its reason.
type Objection struct {
	Reason Reason `json:"reason"`
	Text   string `json:"text"`
	// Later is set where the count may still come: it waits for time to pass or for GPUs to be let go.
	Later bool `json:"later,omitempty"`
}

// RoleAlternative is another count of one role, beside the one that was decided.
type RoleAlternative struct {
	Role Role `json:"role"`
	// Now is what the target asks for, Decided what the decision says, and Asked the other count.
	Now     int `json:"now"`
	Decided int `json:"decided"`
	Asked   int `json:"asked"`
	// ObjectiveMs, DecidedMs and AskedMs are the objective and what the model predicts for the two counts; nil is beyond any
	// bound (see Overloaded) or not known.
	ObjectiveMs float64  `json:"objectiveMs"`
	DecidedMs   *float64 `json:"decidedMs,omitempty"`
	AskedMs     *float64 `json:"askedMs,omitempty"`
	// Overloaded is set where the other count is known not to keep up at all.
	Overloaded bool `json:"overloaded,omitempty"`
	// Holds is set where the other count is known to hold the objective at the demand.
	Holds      bool        `json:"holds"`
	Objections []Objection `json:"objections,omitempty"`
}

// Alternative is another pair of counts, judged on the very input of a decision.
type Alternative struct {
	Prefill RoleAlternative `json:"prefill"`
	Decode  RoleAlternative `json:"decode"`
	// DecidedGPUs and AskedGPUs are what both pairs take when all their replicas run.
	DecidedGPUs int `json:"decidedGPUs"`
	AskedGPUs   int `json:"askedGPUs"`
	// Objections are those against both counts together.
	Objections []Objection `json:"objections,omitempty"`
}

// WhyNot judges other counts on the input of a decision: what of objectives, budget, limits and windows speaks against them.
// It decides nothing and changes nothing. Counts below 0 are those that were decided.
func WhyNot(in Input, prefill, decode int) Alternative {
	decided, _ := Plan(in)
	p := newRound(&in)
	if why := validate(&in); why != "" {
		return Alternative{Objections: []Objection{{Reason: ReasonInvalidSpec, Text: why}}}
	}
	p.observe()
	p.sizeRoles()
	p.advanceMove()
	for _, r := range p.roles() {
		if r.fixed == "" {
			p.watchLatency(r)
		}
	}
	var a Alternative
	for role, asked := range map[Role]int{Prefill: prefill, Decode: decode} {
		r, alternative := p.of(role), &a.Prefill
		if role == Decode {
			alternative = &a.Decode
		}
		to := decided.role(role).To
		if asked < 0 {
			asked = to
		}
		*alternative = p.alternative(r, to, asked)
		if d := decided.role(role); asked == d.From && asked != to && len(alternative.Objections) == 0 {
			// What is there does by itself, and was changed all the same.
			text := d.Because
			if n := len(d.Steps); n > 0 {
				text = d.Steps[n-1].Detail
			}
			alternative.Objections = append(alternative.Objections, Objection{Reason: d.Binding, Text: text})
		}
		a.DecidedGPUs += to * max(r.gpus, 0)
		a.AskedGPUs += asked * max(r.gpus, 0)
	}
	if budget := p.spec.BudgetGPUs; budget > 0 && a.AskedGPUs > budget {
		a.Objections = append(a.Objections, Objection{Reason: ReasonBudget, Text: sprintf("%d prefill and %d decode replicas take %d GPUs, and the budget is %d", a.Prefill.Asked, a.Decode.Asked, a.AskedGPUs, budget)})
	}
	p.objectToMove(&a)
	return a
}

// alternative judges one role's count.
func (p *round) alternative(r *roleRound, decided, asked int) RoleAlternative {
	a := RoleAlternative{Role: r.role, Now: r.d.From, Decided: decided, Asked: asked, ObjectiveMs: r.objective(p.spec).Ms}
	if r.known {
		a.DecidedMs, _ = p.latencyOf(r, decided)
		a.AskedMs, a.Overloaded = p.latencyOf(r, asked)
		a.Holds = !a.Overloaded && (r.curve.latencyMs == nil || asked > 0 && r.curve.ratio(min(asked, r.top())) <= 1)
	}
	object := func(reason Reason, later bool, text string) {
		a.Objections = append(a.Objections, Objection{Reason: reason, Text: text, Later: later})
	}
	if r.fixed != "" {
		object(r.fixed, false, r.fixedBecause)
	}
	switch {
	case asked > r.spec.Max:
		object(ReasonMaximum, false, sprintf("the maximum of %s is %d", r.role, r.spec.Max))
	case asked < r.spec.Min:
		object(ReasonMinimum, false, sprintf("the minimum of %s is %d", r.role, r.spec.Min))
	}
	switch {
	case asked == decided:
	case !r.known:
		if asked < r.d.From {
			object(ReasonDemandUnknown, true, sprintf("the demand is not known (%s), and on ignorance nothing goes down", r.d.Demand.Why))
		}
	case !a.Holds:
		object(ReasonObjective, false, p.missText(r, &a))
	case asked < r.need:
		object(ReasonObjective, false, sprintf("%s %s", r.role, strings.Replace(r.kept, "need ", "needs ", 1)))
	case asked < r.keep && asked < r.d.From:
		object(ReasonObjective, false, sprintf("%s would hold %s now, but not with %.3g %% more demand", replicas(asked), r.objectiveText(p.spec), 100*p.spec.Behavior.Tolerance))
	}
	switch {
	case r.fixed != "" || asked == decided:
	case asked > r.d.From:
		p.objectUp(r, asked, object)
	case asked < r.d.From:
		p.objectDown(r, asked, object)
	}
	return a
}

// latencyOf is what the model predicts with n replicas.
func (p *round) latencyOf(r *roleRound, n int) (ms *float64, overloaded bool) {
	if r.curve.latencyMs == nil {
		return nil, false // nothing arrives
	}
	if n <= 0 {
		return nil, true
	}
	latency := r.curve.latencyMs(n)
	if math.IsNaN(latency) || math.IsInf(latency, 0) || latency/r.curve.limitMs >= worstRatio {
		return nil, true
	}
	latency += r.curve.handover.waitMs
	return &latency, false
}

func (p *round) missText(r *roleRound, a *RoleAlternative) string {
	if a.Overloaded {
		return sprintf("with %s the queue would grow without end", replicas(a.Asked))
	}
	return sprintf("with %s it would be %s ms, and %s is asked for", replicas(a.Asked), amount(*a.AskedMs), r.objectiveText(p.spec))
}

// objectUp is what of limits keeps a role from growing to a count now.
func (p *round) objectUp(r *roleRound, asked int, object func(Reason, bool, string)) {
	switch {
	case r.spec.Up.Disabled:
		object(ReasonDisabled, false, sprintf("scaling %s up is disabled", r.role))
	case r.pool.Held+r.pool.HeldUp != "":
		object(ReasonHeld, true, r.pool.Held+r.pool.HeldUp)
	case tooSoon(r.mem.LastUp, r.spec.Up.PeriodSeconds, p):
		object(ReasonPeriod, true, sprintf("%s went up less than %s ago", r.role, span(r.spec.Up.PeriodSeconds)))
	case p.now.Before(r.mem.CappedUntil) && asked > r.mem.CappedAt:
		object(ReasonGivenUp, true, sprintf("a replica beyond %d could not start, and the next try is after %s", r.mem.CappedAt, r.mem.CappedUntil.UTC().Format("15:04:05")))
	case r.spec.Up.MaxStep > 0 && asked-r.d.From > r.spec.Up.MaxStep:
		object(ReasonMaxStep, true, sprintf("%s grows by at most %s at once", r.role, replicas(r.spec.Up.MaxStep)))
	}
	if need := (asked - r.d.From) * r.gpus; p.freeGPUs != unlimitedGPUs && need > p.freeGPUs {
		object(ReasonFreeGPUs, true, sprintf("%d more of %s take %d GPUs, and %d of the budget are free now", asked-r.d.From, r.role, need, p.freeGPUs))
	}
	if why := p.decodesDoing(r); why != "" {
		object(ReasonBackPressure, false, why)
	}
}

// objectDown is what of windows and care keeps a role from shrinking to a count now.
func (p *round) objectDown(r *roleRound, asked int, object func(Reason, bool, string)) {
	switch {
	case r.spec.Down.Disabled:
		object(ReasonDisabled, false, sprintf("scaling %s down is disabled", r.role))
	case r.pool.Held != "":
		object(ReasonHeld, true, r.pool.Held)
	case r.pool.Rollout:
		object(ReasonRollout, true, "a rollout is in progress, and a scale-down now would remove updated pods")
	case tooSoon(r.mem.LastDown, r.spec.Down.PeriodSeconds, p):
		object(ReasonPeriod, true, sprintf("%s went down less than %s ago", r.role, span(r.spec.Down.PeriodSeconds)))
	case r.spec.Down.MaxStep > 0 && r.d.From-asked > r.spec.Down.MaxStep:
		object(ReasonMaxStep, true, sprintf("%s shrinks by at most %s at once", r.role, replicas(r.spec.Down.MaxStep)))
	}
	needed, covered := p.neededOver(r, p.spec.Behavior.DownWindowSeconds)
	window := span(p.spec.Behavior.DownWindowSeconds)
	switch {
	case !r.known:
	case !p.warm():
		object(ReasonWarmUp, true, "nothing goes down before a whole window was seen since the start")
	case needed > asked:
		object(ReasonWindow, true, sprintf("%d %s needed within the last %s", needed, were(needed), window))
	case !covered:
		object(ReasonWindow, true, sprintf("the demand was not known over the whole of the last %s", window))
	}
	switch busy := p.busierThanModelled(r); {
	case r.breached || p.now.Before(r.mem.QuietUntil):
		object(ReasonBreach, true, "the observed latency misses its objective, or did within the last window")
	case r.known && r.ready < asked:
		object(ReasonNotReady, true, sprintf("only %d of the %s are ready", r.ready, replicas(asked)))
	case busy != "":
		object(ReasonActivity, true, busy)
	}
}

// objectToMove says that a running move decides both counts until it has ended.
func (p *round) objectToMove(a *Alternative) {
	m := p.mem.Move
	if m == nil || a.Prefill.Asked == a.Prefill.Decided && a.Decode.Asked == a.Decode.Decided {
		return
	}
	a.Objections = append(a.Objections, Objection{Reason: ReasonMove, Later: true, Text: sprintf("%d GPUs are on their way from %s to %s, and a move is ended before the next begins", m.GPUs, m.From, m.To)})
}
