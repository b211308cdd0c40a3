package planner

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLongLife plays a service on which everything happens: loads that change,
// outages, restarts, replicas that do not start or do not go, budgets, limits
// the rules that need no foresight hold at every step, and across steps.
func TestLongLife(t *testing.T) {
	met := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
		l := newLife(rng)
		for step := range 40 {
			l.happen(rng)
			before := l.held()
			in, d := l.step(l.load)
			l.check(t, step, &in, &d, before)
			l.follow(met, &in, &d)
		}
	})
	for _, what := range []string{"up", "down", "move", "next phase", "over budget", "given up", "paused"} {
		if met[what] == 0 && !testing.Short() { // few cases are drawn then
			t.Errorf("%q never happened", what)
		}
	}
}

// life is a world to which things happen.
type life struct {
	*world
	load    load
	restart time.Time                   // of the planner
	changed map[Role]map[bool]time.Time // when the planner last made a role go up (true) or down
}

func newLife(rng *rand.Rand) *life {
	spec := testSpec()
	for _, role := range []Role{Prefill, Decode} {
		r := spec.role(role)
		r.GPUsPerReplica, r.Max = []int{2, 2, 1, 4}[rng.IntN(4)], 4+rng.IntN(5)
		r.Up.PeriodSeconds, r.Down.PeriodSeconds = Seconds(20*rng.IntN(3)), Seconds(20*rng.IntN(3))
		r.Up.MaxStep, r.Down.MaxStep = rng.IntN(3), rng.IntN(3)
	}
	spec.Behavior.StartTimeoutSeconds, spec.Behavior.DownWindowSeconds = 90, 60
	spec.Rebalance.DrainTimeoutSeconds, spec.Rebalance.StartTimeoutSeconds = 60, 60
	l := &life{world: newWorld(spec, 1+rng.IntN(3), 1+rng.IntN(3)), restart: epoch, changed: map[Role]map[bool]time.Time{Prefill: {}, Decode: {}}}
	l.spec.BudgetGPUs = l.held() + rng.IntN(6)
	l.load = aimed{rate: 6, prefill: 1 + rng.IntN(3), decode: 1 + rng.IntN(3), full: 0.8}.load()
	return l
}

// happen lets something happen, or nothing.
func (l *life) happen(rng *rand.Rand) {
	role := []Role{Prefill, Decode}[rng.IntN(2)]
	spec := l.spec.role(role)
	switch rng.IntN(60) {
	case 0, 1, 2, 3, 4, 5, 6:
		l.load = aimed{rate: 6, prefill: 1 + rng.IntN(5), decode: 1 + rng.IntN(5), full: 0.8}.load()
	case 7:
		l.load.unknown = !l.load.unknown
	case 8, 9:
		l.mem, l.restart = Memory{Move: l.mem.Move, MoveNotBefore: l.mem.MoveNotBefore}, l.now
		l.changed = map[Role]map[bool]time.Time{Prefill: {}, Decode: {}}
	case 10:
		l.mem, l.restart = Memory{}, l.now
		l.changed = map[Role]map[bool]time.Time{Prefill: {}, Decode: {}}
	case 11, 12, 13:
		l.stuckStart[role] = !l.stuckStart[role]
	case 14:
		l.stuckDrain[role] = !l.stuckDrain[role]
	case 15:
		l.spec.BudgetGPUs = max(1, l.held()-1-rng.IntN(6))
	case 16, 17:
		l.spec.BudgetGPUs = l.held() + rng.IntN(8)
	case 18:
		l.write(role, max(0, l.pools[role].Desired+rng.IntN(3)-1))
	case 19:
		spec.Up.Disabled = !spec.Up.Disabled
	case 20:
		spec.Down.Disabled = !spec.Down.Disabled
	case 21:
		l.spec.Paused = map[string]string{"": "a person is at work"}[l.spec.Paused]
	case 22:
		l.pools[role].Held = map[string]string{"": "a gate is closed"}[l.pools[role].Held]
	case 23:
		spec.Max = max(spec.Min, 1, spec.Max-rng.IntN(5))
	case 24:
		spec.Max = 8
	}
}

// check holds one decision against the rules.
func (l *life) check(t *rapid.T, step int, in *Input, d *Decision, held int) {
	t.Helper()
	checkBudget(t, *in, *d)
	over := in.Spec.BudgetGPUs > 0 && held > in.Spec.BudgetGPUs
	if after := l.held(); over && after > held {
		t.Fatalf("step %d: %d GPUs are held of %d, and then %d: %s", step, held, in.Spec.BudgetGPUs, after, d.Summary)
	}
	for _, role := range []Role{Prefill, Decode} {
		r, spec, pool := d.role(role), in.Spec.role(role), in.Snapshot.pool(role)
		by, direction, limit := r.To-r.From, "up", spec.Up
		if by == 0 {
			continue
		}
		if by < 0 {
			by, direction, limit = -by, "down", spec.Down
		}
		last, was := l.changed[role][direction == "up"]
		switch {
		case in.Spec.Paused != "" || pool.Held != "" || limit.Disabled:
			t.Fatalf("step %d: %s goes %s against a person's hand or a gate: %s", step, role, direction, r.Because)
		case limit.MaxStep > 0 && by > limit.MaxStep:
			t.Fatalf("step %d: %s goes %s by %d, %d is allowed: %s", step, role, direction, by, limit.MaxStep, r.Because)
		case was && d.At.Sub(last) < limit.PeriodSeconds.Duration():
			t.Fatalf("step %d: %s goes %s %s after the last time: %s", step, role, direction, d.At.Sub(last), r.Because)
		case direction == "up" && r.To > max(spec.Max, r.From) || direction == "down" && r.To < min(spec.Min, r.From):
			t.Fatalf("step %d: %s %d -> %d is out of [%d, %d]: %s", step, role, r.From, r.To, spec.Min, spec.Max, r.Because)
		case direction == "up" && over:
			t.Fatalf("step %d: %s grows while %d GPUs are held of %d: %s", step, role, held, in.Spec.BudgetGPUs, r.Because)
		}
		moves := d.Move != nil || d.Ended != nil
		forced := over || moves || r.From > spec.Max || hasStep(r, ReasonGivenUp)
		if direction == "down" && !forced && d.At.Sub(l.restart) < in.Spec.Behavior.DownWindowSeconds.Duration() {
			t.Fatalf("step %d: %s goes down %s after a start: %s", step, role, d.At.Sub(l.restart), r.Because)
		}
		if direction == "down" && !forced && in.Snapshot.Signals.RequestsPerSecond.State == StateUnknown {
			t.Fatalf("step %d: %s goes down though its demand is not known: %s", step, role, r.Because)
		}
	}
	l.checkMove(t, step, in, d)
}

// checkMove holds a move to its order: the donor first, and the receiver only
// when the donor's pods are gone; every phase within its time.
func (l *life) checkMove(t *rapid.T, step int, in *Input, d *Decision) {
	t.Helper()
	was, m := in.Memory.Move, d.Move
	if was != nil && m == nil && d.Ended == nil {
		t.Fatalf("step %d: a move is lost: %+v", step, *was)
	}
	if m == nil {
		return
	}
	if d.Ended != nil {
		was = nil // and this is the next one
	}
	order := map[MovePhase]int{Draining: 0, StartingUp: 1, Returning: 2}
	if was != nil && (order[m.Phase] < order[was.Phase] || m.From != was.From || !m.StartedAt.Equal(was.StartedAt)) {
		t.Fatalf("step %d: the move %+v became %+v", step, *was, *m)
	}
	donor, receiver := d.role(m.From), d.role(m.To)
	pods := len(in.Snapshot.pool(m.From).Replicas)
	switch {
	case m.Phase == Draining && receiver.To > receiver.From:
		t.Fatalf("step %d: the receiver grows while the donor drains: %s", step, d.Summary)
	case m.Phase == StartingUp && (was == nil || was.Phase == Draining) && (pods > m.DonorAfter || donor.From > m.DonorAfter):
		t.Fatalf("step %d: %d pods of the donor are left, %d are to be: %s", step, pods, m.DonorAfter, d.Summary)
	case m.Phase == Returning && receiver.To > max(receiver.From, m.ReceiverBefore): // by hand it may have been lowered further
		t.Fatalf("step %d: the receiver grows on the way back: %s", step, d.Summary)
	}
	limit := map[MovePhase]Seconds{Draining: in.Spec.Rebalance.DrainTimeoutSeconds, StartingUp: in.Spec.Rebalance.StartTimeoutSeconds,
		Returning: in.Spec.Rebalance.DrainTimeoutSeconds + in.Spec.Rebalance.StartTimeoutSeconds}[m.Phase]
	if in.Spec.Paused == "" && d.At.Sub(m.PhaseSince) > limit.Duration() {
		t.Fatalf("step %d: the move is in %s since %s", step, m.Phase, d.At.Sub(m.PhaseSince))
	}
}

// follow remembers what was done, and what was met.
func (l *life) follow(met map[string]int, in *Input, d *Decision) {
	for _, role := range []Role{Prefill, Decode} {
		if r := d.role(role); r.To != r.From {
			l.changed[role][r.To > r.From] = d.At
			met[map[bool]string{true: "up", false: "down"}[r.To > r.From]]++
		}
	}
	count := func(what string, is bool) {
		if is {
			met[what]++
		}
	}
	count("move", d.Move != nil)
	count("next phase", d.Move != nil && in.Memory.Move != nil && d.Move.Phase != in.Memory.Move.Phase)
	count("over budget", hasNote(*d, ReasonOverBudget))
	count("given up", hasNote(*d, ReasonGivenUp))
	count("paused", hasNote(*d, ReasonPaused))
}
