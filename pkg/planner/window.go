package planner

import "time"

// windowSlices bounds the memory of a window: the most needed is kept per
// slice of window/windowSlices.
const windowSlices = 32

// rememberNeed adds what the role needs now to its window. A maximum over
// slices that reach a little further back than the window is never less than
// the maximum over the window.
func (p *round) rememberNeed(r *roleRound) {
	window := max(p.spec.Behavior.DownWindowSeconds, p.spec.Rebalance.WindowSeconds).Duration()
	needs := r.mem.Needs
	if n := len(needs); n > 0 && p.now.Sub(needs[n-1].From) < window/windowSlices && p.now.Sub(needs[n-1].To) <= p.longestGap() {
		last := &needs[n-1]
		last.To, last.Replicas = p.now, max(last.Replicas, r.keep)
	} else {
		needs = append(needs, Need{From: p.now, To: p.now, Replicas: r.keep})
	}
	// Drop what lies wholly before the window, but for one slice that shows it is covered.
	start := p.now.Add(-window)
	first := 0
	for first+1 < len(needs) && !needs[first+1].From.After(start) {
		first++
	}
	r.mem.Needs = needs[first:]
}

// longestGap is how long the demand may be unknown without breaking a window:
// a missed scrape must not cost a whole window, an outage must.
func (p *round) longestGap() time.Duration {
	return max(3*p.spec.Behavior.IntervalSeconds, p.spec.Behavior.DownWindowSeconds/10).Duration()
}

// neededOver returns the most replicas the role needed over the last window,
// and whether the demand was known over all of it.
func (p *round) neededOver(r *roleRound, window Seconds) (replicas int, covered bool) {
	start := p.now.Add(-window.Duration())
	covered = len(r.mem.Needs) > 0 && !r.mem.Needs[0].From.After(start)
	gap := p.longestGap()
	var before time.Time
	for i, need := range r.mem.Needs {
		if need.To.Before(start) {
			before = need.To
			continue
		}
		replicas = max(replicas, need.Replicas)
		if i > 0 && !before.IsZero() && need.From.Sub(before) > gap {
			covered = false
		}
		before = need.To
	}
	if before.IsZero() || p.now.Sub(before) > gap {
		covered = false
	}
	return replicas, covered
}

// warmUpHorizons is for how many horizons demand must have been watched before
// anything goes down: how it moves within one is not known before a few have passed.
const warmUpHorizons = 3

// warm reports whether a whole scale-down window was seen since the start, and
// enough of the demand to know how it moves.
func (p *round) warm() bool {
	watched := warmUpHorizons * max(p.prefill.horizon(p.spec), p.decode.horizon(p.spec))
	return p.now.Sub(p.mem.Since) >= max(p.spec.Behavior.DownWindowSeconds.Duration(), watched)
}
