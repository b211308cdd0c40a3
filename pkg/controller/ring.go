package controller

import (
	"sync"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// ring keeps the last records of one resource. Its owner adds while others read.
type ring struct {
	mu      sync.Mutex
	records []planner.Record
	next    int // where the next record goes once the ring is full
	size    int
}

func newRing(size int) *ring { return &ring{size: size} }

// add keeps a record, in the place of the oldest where the ring is full.
func (r *ring) add(record planner.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) < r.size {
		r.records = append(r.records, record)
		return
	}
	r.records[r.next] = record
	r.next = (r.next + 1) % r.size
}

// last returns up to n records, oldest first.
func (r *ring) last(n int) []planner.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(n, len(r.records))
	out := make([]planner.Record, 0, n)
	for i := len(r.records) - n; i < len(r.records); i++ {
		out = append(out, r.records[(r.next+i)%len(r.records)])
	}
	return out
}
