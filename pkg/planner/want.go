package planner

import "time"

// wantRoles sets the count each role wants for itself, before the budget.
func (p *round) wantRoles() {
	for _, r := range p.roles() {
		r.justified = r.d.From
		if r.fixed != "" {
			r.d.Binding = r.fixed
			continue
		}
		p.watchLatency(r)
		p.watchMissing(r)
		switch {
		case p.giveUp(r):
		case p.inMove(r):
			p.followMove(r)
		case !r.known:
			r.d.Binding = ReasonDemandUnknown
		case r.need > r.d.From:
			reason := ReasonObjective
			if !r.holds {
				reason = ReasonMaximum // it does not hold either
			}
			r.bind(reason, r.need, p.needDetail(r))
		case p.breachLasted(r):
			r.bind(ReasonBreach, r.d.From+1, sprintf("the observed latency has missed %s for %s although the model expects it to hold",
				r.objectiveText(p.spec), span(p.spec.Behavior.BreachSeconds)))
		case r.keep < r.d.From:
			p.wantFewer(r)
		case !r.holds && r.d.From >= r.spec.Max:
			r.d.Binding = ReasonMaximum
		case r.need < r.d.From:
			r.d.Steps = append(r.d.Steps, Step{Reason: ReasonObjective, Before: max(r.need, r.spec.Min), After: r.d.From,
				Detail: sprintf("%s would not hold %s with %.3g %% more demand", replicas(max(r.d.From-1, r.need)), r.objectiveText(p.spec), 100*p.spec.Behavior.Tolerance)})
		case r.unattainable(p.spec):
			r.d.Binding = ReasonUnattainable
		}
		p.bound(r)
		p.holdUp(r)
	}
}

// unattainable reports whether not even any number of replicas holds the objective.
func (r *roleRound) unattainable(s *Spec) bool {
	return r.curve.latencyMs != nil && r.curve.limitMs > r.objective(s).Ms
}

// holdUp keeps a role that may not grow now from wanting to: what it may not
// have must not be kept from the other role.
func (p *round) holdUp(r *roleRound) {
	if r.fixed != "" || r.d.Wanted <= r.d.From {
		return
	}
	switch {
	case r.spec.Up.Disabled:
		r.bind(ReasonDisabled, r.d.From, "scaling up is disabled for this role")
	case r.pool.Held != "":
		p.note(ReasonHeld, r.role, r.pool.Held)
		r.bind(ReasonHeld, r.d.From, r.pool.Held)
	case r.pool.HeldUp != "":
		p.note(ReasonHeld, r.role, r.pool.HeldUp)
		r.bind(ReasonHeld, r.d.From, r.pool.HeldUp)
	case tooSoon(r.mem.LastUp, r.spec.Up.PeriodSeconds, p):
		r.bind(ReasonPeriod, r.d.From, sprintf("one decision up per %s", span(r.spec.Up.PeriodSeconds)))
	}
}

// needDetail says what the needed count does for the objective.
func (p *round) needDetail(r *roleRound) string {
	if !r.holds {
		return sprintf("%s, the maximum, come closest to %s at the demand", replicas(r.need), r.objectiveText(p.spec))
	}
	return sprintf("%s hold %s at the demand", replicas(r.need), r.objectiveText(p.spec))
}

// bind changes the wanted count and names the cause.
func (r *roleRound) bind(reason Reason, count int, detail string) {
	r.d.Binding = reason
	if count != r.d.Wanted {
		r.step(reason, count, detail)
	}
}

// wantFewer lets a role go down if it did not need its replicas over a whole
// window, and nothing speaks against it.
func (p *round) wantFewer(r *roleRound) {
	needed, covered := p.neededOver(r, p.spec.Behavior.DownWindowSeconds)
	target := max(needed, r.keep, r.spec.Min)
	refuse := func(reason Reason, detail string) {
		r.d.Binding = reason
		r.d.Steps = append(r.d.Steps, Step{Reason: reason, Before: min(max(r.keep, r.spec.Min), r.d.From), After: r.d.From, Detail: detail})
	}
	switch busy := p.busierThanModelled(r); {
	case target >= r.d.From:
		switch {
		case max(needed, r.keep) < r.spec.Min:
			refuse(ReasonMinimum, sprintf("the minimum is %d", r.spec.Min))
		case needed >= r.d.From:
			refuse(ReasonWindow, sprintf("%d %s needed within the last %s", needed, were(needed), span(p.spec.Behavior.DownWindowSeconds)))
		}
	case !p.warm():
		refuse(ReasonWarmUp, "nothing goes down before a whole window was seen since the start")
	case !covered:
		refuse(ReasonWindow, sprintf("the demand was not known over the whole of the last %s", span(p.spec.Behavior.DownWindowSeconds)))
	case r.pool.Rollout:
		refuse(ReasonRollout, "a rollout is in progress: a scale-down now would remove updated pods")
	case r.ready < target:
		refuse(ReasonNotReady, sprintf("only %d of the %s that it needs are ready", r.ready, replicas(target)))
	case r.breached || p.now.Before(r.mem.QuietUntil):
		refuse(ReasonBreach, "the observed latency misses its objective, or did within the last window")
	case busy != "":
		refuse(ReasonActivity, busy)
		p.note(ReasonModelDisagrees, r.role, busy)
	default:
		r.bind(ReasonObjective, target, sprintf("%s %s enough over the last %s", replicas(target), were(target), span(p.spec.Behavior.DownWindowSeconds)))
		r.justified = target
	}
}

// bound applies maximum, minimum and the cap of a given-up replica.
func (p *round) bound(r *roleRound) {
	if r.d.Wanted > r.spec.Max {
		r.bind(ReasonMaximum, r.spec.Max, sprintf("the maximum is %d", r.spec.Max))
		r.justified = min(r.justified, r.spec.Max)
	}
	if p.now.Before(r.mem.CappedUntil) && r.d.Wanted > max(r.mem.CappedAt, r.d.From) {
		p.note(ReasonGivenUp, r.role, sprintf("%s stays at %d until %s: a replica beyond that could not start", r.role,
			max(r.mem.CappedAt, r.d.From), r.mem.CappedUntil.UTC().Format(time.TimeOnly)))
		r.bind(ReasonGivenUp, max(r.mem.CappedAt, r.d.From), "a replica beyond this could not start")
	}
	if r.d.Wanted < r.spec.Min {
		r.bind(ReasonMinimum, r.spec.Min, sprintf("the minimum is %d", r.spec.Min))
	}
	r.justified = max(r.justified, min(r.d.From, r.spec.Min))
}

// watchLatency keeps track of how long the observed latency misses the objective.
func (p *round) watchLatency(r *roleRound) {
	seen, objective := p.snap.Signals.TTFTMs, r.objective(p.spec)
	if r.role == Decode {
		seen = p.snap.Signals.TPOTMs
	}
	r.breached = p.breaches(seen, objective.Ms)
	if r.role == Decode && p.backPressure != "" && p.breaches(p.snap.Signals.TTFTMs, p.spec.TTFT.Ms) {
		r.breached = true // what decode makes wait for prefill is late for its first token
	}
	// An objective that no count can hold is no reason for more replicas.
	attainable := r.curve.latencyMs == nil || r.curve.limitMs <= objective.Ms
	if !r.breached || !attainable || p.decodesDoing(r) != "" || p.nothingToServe() {
		r.mem.BreachSince = time.Time{}
		return
	}
	if r.mem.BreachSince.IsZero() {
		r.mem.BreachSince = p.now
	}
}

// nothingToServe reports that no request comes and none waits, all of it read just now: a latency that is read all the same is
// of requests that are gone, or run where they are to their end, and a new replica would serve none of them.
func (p *round) nothingToServe() bool {
	s := &p.snap.Signals
	for _, r := range []Reading{s.RequestsPerSecond, s.PrefillWaiting, s.DecodeWaiting} {
		if p.fresh(r).Or(1) > 0 {
			return false
		}
	}
	return true
}

func (p *round) breaches(seen Quantile, limitMs float64) bool {
	return p.fresh(seen.Reading).Ok() && seen.surelyAbove(limitMs)
}

// surelyAbove reports whether the latency is above a limit whatever its place
// within its bucket; where the limit lies inside the bucket, the mean decides.
func (q Quantile) surelyAbove(limitMs float64) bool {
	if q.Or(0) <= limitMs {
		return false
	}
	return q.LowMs >= limitMs || q.LowMs == 0 && q.HighMs == 0 || q.MeanMs > limitMs
}

// mostQuietSeconds bounds how long a breach that comes back holds a role up.
const mostQuietSeconds = 6 * 3600

// breachLasted reports that the objective was missed for long enough, with all
// replicas ready and the model content, to add one against its opinion. One is
// added per breach time, and none goes down for a window after; where the breach
// comes back soon after that, for twice as long each time.
func (p *round) breachLasted(r *roleRound) bool {
	lasting := p.spec.Behavior.BreachSeconds
	if r.mem.BreachSince.IsZero() || lasting == 0 || p.now.Sub(r.mem.BreachSince) < lasting.Duration() ||
		r.ready < r.d.From || r.d.From >= r.spec.Max || r.known && !r.holds {
		return false
	}
	window := p.spec.Behavior.DownWindowSeconds
	if again := !r.mem.QuietUntil.IsZero() && p.now.Sub(r.mem.QuietUntil) < max(r.mem.QuietSeconds, window).Duration(); again {
		r.mem.QuietSeconds = min(max(2*r.mem.QuietSeconds, window), mostQuietSeconds)
	} else {
		r.mem.QuietSeconds = window
	}
	r.mem.BreachSince, r.mem.QuietUntil = p.now, p.now.Add(r.mem.QuietSeconds.Duration())
	p.note(ReasonModelDisagrees, r.role, sprintf("%s is missed with %d replicas although the model expects it to hold: the model is too hopeful for this service",
		r.objectiveText(p.spec), r.d.From))
	return true
}

// busierThanModelled returns why the GPUs look busier than the model expects,
// or nothing. Activity says nothing about saturation, but a replica that is
// busy half of the time shows half of its busy activity (facts: tensor pipe for
// prefill, DRAM for decode), so activity far above the modelled share of busy
// time means work that the model does not see.
func (p *round) busierThanModelled(r *roleRound) string {
	const margin = 0.15
	s := &p.snap.Signals
	seen, busy, share := p.fresh(s.PrefillTensorActive), p.spec.Service.Prefill.BusyActivity.PrefillTensorActive, r.d.Load
	counter := "tensor pipe"
	if r.role == Decode {
		// A decode replica is busy as long as it has one sequence.
		seen, busy, share = p.fresh(s.DecodeDRAMActive), p.spec.Service.Decode.BusyActivity.DecodeDRAMActive, 1
		if p.fresh(s.DecodeRunning).State == StateZero {
			share = 0
		}
		counter = "memory"
	}
	expected := min(share, 1) * busy
	if busy <= 0 || !seen.Ok() || seen.Or(0) <= expected+margin {
		return ""
	}
	return sprintf("the %s GPUs' %s is %.0f %% active where the model expects %.0f %%", r.role, counter, 100*seen.Or(0), 100*expected)
}

// watchMissing keeps track of how long fewer replicas have existed than are asked for.
func (p *round) watchMissing(r *roleRound) {
	switch live := len(r.pool.Replicas) - r.pool.count(Terminating); {
	case live >= r.d.From:
		r.mem.MissingSince = time.Time{}
	case r.mem.MissingSince.IsZero():
		r.mem.MissingSince = p.now
	}
}

// giveUp takes back replicas that could not start within their time, if the
// removal would hit just them. It keeps what is ready, and remembers not to ask
// for them again at once.
func (p *round) giveUp(r *roleRound) bool {
	if p.inMove(r) {
		return false
	}
	if r.mem.CapSeconds > 0 && r.ready > r.mem.CappedAt && !p.now.Before(r.mem.CappedUntil) {
		r.mem.CapSeconds = 0 // it can start again
	}
	timeout := p.spec.Behavior.StartTimeoutSeconds
	live, stuck, why := 0, 0, ""
	for i := len(r.pool.Replicas) - 1; i >= 0; i-- {
		replica := &r.pool.Replicas[i]
		if replica.State == Terminating {
			continue
		}
		if stuck == live && replica.State == Starting && !replica.Since.IsZero() && p.now.Sub(replica.Since) > timeout.Duration() {
			stuck++
			if why == "" {
				why = replica.Unschedulable
			}
		}
		live++
	}
	if live < r.d.From {
		// Their pods were never made: a quota, a webhook, a controller that is gone. A pod on its way out may be made again once
		// it is gone, and a rollout makes its pods one by one: neither is missing.
		stuck, why = 0, "no pods were made for them"
		missing := r.d.From - len(r.pool.Replicas)
		if asked := later(r.mem.LastUp, r.mem.MissingSince); missing > 0 && !r.pool.Rollout && p.now.Sub(asked) > timeout.Duration() {
			stuck = missing
		}
	}
	target := max(r.d.From-stuck, r.spec.Min)
	if stuck == 0 || live > r.d.From || target >= r.d.From {
		return false
	}
	if why == "" {
		why = "it did not become ready"
	}
	r.gaveUp = target
	r.bind(ReasonGivenUp, target, sprintf("%s could not start within %s: %s", replicas(stuck), span(timeout), why))
	r.justified = target
	p.note(ReasonGivenUp, r.role, sprintf("%s of %s could not start within %s and %s given up: %s", replicas(stuck), r.role, span(timeout), were(stuck), why))
	return true
}

// rememberGivenUp keeps replicas that were given up from being asked for again
// at once, for twice as long each time. It counts only what was really taken back.
func (p *round) rememberGivenUp(r *roleRound) {
	if r.gaveUp < 0 || r.d.To >= r.d.From {
		return
	}
	r.mem.CapSeconds = min(max(2*r.mem.CapSeconds, p.spec.Behavior.StartTimeoutSeconds), 3600)
	r.mem.CappedAt, r.mem.CappedUntil = r.d.To, p.now.Add(r.mem.CapSeconds.Duration())
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
