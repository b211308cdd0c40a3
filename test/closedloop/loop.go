package closedloop

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Scenario is one run.
type Scenario struct {
	Spec    planner.Spec
	Load    load.Profile
	Seed    uint64
	Prefill int // replicas at the start
	Decode  int
	// Startup and Drain are how long a replica takes to become ready, and at the
	// most to be gone.
	Startup, Drain time.Duration
	// Window is over how long rates and lengths are measured; 0 is 30 s.
	Window time.Duration
	// StepNoise is the relative standard deviation of the engine's step times.
	StepNoise float64
	// Truth is what replicas do where that is not what the planner's spec takes them to do; nil is that.
	Truth *capacity.Service
	// Calibrate corrects the spec's service by what the replicas show. Belief is then what its replicas were made from.
	Calibrate bool
	Belief    perfmodel.Belief
}

// Result is what happened.
type Result struct {
	Records   []engine.Record
	Decisions []planner.Decision
	// Held is the GPUs held at each decision.
	Held []int
	// GPUSeconds counts starting and draining replicas.
	GPUSeconds float64
	Moves      int
	MaxGPUs    int
	// Lessons are what each role taught, where Calibrate was set.
	Lessons map[planner.Role]calibrate.Online
}

// Attained returns the shares of the requests that arrived in [from, to) whose
// TTFT and whose TPOT kept the objective; unfinished requests have missed.
func (r *Result) Attained(from, to time.Duration, ttftMs, tpotMs float64) (ttft, tpot float64, requests int) {
	var inTTFT, inTPOT int
	for i := range r.Records {
		rec := &r.Records[i]
		if rec.Arrived < from || rec.Arrived >= to {
			continue
		}
		requests++
		if rec.FirstToken && rec.TTFTMs <= ttftMs {
			inTTFT++
		}
		if rec.Outcome == engine.Finished && rec.TPOTMs <= tpotMs {
			inTPOT++
		}
	}
	if requests == 0 {
		return 1, 1, 0
	}
	return float64(inTTFT) / float64(requests), float64(inTPOT) / float64(requests), requests
}

const frontend = "frontend-0"

// loop is the state of one run.
type loop struct {
	Scenario
	engine *engine.Engine
	meter  meter
	pools  map[planner.Role]*planner.Pool
	serial int
	start  time.Time
	now    time.Duration
}

// Run plays a scenario to its end.
func Run(s Scenario) (Result, error) {
	truth := &s.Spec.Service
	if s.Truth != nil {
		truth = s.Truth
	}
	e, err := engine.New(engine.Config{Service: *truth, Seed: s.Seed, StepNoise: s.StepNoise})
	if err != nil {
		return Result{}, fmt.Errorf("closedloop: %w", err)
	}
	source, err := load.NewStream(&s.Load, s.Seed)
	if err != nil {
		return Result{}, fmt.Errorf("closedloop: %w", err)
	}
	if s.Window == 0 {
		s.Window = 30 * time.Second
	}
	l := &loop{Scenario: s, engine: e, meter: meter{window: s.Window}, pools: map[planner.Role]*planner.Pool{},
		start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	e.Join(engine.Worker{ID: frontend, Name: frontend, Role: engine.Frontend})
	for role, n := range map[planner.Role]int{planner.Prefill: s.Prefill, planner.Decode: s.Decode} {
		spec := s.Spec.Prefill
		if role == planner.Decode {
			spec = s.Spec.Decode
		}
		l.pools[role] = &planner.Pool{GPUsPerReplica: spec.GPUsPerReplica}
		l.scale(role, n)
		for i := range l.pools[role].Replicas {
			l.ready(role, &l.pools[role].Replicas[i])
		}
	}
	e.Play(source, 0)

	var result Result
	var memory planner.Memory
	school, err := newSchool(&s)
	if err != nil {
		return Result{}, fmt.Errorf("closedloop: %w", err)
	}
	interval := s.Spec.Behavior.IntervalSeconds.Duration()
	for l.now < s.Load.Duration() {
		in := planner.Input{Spec: s.Spec, Memory: memory, Now: l.clock(),
			Snapshot: planner.Snapshot{Signals: l.signals(), Prefill: *l.pools[planner.Prefill], Decode: *l.pools[planner.Decode]}}
		if s.Calibrate {
			school.correct(l, &in)
		}
		var d planner.Decision
		d, memory = planner.Plan(in)
		result.Decisions = append(result.Decisions, d)
		if d.Ended != nil && d.Ended.Phase == planner.MoveDone {
			result.Moves++
		}
		l.scale(planner.Prefill, d.Prefill.To)
		l.scale(planner.Decode, d.Decode.To)
		held := l.held()
		result.Held = append(result.Held, held)
		result.MaxGPUs = max(result.MaxGPUs, held)
		result.GPUSeconds += float64(held) * interval.Seconds()
		for end := l.now + interval; l.now < end; {
			l.now = min(l.now+time.Second, end)
			l.engine.Advance(l.now)
			l.settle()
		}
	}
	result.Records, result.Lessons = e.Records(), school.lessons
	return result, nil
}

func (l *loop) clock() time.Time { return l.start.Add(l.now) }

// scale sets a role's count: the newest replicas terminate, or new ones start.
func (l *loop) scale(role planner.Role, to int) {
	pool := l.pools[role]
	replicas := append([]planner.Replica(nil), pool.Replicas...)
	live := 0
	for i := range replicas {
		if replicas[i].State != planner.Terminating {
			live++
		}
	}
	for i := len(replicas) - 1; i >= 0 && live > to; i-- {
		if replicas[i].State != planner.Terminating {
			replicas[i].State, replicas[i].Since = planner.Terminating, l.clock()
			l.engine.Terminate(replicas[i].Name, l.now+l.Drain)
			live--
		}
	}
	for ; live < to; live++ {
		l.serial++
		replicas = append(replicas, planner.Replica{Name: fmt.Sprintf("%s-%d", role, l.serial), State: planner.Starting,
			Since: l.clock(), GPUs: pool.GPUsPerReplica})
	}
	pool.Desired, pool.Replicas = to, replicas
}

// settle makes replicas ready and lets drained ones go.
func (l *loop) settle() {
	views := map[string]engine.WorkerView{}
	for _, v := range l.engine.Snapshot().Workers {
		views[v.ID] = v
	}
	for role, pool := range l.pools {
		var kept []planner.Replica
		for _, r := range pool.Replicas {
			age := l.clock().Sub(r.Since)
			switch {
			case r.State == planner.Starting && age >= l.Startup:
				l.ready(role, &r)
			case r.State == planner.Terminating && (age >= l.Drain || views[r.Name].Drained || views[r.Name].ID == ""):
				l.engine.Leave(r.Name)
				continue
			}
			kept = append(kept, r)
		}
		pool.Replicas = kept
	}
}

func (l *loop) ready(role planner.Role, r *planner.Replica) {
	r.State, r.Since = planner.Ready, l.clock()
	l.engine.Join(engine.Worker{ID: r.Name, Name: r.Name, Role: engine.Role(role)})
}

func (l *loop) held() int {
	gpus := 0
	for _, pool := range l.pools {
		for _, r := range pool.Replicas {
			gpus += r.GPUs
		}
	}
	return gpus
}
