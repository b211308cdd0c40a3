package emulator

import (
	"slices"
	"sync"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// Role is what a pod does: one of the engine's roles, or RoleExporter.
type Role = engine.Role

// The roles of pods.
const (
	RoleFrontend = engine.Frontend
	RolePrefill  = engine.Prefill
	RoleDecode   = engine.Decode
	// RoleExporter is a dcgm-exporter: it shows the GPUs of its node.
	RoleExporter Role = "exporter"
)

// Pod is a pod as the emulator needs to know it.
type Pod struct {
	Namespace string
	Name      string
	UID       string
	Role      Role
	// Node and IP are empty until they are known.
	Node string
	IP   string
	// GPUs is how many of its node's GPUs the pod holds, Container which of its
	// containers asked for them.
	GPUs      int
	Container string
	Ready     bool
	// Terminating pods finish what they have until EndsBy, when they are killed.
	Terminating bool
	EndsBy      time.Time
}

// PodSource tells which pods there are.
type PodSource interface {
	// Pods returns all pods of now. A pod that is missing is gone.
	Pods() []Pod
	// Changed gives a value some time after each change of Pods. One value may
	// stand for several changes.
	Changed() <-chan struct{}
}

// PodSet is a PodSource that is told its pods.
type PodSet struct {
	mu      sync.Mutex
	pods    []Pod
	changed chan struct{}
}

// NewPodSet returns a set of the given pods.
func NewPodSet(pods ...Pod) *PodSet {
	s := &PodSet{changed: make(chan struct{}, 1)}
	s.Put(pods...)
	return s
}

// Pods implements PodSource.
func (s *PodSet) Pods() []Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pods)
}

// Changed implements PodSource.
func (s *PodSet) Changed() <-chan struct{} { return s.changed }

// Put adds pods, or replaces those of the same UID.
func (s *PodSet) Put(pods ...Pod) {
	s.mu.Lock()
	for _, p := range pods {
		if i := s.index(p.UID); i >= 0 {
			s.pods[i] = p
		} else {
			s.pods = append(s.pods, p)
		}
	}
	s.mu.Unlock()
	s.signal()
}

// Remove takes a pod out.
func (s *PodSet) Remove(uid string) {
	s.mu.Lock()
	if i := s.index(uid); i >= 0 {
		s.pods = slices.Delete(s.pods, i, i+1)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *PodSet) index(uid string) int {
	return slices.IndexFunc(s.pods, func(p Pod) bool { return p.UID == uid })
}

func (s *PodSet) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
