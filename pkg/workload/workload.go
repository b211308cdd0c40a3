package workload

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Workload observes and writes scaled services. It remembers start-up times
// and owners per service, and is safe for concurrent use.
type Workload struct {
	reader client.Reader
	live   client.Reader
	writer client.Client

	mu     sync.Mutex
	states map[types.NamespacedName]*state
	nodes  permission
}

// state is what is remembered of one service between two observations.
type state struct {
	mu       sync.Mutex // held for the length of one observation
	group    types.UID
	owners   ownerMemory
	startups map[planner.Role]*startups
}

// Option changes how a Workload reads.
type Option func(*Workload)

// WithLiveReader reads the group, its adapters and its workloads through the
// given reader, past any cache: a count that is decided from must not be older
// than the last write. Pods, nodes and autoscalers are still read through the
// first reader; where that lags, pods that are not seen yet are counted by the
// desired replicas, and pods that are still seen are held to hold their GPUs.
func WithLiveReader(live client.Reader) Option {
	return func(w *Workload) { w.live = live }
}

// New returns a Workload that lists pods, nodes and autoscalers through reader
// (a cache will do) and writes through writer.
func New(reader client.Reader, writer client.Client, options ...Option) *Workload {
	w := &Workload{reader: reader, live: reader, writer: writer, states: map[types.NamespacedName]*state{}}
	for _, option := range options {
		option(w)
	}
	return w
}

// Forget drops what is remembered of a target that is no longer scaled.
func (w *Workload) Forget(t Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.states, t.key())
}

// state returns what is remembered of a target.
func (w *Workload) state(t Target) *state {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.states[t.key()]
	if s == nil {
		s = &state{}
		w.states[t.key()] = s
	}
	return s
}

// begin forgets what was remembered of another group of the same name.
func (s *state) begin(g *group) {
	if s.group == g.UID {
		return
	}
	s.group, s.owners = g.UID, ownerMemory{}
	s.startups = map[planner.Role]*startups{planner.Prefill: {}, planner.Decode: {}}
}

func (t Target) key() types.NamespacedName {
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Group}
}
