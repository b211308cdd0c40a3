package workload

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Workload observes and writes scaled services. It remembers start-up times
// and owners per service, and is safe for concurrent use.
type Workload struct {
	reader client.Reader
	live   client.Reader
	writer client.Client
}

// Option changes how a Workload reads.
type Option func(*Workload)

// WithLiveReader reads the group, its adapters and its workloads through the
// given reader, past any cache: a count that is decided from must not be older
// than the last write. Pods and nodes are still read through the first reader.
func WithLiveReader(live client.Reader) Option {
	return func(w *Workload) { w.live = live }
}

// New returns a Workload that lists pods, nodes and autoscalers through reader
// (a cache will do) and writes through writer.
func New(reader client.Reader, writer client.Client, options ...Option) *Workload {
	w := &Workload{reader: reader, live: reader, writer: writer}
	for _, option := range options {
		option(w)
	}
	return w
}

// Observe returns the target as it is now. A target that does not exist is a
// *MissingError; a role that does not exist is its Pool's Missing. Any other
// error means that Kubernetes could not be read, and that nothing is known.
func (w *Workload) Observe(ctx context.Context, t Target, now time.Time) (Observation, error) {
	return Observation{}, errors.New("workload: Observe is not written yet")
}

// Apply changes the replicas of one role from one count to another with at most
// one write. It is a *ConflictError where the count is no longer from, a
// *NotBoundError where the role's adapter would overwrite it, and does nothing
// where from equals to.
func (w *Workload) Apply(ctx context.Context, t Target, role planner.Role, from, to int) error {
	return errors.New("workload: Apply is not written yet")
}

// Forget drops what is remembered of a target that is no longer scaled.
func (w *Workload) Forget(t Target) {}
