package faults

import (
	"slices"
	"sync"
	"time"
)

// rounds are the writes of a service's controllers, each with the round that it belongs to.
type rounds struct {
	mu     sync.Mutex
	writes []write
}

type write struct {
	object      string
	began, sent time.Time
}

// wrote notes that a round that began then sends a write of an object.
func (r *rounds) wrote(object string, began, sent time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, write{object, began, sent})
}

// began is the beginning of the round of the last write of an object that was sent until then.
func (r *rounds) began(object string, at time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range slices.Backward(r.writes) {
		if w.object == object && !w.sent.After(at) {
			return w.began, true
		}
	}
	return time.Time{}, false
}
