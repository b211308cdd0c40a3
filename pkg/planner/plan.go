package planner

import (
	"math"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// Plan decides the replica counts of both roles. It is pure: it changes
// nothing that it is given, and equal inputs give equal results.
func Plan(in Input) (Decision, Memory) {
	p := newRound(&in)
	if why := validate(&in); why != "" {
		return p.hold(ReasonInvalidSpec, why)
	}
	p.observe()
	p.sizeRoles()
	p.advanceMove()
	p.wantRoles()
	p.shareBudget()
	p.limitRoles()
	return p.finish()
}

// Replay makes the decision of a saved record again.
func Replay(r Record) Decision {
	d, _ := Plan(r.Input)
	return d
}

// round is the working state of one decision.
type round struct {
	in   *Input
	spec *Spec
	snap *Snapshot
	now  time.Time
	mem  Memory
	d    Decision

	prefill roleRound
	decode  roleRound
	// freeGPUs is what the budget leaves for new requests; unlimitedGPUs without a budget.
	freeGPUs int
	// backPressure is why decode is thought to hold prefill up, empty when it does not.
	backPressure string
	// stillBetter is set when GPUs of the other role would serve better now.
	stillBetter bool
}

// unlimitedGPUs stands for the free GPUs of a service without a budget.
const unlimitedGPUs = math.MaxInt32

// roleRound is the working state of one role in one decision.
type roleRound struct {
	role Role
	spec *RoleSpec
	pool *Pool
	mem  *RoleMemory
	d    *RoleDecision
	gpus int // GPUs per replica

	// fixed is why this role may not be changed at all, with its reason.
	fixed        Reason
	fixedBecause string

	known bool // the demand is known
	// expected is the traffic that the role is sized for, without headroom and surge.
	expected capacity.Traffic
	curve    curve // latency by count at the demand
	need     int   // replicas that hold the objective at the demand
	keep     int   // the same with the tolerance on top: what is needed before going down
	// kept says how many more than learnt to be needed are held, empty where need is just that.
	kept string
	// holds is false where not even the needed count, the maximum, does.
	holds bool
	// gaveUp is the count that replicas that could not start were given up to, -1 for none.
	gaveUp int
	// justified is the count that the role may go down to on its own account
	// (load over a whole window, maximum, a replica given up); From if none.
	justified int
	// breached is true while the observed latency misses the objective for sure.
	breached bool
	ready    int
}

func newRound(in *Input) *round {
	p := &round{in: in, spec: &in.Spec, snap: &in.Snapshot, now: in.Now, mem: in.Memory.clone()}
	if p.mem.Since.IsZero() || p.now.Before(p.mem.LastAt) {
		p.mem = p.mem.afresh(p.spec, p.now)
	}
	p.mem.Version = RecordVersion
	p.mem.LastAt = p.now
	p.d.At = p.now
	p.d.GPUs.Budget = p.spec.BudgetGPUs
	p.prefill = roleRound{role: Prefill, spec: &p.spec.Prefill, pool: &p.snap.Prefill, mem: &p.mem.Prefill, d: &p.d.Prefill}
	p.decode = roleRound{role: Decode, spec: &p.spec.Decode, pool: &p.snap.Decode, mem: &p.mem.Decode, d: &p.d.Decode}
	for _, r := range p.roles() {
		r.d.From, r.d.To, r.d.Wanted = r.pool.Desired, r.pool.Desired, r.pool.Desired
		r.d.Binding = ReasonSteady
		r.gaveUp = -1
		r.ready = r.pool.count(Ready)
		r.d.Ready = r.ready
		r.gpus = r.pool.GPUsPerReplica
		if r.gpus == 0 {
			r.gpus = r.spec.GPUsPerReplica
		}
	}
	p.prefill.d.ObjectiveMs, p.decode.d.ObjectiveMs = p.spec.TTFT.Ms, p.spec.TPOT.Ms
	return p
}

// roles returns both roles, prefill first.
func (p *round) roles() [2]*roleRound { return [2]*roleRound{&p.prefill, &p.decode} }

func (p *round) of(r Role) *roleRound {
	if r == Prefill {
		return &p.prefill
	}
	return &p.decode
}

// observe finds out what is held, what is free, and which roles are out of reach.
func (p *round) observe() {
	for _, r := range p.roles() {
		p.d.GPUs.Held += r.heldGPUs()
		r.fix(p.spec)
		if r.fixed != "" {
			p.note(r.fixed, r.role, r.fixedBecause)
		}
	}
	p.freeGPUs = unlimitedGPUs
	if p.spec.BudgetGPUs > 0 {
		p.freeGPUs = max(0, p.spec.BudgetGPUs-p.d.GPUs.Held)
		if over := p.d.GPUs.Held - p.spec.BudgetGPUs; over > 0 {
			p.note(ReasonOverBudget, "", sprintf("%d GPUs are held and the budget is %d: nothing grows until %d are given back",
				p.d.GPUs.Held, p.spec.BudgetGPUs, over))
		}
		if least := p.spec.Prefill.Min*p.prefill.gpus + p.spec.Decode.Min*p.decode.gpus; least > p.spec.BudgetGPUs {
			p.note(ReasonBudgetBelowMin, "", sprintf("the minimum replicas take %d GPUs and the budget is %d: raise the budget or lower a minimum",
				least, p.spec.BudgetGPUs))
		}
	}
	for _, r := range p.roles() {
		if n := r.silent(p.snap); n > 0 {
			p.note(ReasonSilentPods, r.role, sprintf("%d ready %s pods gave no metrics", n, r.role))
		}
	}
	p.findBackPressure()
}

// heldGPUs returns the GPUs that the role's replicas hold or will take, using the
// spec's GPUs per replica where the workload does not show the number.
func (r *roleRound) heldGPUs() int {
	pool := *r.pool
	pool.GPUsPerReplica = r.gpus
	return pool.HeldGPUs()
}

// keptGPUs is heldGPUs without those of pods on their way out: a pod that is deleted and made again holds nothing for longer
// than its grace period, though for that time both it and its successor are counted.
func (r *roleRound) keptGPUs() int {
	gpus := r.heldGPUs()
	for i := range r.pool.Replicas {
		if r.pool.Replicas[i].State == Terminating {
			gpus -= r.pool.Replicas[i].GPUs
		}
	}
	return gpus
}

// fix finds the reasons for which a role is left exactly as it is.
func (r *roleRound) fix(spec *Spec) {
	switch {
	case r.pool.Missing != "":
		r.fixed, r.fixedBecause = ReasonRoleMissing, r.pool.Missing
	case spec.Paused != "":
		r.fixed, r.fixedBecause = ReasonPaused, spec.Paused
	case r.pool.Writer != "":
		r.fixed, r.fixedBecause = ReasonOtherWriter, sprintf("%s also writes the replicas of %s: this role is left alone", r.pool.Writer, r.role)
	case r.gpus <= 0:
		r.fixed, r.fixedBecause = ReasonGPUsUnknown, sprintf("the GPUs of a %s replica are not known: set roles.%s.parallelism", r.role, r.role)
	}
}

func (r *roleRound) silent(s *Snapshot) int {
	if r.role == Prefill {
		return s.Signals.PrefillSilent
	}
	return s.Signals.DecodeSilent
}

// note adds a condition that a person should see; each is said once.
func (p *round) note(reason Reason, role Role, message string) {
	n := Note{Reason: reason, Role: role, Message: message}
	if !slices.Contains(p.d.Notes, n) {
		p.d.Notes = append(p.d.Notes, n)
	}
}

// step records that a limit changed a role's count from before to after.
func (r *roleRound) step(reason Reason, after int, detail string) {
	r.d.Steps = append(r.d.Steps, Step{Reason: reason, Before: r.d.Wanted, After: after, Detail: detail})
	r.d.Wanted = after
}

// hold changes nothing and says why.
func (p *round) hold(reason Reason, why string) (Decision, Memory) {
	p.note(reason, "", why)
	for _, r := range p.roles() {
		r.d.Binding, r.d.Because = reason, why
		p.d.GPUs.Held += r.heldGPUs()
	}
	p.d.Summary = why
	p.d.Move = p.mem.Move
	return p.d, p.mem
}

// clone copies the memory so far that a plan may change it.
func (m Memory) clone() Memory {
	m.Requests, m.Input, m.Output = slices.Clone(m.Requests), slices.Clone(m.Input), slices.Clone(m.Output)
	m.Prefill.Needs, m.Decode.Needs = slices.Clone(m.Prefill.Needs), slices.Clone(m.Decode.Needs)
	m.Prefill.Rises, m.Decode.Rises = slices.Clone(m.Prefill.Rises), slices.Clone(m.Decode.Rises)
	if m.Move != nil {
		move := *m.Move
		m.Move = &move
	}
	return m
}

// afresh is the memory after a fresh start, or after the clock went back: the
// move, caps and pauses stay, windows and series are void, and no time that is
// remembered lies further ahead than it may be set from now.
func (m Memory) afresh(s *Spec, now time.Time) Memory {
	role := func(r RoleMemory) RoleMemory {
		return RoleMemory{
			LastUp: earlier(r.LastUp, now), LastDown: earlier(r.LastDown, now), MissingSince: earlier(r.MissingSince, now),
			CappedAt: r.CappedAt, CapSeconds: r.CapSeconds, CappedUntil: earlier(r.CappedUntil, now.Add(r.CapSeconds.Duration())),
			QuietSeconds: r.QuietSeconds, QuietUntil: earlier(r.QuietUntil, now.Add(max(r.QuietSeconds, s.Behavior.DownWindowSeconds).Duration())),
		}
	}
	fresh := Memory{Since: now, Move: m.Move, MoveNotBefore: earlier(m.MoveNotBefore, now.Add(s.Rebalance.CooldownSeconds.Duration())),
		Prefill: role(m.Prefill), Decode: role(m.Decode)}
	if fresh.Move != nil {
		fresh.Move.StartedAt, fresh.Move.PhaseSince = earlier(fresh.Move.StartedAt, now), earlier(fresh.Move.PhaseSince, now)
	}
	return fresh
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
