package workload

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
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

	// discovery says which versions are served; nil asks the writer's RESTMapper.
	discovery Discovery
	clock     func() time.Time
	// nodes is the last look at all nodes.
	nodes allNodes
	// devices is the last look at all devices that are taken by claims.
	devices allDevices
	// drainer calls drain hooks.
	drainer *http.Client

	mu     sync.Mutex
	states map[string]*state
	may    map[string]permission // by what is asked for
	served served
	absent map[schema.GroupVersionKind]time.Time
	rivals map[string]rivals // other autoscalers, by namespace
}

// state is what is remembered of one service between two observations.
type state struct {
	mu       sync.Mutex // held for the length of one observation
	uid      types.UID
	owners   map[types.UID]ownerMemory // by the object at the end of the chain
	startups map[planner.Role]*startups
	// paths are where counts are written, each for one write.
	paths map[planner.Role]*writePath
	// pods are those that were seen, by role.
	pods map[planner.Role][]candidate
	// confirming: pods are read past the cache, and owners anew.
	confirming bool
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
	w := &Workload{
		reader: reader, live: reader, writer: writer, clock: time.Now, drainer: drainClient(),
		states: map[string]*state{}, may: map[string]permission{}, absent: map[schema.GroupVersionKind]time.Time{}, rivals: map[string]rivals{},
	}
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

// begin forgets what was remembered of another service of the same name.
func (s *state) begin(uid types.UID) {
	if s.uid == uid && s.startups != nil {
		return
	}
	s.uid = uid
	s.startups = map[planner.Role]*startups{planner.Prefill: newStartups(), planner.Decode: newStartups()}
}
