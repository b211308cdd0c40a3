package signals

import "time"

// point is the state of a pod's counters at one time. A controller holds a
// dozen of each of thousands of pods, which makes them much of its memory: so
// the quantities stand in one slice, and histograms share their bounds.
type point struct {
	at      time.Time
	tallies []tally // a dozen: they are looked through one by one
}

// tally is what one quantity had grown by since the pod was first seen.
type tally struct {
	what  quantity
	name  string // that it was read under
	grown float64
	shape *buckets // of a histogram
}

// tally returns that of a quantity, without a name where the page did not have it.
func (p *point) tally(what quantity) tally {
	for _, t := range p.tallies {
		if t.what == what {
			return t
		}
	}
	return tally{}
}
