package workload

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Confirm returns the GPUs that the target holds now, read past every cache and
// memory. An observation may be behind: a cache whose watch was cut off shows
// pods as they were, and an owner that was deleted since is remembered as one
// that lives. Growth must not rest on that, and is rare enough to ask twice.
func (w *Workload) Confirm(ctx context.Context, t Target, now time.Time) (gpus int, err error) {
	state := w.state(t)
	state.mu.Lock()
	defer state.mu.Unlock()
	state.owners, state.confirming = nil, true
	defer func() { state.confirming = false }()

	look := w.seeGroup
	if t.Scales != nil {
		look = w.seeScales
	}
	s, err := look(ctx, t, state, now)
	if err != nil {
		return 0, err
	}
	if err := w.addClaims(ctx, t, now, s); err != nil {
		return 0, err
	}
	for _, r := range scaledRoles {
		view := s.views[r]
		view.observe(membersOf(s.members, view.name))
		gpus += view.pool.HeldGPUs()
	}
	return gpus, nil
}

// podReader reads pods from the cache, or past it while a state is confirmed.
func (w *Workload) podReader(s *state) client.Reader {
	if s.confirming {
		return w.live
	}
	return w.reader
}
