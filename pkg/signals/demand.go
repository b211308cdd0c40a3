package signals

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// requestsPerSecond is the rate at which requests arrive. It comes from one
// place only, because prefill and decode pods both count each request: the
// frontends where there are any, else the prefill pods and the growth of their
// queue, else the decode pods.
//
// What arrives is requests started. Where that is not exported it is requests
// finished plus the growth of those in flight: finished alone is throughput,
// which falls exactly when the service is stuck.
func (v *view) requestsPerSecond() planner.Reading {
	switch {
	case v.hasFrontend():
		return v.arrivalRate(KindFrontend)
	case len(of(v.listed, KindPrefill)) > 0:
		return v.arrivalRate(KindPrefill)
	case len(of(v.listed, KindDecode)) > 0:
		return v.arrivalRate(KindDecode)
	}
	return planner.Unknown("there is no pod to read demand from")
}

// flow is what arrived at the pods of one kind.
type flow struct {
	perSecond float64
	at        time.Time
	// seen is the shortest time that a pod was followed for.
	seen time.Duration
	used int
	// negative is set where more left a pod than was counted as finished.
	negative bool
}

func (v *view) arrivalRate(kind Kind) planner.Reading {
	pods := of(v.listed, kind)
	f, missing := v.flow(kind)
	switch {
	case missing != "":
		return planner.Unknown(missing)
	case f.used == 0:
		return planner.Unknown(v.cause(kind, arrivals))
	}
	source := count(f.used, kind)
	if f.used < len(pods) {
		source = fmt.Sprintf("%d of %s", f.used, count(len(pods), kind))
	}
	if kind == KindPrefill && v.queue != nil {
		// Requests in the queue have arrived, though no prefill pod has seen them.
		depth := v.queue.depth(v.queueErr)
		grows, ok := v.queue.growthPerSecond(v.cfg.Window, v.shortest())
		switch {
		case !depth.Ok():
			return planner.Unknown("what waits in the queue is part of demand: " + depth.Why)
		case !ok:
			return planner.Unknown(v.queue.name() + " was not read for long enough yet")
		}
		f.perSecond = max(0, f.perSecond+grows)
		source += " and " + v.queue.name()
	}
	switch {
	case f.perSecond > 0:
		return planner.Known(f.perSecond, f.at, source)
	case f.negative:
		return planner.Unknown("more requests left " + source + " than were counted as finished")
	case f.seen < v.cfg.Window:
		return planner.Unknown(fmt.Sprintf("no request in the %v that %s were followed: zero is confirmed after %v",
			f.seen.Round(time.Second), source, v.cfg.Window))
	}
	return planner.Zero(f.at, source)
}

// flow sums the arrivals of the pods of one kind. missing says which pod's
// share cannot be told; the sum of the others would be too low to be called demand.
func (v *view) flow(kind Kind) (f flow, missing string) {
	f.seen = 2 * v.cfg.Window
	speaks := false
	for _, p := range of(v.listed, kind) {
		speaks = speaks || p.last(arrivals) != nil
	}
	for _, p := range of(v.listed, kind) {
		base, last := p.span(arrivals, v.cfg.Window)
		switch {
		case !p.answered && !p.target.Ready:
			f.perSecond += v.leftBy(p) // as good as gone
			continue
		case last == nil || !v.fresh(last.at):
			// Dynamo's series appear with their first request: beside a pod that
			// shows them, one with an empty page has had none. A page with other
			// names is no such thing: it may be a version that calls them otherwise.
			unused := speaks && last == nil && p.empty
			if p.target.Ready && !unused && missing == "" {
				missing = fmt.Sprintf("%s gave no count of requests", p.name())
				if p.err != "" {
					missing += ": " + p.err
				}
			}
			continue
		case base == nil || last.at.Sub(base.at) < v.shortest():
			if !p.idle {
				if missing == "" {
					missing = fmt.Sprintf("%s was not read for long enough yet", p.name())
				}
				continue
			}
			f.seen = 0
		default:
			over := last.at.Sub(base.at)
			by := last.tally(arrivals).grown - base.tally(arrivals).grown
			f.negative = f.negative || by < 0
			f.perSecond += max(0, by) / over.Seconds()
			f.seen = min(f.seen, over)
		}
		f.used++
		f.at = older(f.at, last.at)
	}
	for _, p := range of(v.gone, kind) {
		f.perSecond += v.leftBy(p)
	}
	return f, missing
}

// shortest is the least time that a rate is taken over.
func (v *view) shortest() time.Duration { return v.cfg.Window / 6 }

// leftBy is what a pod that is gone still adds to the rate over the window:
// requests that it took before it went did arrive.
func (v *view) leftBy(p *pod) float64 {
	start := v.now.Add(-v.cfg.Window)
	base, last := p.span(arrivals, v.cfg.Window)
	if base == nil || !last.at.After(start) {
		return 0
	}
	share := 1.0
	// The nearest sample to the start of the window, so that little is left to a straight line.
	for i := range p.points {
		if at := &p.points[i]; at.tally(arrivals).name == last.tally(arrivals).name && at.at.After(base.at) && !at.at.After(start) {
			base = at
		}
	}
	if base.at.Before(start) {
		share = last.at.Sub(start).Seconds() / last.at.Sub(base.at).Seconds()
	}
	return max(0, last.tally(arrivals).grown-base.tally(arrivals).grown) * share / v.cfg.Window.Seconds()
}
