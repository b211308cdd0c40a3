package signals

import (
	"slices"
	"time"
)

// pod is one metrics page over time.
//
// Counters are kept as growth since the pod was first seen, so that a window
// is a difference of two points whatever happened between them: a counter that
// fell is a restart and its new value is what grew since; a series that is new
// on a page seen before began at zero; the first sample of a pod only starts.
type pod struct {
	target Target
	// listed, answered, spoke and empty say of the latest collection that the
	// pod was a target, gave a valid page, that the page held something of the
	// vocabulary, and that it held no sample at all.
	listed, answered, spoke, empty bool
	err                            string
	// latestUp says of a pod that Prometheus reads that the last scrape succeeded.
	latestUp bool
	notes    []string
	// failures counts the collections in a row without an answer.
	failures int

	// words are the vocabulary that the latest page spoke, nil before the first.
	words  *vocabulary
	latest sample
	points []point
	raw    map[quantity]measured
	grown  map[quantity]float64
	shapes map[quantity]*buckets
	// flying is how many requests were in flight in the sample that arrivals were last counted in.
	flying float64
	// idle is true while the pod has never had a request, its first sample included.
	idle bool
	// fell is when a counter was last found to have fallen, or the clock to have gone back.
	fell time.Time
	// wentBack says that the clock went back since the latest sample.
	wentBack bool
	// shown is where the pod stood at the end of the last interval.
	shown standing
}

func newPod(t Target) *pod {
	return &pod{target: t, raw: map[quantity]measured{}, grown: map[quantity]float64{}, shapes: map[quantity]*buckets{}}
}

// observe takes in one sample. keep is how long points may still be needed.
func (p *pod) observe(s sample, v *vocabulary, keep time.Duration) {
	p.latest, p.notes = s, s.notes
	p.spoke = len(s.measured) > 0
	if n := len(p.points); p.wentBack || n > 0 && !s.at.After(p.points[n-1].at) {
		if n > 0 && s.at.Equal(p.points[n-1].at) {
			return // the page gives its own times and has nothing new
		}
		p.notes = append(p.notes, "the clock went back: its rates begin again")
		p.wentBack = false
		p.forget()
		p.fell, p.shown = s.at, standing{}
	}
	next := point{at: s.at, tallies: make([]tally, 0, len(s.measured)+1)}
	restarted := false
	for _, w := range v.words {
		m, ok := s.measured[w.what]
		if !ok || w.form == gauge {
			continue
		}
		if p.grow(w, m, v.lazy || w.late) {
			restarted = true
		}
		next.tallies = append(next.tallies, tally{what: w.what, name: m.name, grown: p.grown[w.what], shape: p.shapes[w.what]})
	}
	if restarted {
		p.notes = append(p.notes, "a counter fell: the process restarted, and is counted from zero")
		p.fell = s.at
	}
	p.arrive(s, v, restarted, &next)
	p.points = append(p.points, next)
	for len(p.points) > 1 && !p.points[1].at.After(s.at.Add(-keep)) {
		p.points = p.points[1:]
	}
}

// forget begins the pod's series again.
func (p *pod) forget() {
	fresh := newPod(p.target)
	p.points, p.raw, p.grown, p.shapes = nil, fresh.raw, fresh.grown, fresh.shapes
}

// maxGone bounds how many series that are no longer on a page are remembered per quantity.
const maxGone = 100

// grow adds what a counter or histogram grew by since it was last measured and
// reports whether it fell. A lazy one that was not on the page before was zero.
func (p *pod) grow(w word, m measured, lazy bool) (fell bool) {
	before, seen := p.raw[w.what]
	seen = seen && before.name == m.name || !seen && lazy && len(p.points) > 0
	was := map[string]series{}
	if seen {
		for _, s := range before.series {
			was[s.key] = s
		}
	}
	var shape *buckets
	by := 0.0
	for _, s := range m.series {
		old, born := was[s.key], !seen
		delete(was, s.key)
		switch {
		case w.form != histogram && born:
		case w.form != histogram:
			step := s.value - old.value // a series new on a known page had 0
			if step < 0 {
				step, fell = s.value, true
			}
			by += step
		case born:
			shape = shape.plus(&buckets{bounds: s.hist.bounds, upTo: make([]float64, len(s.hist.upTo)), native: s.hist.native})
		case old.hist == nil:
			shape = shape.plus(s.hist)
		default:
			if slices.Equal(s.hist.bounds, old.hist.bounds) {
				s.hist.bounds = old.hist.bounds // one copy for as long as the pod lives
			}
			step, ok := s.hist.minus(old.hist)
			if !ok {
				step, fell = s.hist, true
			}
			shape = shape.plus(step)
		}
	}
	// A series that is gone may come back: its last value stays the base, so
	// that a gap on the page is not taken for traffic.
	keep := measured{name: m.name, series: m.series}
	for _, s := range was {
		if len(keep.series) == len(m.series)+maxGone {
			break
		}
		keep.series = append(slices.Clip(keep.series), s)
	}
	p.raw[w.what] = keep
	if w.form == histogram {
		if !seen {
			p.shapes[w.what] = shape
		} else {
			p.shapes[w.what] = p.shapes[w.what].plus(shape)
		}
	} else {
		p.grown[w.what] += by
	}
	return fell
}

// arrive counts the requests that arrived: those started, where the page says
// so, else those finished plus the growth of those in flight, and those turned away where
// they are in neither. A restart loses what was in flight, so the growth is then from none.
func (p *pod) arrive(s sample, v *vocabulary, restarted bool, next *point) {
	var ever float64
	if restarted || p.last(arrivals) == nil {
		p.flying = 0 // at once: this page may not tell what is in flight
	}
	if m, ok := s.measured[requestsStarted]; ok {
		next.tallies = append(next.tallies, tally{what: arrivals, name: m.name, grown: p.grown[requestsStarted]})
		ever = m.total()
	} else if m, ok := v.finished(&s, p); ok {
		flying := 0.0
		for _, q := range v.inFlight {
			g, ok := s.measured[q]
			if !ok {
				return
			}
			flying += g.total()
		}
		for _, q := range v.perhapsInFlight {
			flying += s.measured[q].total()
		}
		p.grown[arrivals] += flying - p.flying
		p.flying = flying
		// What was turned away did arrive: a service that sheds its load needs replicas for it too.
		rejected, all := v.rejectedApart(&s, p)
		next.tallies = append(next.tallies, tally{what: arrivals, name: m.name + " and in flight", grown: p.grown[requestsFinished] + p.grown[arrivals] + rejected})
		ever = m.total() + flying + all
	} else {
		return
	}
	switch {
	case len(p.points) == 0:
		p.idle = ever == 0
	case ever > 0:
		p.idle = false
	}
}

// finished is the counter of requests that finished. A lazy one that is not on
// the page yet is zero where the engine's gauges are: they say that it is this engine's page.
func (v *vocabulary) finished(s *sample, p *pod) (measured, bool) {
	m, ok := s.measured[requestsFinished]
	if ok || !v.lazy || len(v.inFlight) < 2 || p.raw[requestsFinished].name != "" {
		return m, ok && len(v.inFlight) > 0
	}
	return measured{name: v.preferred(requestsFinished)}, true
}

// last returns the newest point that has a quantity, nil where none has.
func (p *pod) last(q quantity) *point {
	for i := len(p.points) - 1; i >= 0; i-- {
		if p.points[i].tally(q).name != "" {
			return &p.points[i]
		}
	}
	return nil
}

// span returns the two points that a quantity's growth over the window is the
// difference of: the newest that has it, and the newest that is at least the
// window before that. Where the pod is not known for so long, or its samples
// are more than twice the window apart, the base is the oldest that will do;
// with one point only base is nil.
func (p *pod) span(q quantity, window time.Duration) (base, last *point) {
	last = p.last(q)
	if last == nil {
		return nil, nil
	}
	for i := len(p.points) - 1; i >= 0; i-- {
		at := &p.points[i]
		if !at.at.Before(last.at) || at.tally(q).name == "" {
			continue
		}
		if at.tally(q).name != last.tally(q).name || last.at.Sub(at.at) > 2*window {
			break
		}
		base = at
		if last.at.Sub(at.at) >= window {
			break
		}
	}
	return base, last
}

// gaugesOf returns the values of a gauge in the latest sample, one per engine in the pod.
func (p *pod) gaugesOf(q quantity) []float64 {
	var out []float64
	for _, s := range p.latest.measured[q].series {
		out = append(out, s.value)
	}
	return out
}
