package policy

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// Run is one policy over one simulation.
type Run struct {
	Engine   des.Config
	Source   trace.Source
	Duration time.Duration // of the traffic; GPU-hours count up to here
	Readings Readings
	Setup    *Setup
	// Unlimited leaves counts as the policy gives them: the planner keeps its own limits.
	Unlimited bool
	// OnRound is called at each scrape and decision; its error ends the run. It may be nil.
	OnRound func(at time.Duration) error
}

// settleTime is how long after the end of the traffic requests may still end. Counts do not change then.
const settleTime = 10 * time.Minute

// maxChanges bounds what is remembered of decisions.
const maxChanges = 100_000

// Change is one decision that changed a count.
type Change struct {
	At   time.Duration `json:"at"`
	From Counts        `json:"from"`
	To   Counts        `json:"to"`
	Why  string        `json:"why,omitempty"`
}

// Result is what became of a run.
type Result struct {
	Outcome   des.Outcome
	GPUHours  float64
	MaxGPUs   int
	Moves     int
	ScaleUps  int // decisions that raised a role
	ScaleDown int // and that lowered one
	Decisions int
	Changes   []Change
	Counters  des.Counters
	Hours     Hours
}

// Hours are where GPU-hours went. They are counted at scrapes, so that they are right within a scrape per change.
type Hours struct {
	Prefill  float64 `json:"prefill"` // of all its replicas
	Decode   float64 `json:"decode"`
	Starting float64 `json:"starting"` // of both roles
	Draining float64 `json:"draining"`
}

// add counts the replicas of a view as held for a time.
func (h *Hours) add(v *des.View, spec *planner.Spec, held time.Duration) {
	for role, all := range v.Replicas {
		of, gpus := &h.Prefill, spec.Prefill.GPUsPerReplica
		if des.Role(role) == des.Decode {
			of, gpus = &h.Decode, spec.Decode.GPUsPerReplica
		}
		hours := float64(gpus) * held.Hours()
		for i := range all {
			if all[i].State == des.StatePending {
				continue
			}
			*of += hours
			switch all[i].State {
			case des.StateStarting:
				h.Starting += hours
			case des.StateDraining:
				h.Draining += hours
			}
		}
	}
}

// mover is a policy that moves GPUs from role to role as one act.
type mover interface{ moves() int }

// epoch is an arbitrary start for those who reckon in dates.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Play runs a policy to the end of the traffic and lets the requests end.
func Play(r Run, p Policy) (Result, error) {
	e, err := des.New(r.Engine, r.Source)
	if err != nil {
		return Result{}, err
	}
	step := p.Interval()
	if step <= 0 {
		return Result{}, fmt.Errorf("policy: an interval of %v; it must be above 0", step)
	}
	spec := &r.Setup.Spec
	m := newMeter(r.Readings, spec.Behavior.MaxAgeSeconds.Duration())
	l := limits{spec.Prefill, spec.Decode}
	var out Result
	nextScrape, nextDecision := time.Duration(0), step // nobody decides before there is anything to read
	for {
		now := min(nextScrape, nextDecision)
		if now >= r.Duration {
			break
		}
		e.Advance(now)
		if r.OnRound != nil {
			if err := r.OnRound(now); err != nil {
				return Result{}, err
			}
		}
		if now == nextScrape {
			m.scrape(e)
			nextScrape += m.cfg.Scrape
			v := e.View()
			out.Hours.add(&v, spec, min(nextScrape, r.Duration)-now)
		}
		if now < nextDecision {
			continue
		}
		nextDecision += step
		in := r.input(e, m)
		want, why := p.Decide(&in)
		out.Decisions++
		if !r.Unlimited {
			want = l.clamp(want)
			want = withinBudget(spec, e, in.Desired, want)
		}
		out.apply(e, in.Desired, want, why)
	}
	e.Advance(r.Duration)
	out.GPUHours, out.MaxGPUs = e.GPUHours(), e.MaxGPUs()
	e.Finish(r.Duration + settleTime)
	out.Outcome, out.Counters = e.Outcome(), e.View().Counters
	if m, ok := p.(mover); ok {
		out.Moves = m.moves()
	}
	return out, nil
}

// apply writes counts and keeps the change.
func (out *Result) apply(e *des.Engine, from, to Counts, why string) {
	if from == to {
		return
	}
	if to.Prefill > from.Prefill || to.Decode > from.Decode {
		out.ScaleUps++
	}
	if to.Prefill < from.Prefill || to.Decode < from.Decode {
		out.ScaleDown++
	}
	if len(out.Changes) < maxChanges {
		out.Changes = append(out.Changes, Change{At: e.Now(), From: from, To: to, Why: why})
	}
	e.Scale(des.Prefill, to.Prefill)
	e.Scale(des.Decode, to.Decode)
}

// withinBudget cuts growth to the GPUs that are free, prefill first.
func withinBudget(spec *planner.Spec, e *des.Engine, from, to Counts) Counts {
	if spec.BudgetGPUs == 0 {
		return to
	}
	v := e.View()
	p, d := spec.Prefill.GPUsPerReplica, spec.Decode.GPUsPerReplica
	claimed := len(v.Replicas[des.Prefill])*p + len(v.Replicas[des.Decode])*d
	free := max(0, spec.BudgetGPUs-claimed)
	if grow := to.Prefill - from.Prefill; grow > 0 {
		grow = min(grow, free/p)
		to.Prefill = from.Prefill + grow
		free -= grow * p
	}
	if grow := to.Decode - from.Decode; grow > 0 {
		to.Decode = from.Decode + min(grow, free/d)
	}
	return to
}

// input is what a policy sees now: the workload as it is, the metrics as they were scraped.
func (r *Run) input(e *des.Engine, m *meter) Input {
	v := e.View()
	in := Input{At: e.Now(), Now: epoch.Add(e.Now()), Seen: m.observe(e.Now()),
		Desired: Counts{v.Desired[des.Prefill], v.Desired[des.Decode]}}
	spec := &r.Setup.Spec
	in.Snapshot.Signals = m.signals(spec, epoch)
	in.Snapshot.Prefill = pool(v.Replicas[des.Prefill], v.Desired[des.Prefill], spec.Prefill.GPUsPerReplica, m.prefillStart, in.Now)
	in.Snapshot.Decode = pool(v.Replicas[des.Decode], v.Desired[des.Decode], spec.Decode.GPUsPerReplica, m.decodeStart, in.Now)
	for role, all := range v.Replicas {
		for _, replica := range all {
			switch {
			case replica.State != des.StateReady:
				in.Unsettled = true
			case des.Role(role) == des.Prefill:
				in.Ready.Prefill++
			default:
				in.Ready.Decode++
			}
		}
	}
	return in
}

var states = map[des.ReplicaState]planner.ReplicaState{
	des.StatePending: planner.Starting, des.StateStarting: planner.Starting, des.StateReady: planner.Ready, des.StateDraining: planner.Terminating,
}

func pool(all []des.ReplicaView, desired, gpus int, startupSeconds float64, now time.Time) planner.Pool {
	p := planner.Pool{Desired: desired, GPUsPerReplica: gpus, StartupSeconds: planner.Unknown("no replica has started yet")}
	if startupSeconds > 0 {
		p.StartupSeconds = planner.Known(startupSeconds, now, "pods")
	}
	p.Replicas = make([]planner.Replica, len(all))
	for i, r := range all {
		p.Replicas[i] = planner.Replica{State: states[r.State], Since: epoch.Add(r.Since), GPUs: gpus}
		if r.State == des.StatePending {
			p.Replicas[i].Unschedulable = "no node has room for it"
		}
	}
	return p
}
