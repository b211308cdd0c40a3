package emulator

import (
	"maps"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// Snapshot is the service now, for people to watch.
type Snapshot struct {
	engine.Snapshot
	// Phase is the name of the phase that the load is in, RequestsPerSecond what
	// it asks for now, Played how long it has played. Ended is true after its end.
	Phase             string        `json:"phase,omitempty"`
	RequestsPerSecond float64       `json:"requestsPerSecond"`
	Played            time.Duration `json:"played"`
	Ended             bool          `json:"ended"`
	// GPUs is what pods hold now, GPUHours what they have held since the load began.
	GPUs     int     `json:"gpus"`
	GPUHours float64 `json:"gpuHours"`
	// Problems are pods that cannot be played as they are, one sentence each.
	Problems []string `json:"problems,omitempty"`
}

// Snapshot returns the service as it is now.
func (e *Emulator) Snapshot() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	e.gpuHours.count(e.engine.Now(), e.pods)
	s := Snapshot{
		Snapshot: e.engine.Snapshot(),
		GPUs:     heldGPUs(e.pods),
		GPUHours: e.gpuHours.seconds / time.Hour.Seconds(),
		Problems: slices.Sorted(maps.Values(e.allProblems())),
	}
	if p := e.profile; p != nil {
		s.Played = e.engine.Now() - e.loadAt
		s.Phase = p.Phases[p.PhaseAt(s.Played)].Name
		s.RequestsPerSecond = p.ShapeAt(s.Played.Seconds()).RequestsPerSecond
		s.Ended = s.Played >= p.Duration()
	}
	return s
}

// allProblems are one for each pod; the lock is held.
func (e *Emulator) allProblems() map[string]string {
	all := maps.Clone(e.unserved)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, e.problems)
	return all
}

// Records returns what became of every request so far.
func (e *Emulator) Records() []engine.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	return e.engine.Records()
}
