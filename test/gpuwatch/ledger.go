package gpuwatch

import (
	"sync"
	"time"
)

// Count is how many pods of one role are in which state, and the GPUs they hold.
type Count struct {
	Ready       int `json:"ready"`
	Starting    int `json:"starting"`
	Terminating int `json:"terminating"`
	GPUs        int `json:"gpus"`
}

// Totals is what a ledger has seen so far.
type Totals struct {
	// Events is the number of events counted, and Held what is held after the last.
	Events int `json:"events"`
	Held   int `json:"held"`
	// Peak is the most that was held after any event, first reached at PeakAt.
	Peak   int       `json:"peak"`
	PeakAt time.Time `json:"peakAt"`
	// GPUSeconds is the integral of what was held, from the first event.
	GPUSeconds float64          `json:"gpuSeconds"`
	Roles      map[string]Count `json:"roles"`
}

// Ledger folds events into who holds what. It is safe for use by several goroutines.
type Ledger struct {
	mu         sync.Mutex
	pods       map[string]Event // by UID, the last event of each that is not gone
	events     int
	held       int
	peak       int
	peakAt     time.Time
	gpuSeconds float64
	since      time.Time // up to where GPU-seconds are counted
}

// NewLedger returns a ledger that has seen nothing.
func NewLedger() *Ledger { return &Ledger{pods: map[string]Event{}} }

// Add counts one event and returns it with what is held after it.
func (l *Ledger) Add(e Event) Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(e.At)
	if before, known := l.pods[e.UID]; known && before.State.Holds() {
		l.held -= before.GPUs
	}
	if e.State.Holds() {
		l.held += e.GPUs
	}
	if e.State == Gone {
		delete(l.pods, e.UID)
	} else {
		l.pods[e.UID] = e
	}
	l.events++
	if l.held > l.peak || l.events == 1 {
		l.peak, l.peakAt = l.held, e.At
	}
	e.Held = l.held
	return e
}

// Totals returns what was seen, with GPU-seconds counted up to now.
func (l *Ledger) Totals(now time.Time) Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(now)
	t := Totals{Events: l.events, Held: l.held, Peak: l.peak, PeakAt: l.peakAt, GPUSeconds: l.gpuSeconds, Roles: map[string]Count{}}
	for _, p := range l.pods {
		c := t.Roles[p.Role]
		switch p.State {
		case Ready:
			c.Ready++
		case Starting:
			c.Starting++
		case Terminating:
			c.Terminating++
		default:
			continue
		}
		c.GPUs += p.GPUs
		t.Roles[p.Role] = c
	}
	return t
}

// count integrates what is held up to a time. A time in the past changes nothing: clocks may be read out of order.
func (l *Ledger) count(now time.Time) {
	switch {
	case l.since.IsZero():
		l.since = now
	case now.After(l.since):
		l.gpuSeconds += float64(l.held) * now.Sub(l.since).Seconds()
		l.since = now
	}
}
