package live

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Board holds what there is to show of all PDAutoscalers. It is safe for concurrent use.
type Board struct {
	mu       sync.RWMutex
	services map[key]*service
}

type key struct{ namespace, name string }

// service is what is kept of one PDAutoscaler.
type service struct {
	now       Round // the newest
	told      told
	history   last[sample]
	events    last[event]
	decisions last[decision]
}

// NewBoard returns an empty one.
func NewBoard() *Board { return &Board{services: map[key]*service{}} }

// Add takes a round over. What the round points to must not change any more.
func (b *Board) Add(r Round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := key{r.Namespace, r.Name}
	s := b.services[k]
	if s == nil {
		s = &service{history: last[sample]{size: Samples}, events: last[event]{size: Events}, decisions: last[decision]{size: Decisions}}
		b.services[k] = s
	}
	s.add(&r)
}

func (s *service) add(r *Round) {
	found := s.told.eventsOf(r)
	for _, e := range found {
		s.events.add(e)
	}
	if r.Decided != nil && len(found) > 0 {
		s.decisions.add(decision{r.At, r.Decided, r.Written})
	}
	s.history.add(sampleOf(r))
	s.now = *r
}

// Forget drops what is kept of a PDAutoscaler.
func (b *Board) Forget(namespace, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.services, key{namespace, name})
}

// view is a copy of what is kept of one PDAutoscaler, for a page to be made of.
type view struct {
	Round
	samples   []sample
	events    []event    // oldest first
	decisions []decision // newest first
}

// all are copies of all PDAutoscalers, by namespace and name. Their decisions are left out.
func (b *Board) all() []view {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]view, 0, len(b.services))
	for _, s := range b.services {
		out = append(out, view{Round: s.now, samples: s.history.copied()})
	}
	slices.SortFunc(out, func(x, y view) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	return out
}

func (b *Board) one(namespace, name string) (view, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.services[key{namespace, name}]
	if s == nil {
		return view{}, false
	}
	v := view{Round: s.now, samples: s.history.copied(), events: s.events.copied(), decisions: s.decisions.copied()}
	slices.Reverse(v.decisions)
	return v, true
}

// newest is when the last round of any of them was.
func newest(all []view) time.Time {
	var at time.Time
	for i := range all {
		if all[i].At.After(at) {
			at = all[i].At
		}
	}
	return at
}
