package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// The ledger of a move: whatever happens on the way, the budget is kept at
// every moment, and the move comes to an end.

// movingWorld is the running example with all 6 GPUs of its budget in use, and
// a planner that moves one replica from prefill to decode.
func movingWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Budget.GPUs = 6
		p.Spec.Rebalance.StartTimeout = v1alpha1.Every(2 * time.Minute)
	}))
	w.service.traffic(1, 500, 100)
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		if in.Memory.Move == nil && in.Snapshot.Prefill.Desired == 2 && in.Snapshot.Decode.Desired == 1 && in.Spec.Paused == "" {
			return beginsMove(in)
		}
		return planner.Plan(in)
	}
	return w
}

// held is how many GPUs the service holds now.
func (w *world) held() int {
	held := 0
	for _, p := range w.service.pools {
		held += p.HeldGPUs()
	}
	return held
}

// tick does one round, lets pods come and go every other time, and fails if a
// write took the service over its budget. A dead controller is replaced.
func (w *world) tick(n, budget int) {
	w.t.Helper()
	before := w.held()
	request := reconcile.Request{NamespacedName: w.key}
	if _, err := w.controller.Reconcile(w.t.Context(), request); err != nil && !w.dead {
		w.t.Fatalf("round %d: %v", n, err)
	}
	if after := w.held(); after > budget && after > before {
		w.t.Fatalf("round %d: %d GPUs are held, the budget is %d and %d were held before; written was %q", n, after, budget, before, w.log)
	}
	if w.dead {
		w.restart()
	}
	if n%2 == 1 {
		w.service.settle()
	}
	w.pass(10 * time.Second)
}

// ended fails unless no move runs any more and nothing holds the resource.
func (w *world) ended() {
	w.t.Helper()
	pda := w.resource()
	if pda.Status.Move != nil || len(pda.Finalizers) > 0 || w.controller.store.get(w.key).memory.Move != nil {
		w.t.Errorf("the move %+v and the finalizers %v are left; written was %q", pda.Status.Move, pda.Finalizers, w.log)
	}
}

func (w *world) wantCounts(prefill, decode int) {
	w.t.Helper()
	p, d := w.service.pools[planner.Prefill].Desired, w.service.pools[planner.Decode].Desired
	if p != prefill || d != decode {
		w.t.Errorf("%d and %d replicas, want %d and %d; written was %q", p, d, prefill, decode, w.log)
	}
}

// A controller that is killed at any write, before or after it, has a successor
// that ends the move, and never takes a GPU that is not free.
func TestKilledAtEveryWrite(t *testing.T) {
	undisturbed := movingWorld(t)
	for n := range 12 {
		undisturbed.tick(n, 6)
	}
	undisturbed.wantCounts(1, 2)
	undisturbed.ended()
	if undisturbed.writes < 7 { // finalizer, intent, donor, receiver's intent, receiver, end, finalizer
		t.Fatalf("a move took %d writes: %q", undisturbed.writes, undisturbed.log)
	}
	for killAt := 1; killAt <= undisturbed.writes; killAt++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at write %d, %s, made %v", killAt, undisturbed.log[killAt-1], after), func(t *testing.T) {
				w := movingWorld(t)
				w.killAt, w.killAfter = killAt, after
				for n := range 16 {
					w.tick(n, 6)
				}
				w.wantCounts(1, 2)
				w.ended()
			})
		}
	}
}

// Killed twice: the successor dies as well.
func TestKilledTwice(t *testing.T) {
	for first := 1; first <= 7; first++ {
		for second := 1; second <= 5; second++ {
			t.Run(fmt.Sprintf("at %d, then at %d", first, second), func(t *testing.T) {
				w := movingWorld(t)
				w.killAt, w.killAfter = first, true
				kills := 1
				for n := range 20 {
					w.tick(n, 6)
					if w.killAt == 0 && kills == 1 { // its successor has begun
						w.killAt, kills = w.writes+second, 2
					}
				}
				if kills != 2 {
					t.Error("the first controller was not killed")
				}
				w.wantCounts(1, 2)
				w.ended()
			})
		}
	}
}

// What someone else does in the middle of a move.
func TestDisturbedMove(t *testing.T) {
	type disturbance struct {
		do     func(*world)
		budget int // after it
	}
	for name, d := range map[string]disturbance{
		"the budget is lowered":      {func(w *world) { w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 4 }) }, 4},
		"the budget is raised":       {func(w *world) { w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 12 }) }, 12},
		"the receiver is edited up":  {func(w *world) { w.service.grow(planner.Decode, 1) }, 6},
		"the donor is edited up":     {func(w *world) { w.service.grow(planner.Prefill, 1) }, 6},
		"the receiver is edited off": {func(w *world) { w.service.shrink(planner.Decode, 1) }, 6},
		"the status is lost": {func(w *world) {
			pda := w.resource()
			pda.Status = v1alpha1.PDAutoscalerStatus{}
			if err := w.api.Status().Update(w.t.Context(), pda); err != nil {
				w.t.Fatal(err)
			}
			w.restart()
		}, 6},
		"the group is made again": {func(w *world) { w.service.uid = "group-2" }, 6},
		"the receiver's role goes and comes": {func(w *world) {
			p := w.service.pools[planner.Decode]
			missing := *p
			*p = planner.Pool{Missing: "the role is gone", GPUsPerReplica: 2}
			for n := range 3 {
				w.tick(n, 6)
			}
			*p = missing
		}, 6},
		"the API server is away": {func(w *world) {
			w.service.observe = errKilled
			for n := range 3 {
				w.tick(n, 6)
			}
			w.service.observe = nil
		}, 6},
		"it is paused and resumed": {func(w *world) {
			w.edit(func(p *v1alpha1.PDAutoscaler) { p.Annotations = map[string]string{v1alpha1.PausedAnnotation: "a look"} })
			counts := [2]int{w.service.pools[planner.Prefill].Desired, w.service.pools[planner.Decode].Desired}
			for n := range 4 {
				w.tick(n, 6)
			}
			if got := [2]int{w.service.pools[planner.Prefill].Desired, w.service.pools[planner.Decode].Desired}; got != counts {
				w.t.Errorf("a paused service went from %v to %v", counts, got)
			}
			w.edit(func(p *v1alpha1.PDAutoscaler) { p.Annotations = nil })
		}, 6},
	} {
		for at := range 5 {
			t.Run(fmt.Sprintf("%s after round %d", name, at), func(t *testing.T) {
				w := movingWorld(t)
				for n := range at {
					w.tick(n, 6)
				}
				d.do(w)
				for n := range 40 {
					w.tick(n, d.budget)
				}
				if held := w.held(); held > d.budget {
					t.Errorf("%d GPUs are still held, the budget is %d", held, d.budget)
				}
				w.ended()
				if t.Failed() {
					t.Logf("written was %q; at last: %s", w.log, w.resource().Status.Message)
				}
			})
		}
	}
}

// An adapter of RBG that is bound a second time brings back the count from before a write that it had accepted (seen on
// v0.8). The ledger sees that the count is not the one that it wrote and writes it again: one move, within the budget, whose
// every write may be lost, also when a round has seen the count in between and when the controller is killed after it.
func TestLostWritesOfAMove(t *testing.T) {
	for _, first := range []int{0, 1, 2, 3, 4} { // the round before which the loss begins
		for _, lost := range []int{1, 2, 3} {
			for _, seen := range []int{0, 1, 2} {
				for _, killed := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d lost from round %d on, each after %d looks, killed %v", lost, first, seen, killed), func(t *testing.T) {
						w := movingWorld(t)
						began, written := 0, 0
						decide := w.decide
						w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
							d, m := decide(in)
							if in.Memory.Move == nil && m.Move != nil {
								began++
							}
							return d, m
						}
						for n := range 20 {
							if n == first {
								w.service.lose, w.service.lostAfter = lost, seen
							}
							before := w.service.lose
							w.tick(n, 6)
							if killed && w.service.lose < before {
								w.restart()
							}
						}
						for _, line := range w.log {
							if strings.Contains(line, "->") {
								written++
							}
						}
						w.wantCounts(1, 2)
						w.ended()
						// Two writes make a move; each that is lost is written once more. Those that were made before the loss began are not lost.
						if again := lost - w.service.lose; written != 2+again || began != 1 {
							t.Errorf("%d moves began and counts were written %d times, %d of them lost; want one move and %d writes: %q", began, written, again, 2+again, w.log)
						}
					})
				}
			}
		}
	}
}

// A plain change of a count, in no move, that was accepted and lost is decided and written again.
func TestLostWriteOfACount(t *testing.T) {
	for name, to := range map[string][2]int{"up": {3, 1}, "down": {1, 1}, "both": {1, 2}} {
		for _, seen := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, after %d looks", name, seen), func(t *testing.T) {
				w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 8 }))
				w.decide = scaleTo(to[0], to[1])
				w.service.lose, w.service.lostAfter = 1, seen
				for n := range 8 {
					w.tick(n, 8)
				}
				w.wantCounts(to[0], to[1])
				if w.service.lose != 0 {
					t.Error("nothing was lost: the test has no subject")
				}
			})
		}
	}
}

// A pause that comes after the round began is obeyed in it.
func TestPauseAfterTheRoundBegan(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(2, 1)
	w.rounds(1)
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		w.edit(func(p *v1alpha1.PDAutoscaler) { p.Annotations = map[string]string{v1alpha1.PausedAnnotation: ""} })
		return scaleTo(3, 1)(in)
	}
	w.log = nil
	w.round()
	w.wantCounts(2, 1)
	for _, line := range w.log {
		if line != "status" {
			t.Errorf("written was %q", w.log)
		}
	}
}

// A decision is made from a cache. Growth that what is really held leaves no
// room for is not written, is said, and is decided again; a shrink is written.
func TestGrowthIsConfirmed(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 8 }))
	w.decide = scaleTo(1, 3)
	w.service.hidden = 2
	pda := w.round()
	w.wantCounts(1, 1)
	if want := "role decode was not grown: 8 GPUs are held by now, 4 more would be over the budget of 8"; pda.Status.Message != want {
		t.Errorf("the status says %q, want %q", pda.Status.Message, want)
	}
	w.service.settle()
	w.service.hidden = 0
	w.pass(10 * time.Second)
	w.round()
	w.wantCounts(1, 3)

	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget = nil })
	w.service.hidden = 100
	w.decide = scaleTo(1, 4)
	w.pass(10 * time.Second)
	w.round()
	w.wantCounts(1, 4) // no budget, nothing to be sure of
}

// Replicas of which nobody can count the GPUs, such as those with a claim that
// may be shared, hold what the resource says: the other role must not grow into it.
func TestUnknownGPUsAreHeld(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Budget.GPUs = 9
		p.Spec.Roles.Prefill.Parallelism = &v1alpha1.Parallelism{Tensor: 2}
		p.Default()
	}))
	prefill := w.service.pools[planner.Prefill]
	prefill.GPUsPerReplica, prefill.Held, prefill.Desired = 0, "how many GPUs prefill takes is not known", 3
	for i := range prefill.Replicas {
		prefill.Replicas[i].GPUs = 0
	}
	held := 0
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, _ := planner.Plan(in)
		held = d.GPUs.Held
		return scaleTo(3, 2)(in)
	}
	pda := w.round()
	w.wantCounts(3, 1)
	// 2 replicas of prefill, one without a pod yet, and one of decode.
	if want := "role decode was not grown: 8 GPUs are held by now, 2 more would be over the budget of 9"; held != 8 || pda.Status.Message != want {
		t.Errorf("%d GPUs are decided from, and the status says %q; want 8 and %q", held, pda.Status.Message, want)
	}
}

// A resource that is deleted in the middle of a move leaves no half of it.
func TestDeletedInMidMove(t *testing.T) {
	for at := range 6 {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("after round %d, restarted %v", at, restarted), func(t *testing.T) {
				w := movingWorld(t)
				for n := range at {
					w.tick(n, 6)
				}
				if err := w.api.Delete(t.Context(), w.resource()); err != nil {
					t.Fatal(err)
				}
				if restarted {
					w.restart()
				}
				gone := false
				for n := range 8 {
					w.tick(n, 6)
					gone = client.IgnoreNotFound(w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{})) == nil && w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}) != nil
				}
				if !gone {
					t.Fatalf("the resource is still there: %+v", w.resource().Status.Move)
				}
				p, d := w.service.pools[planner.Prefill].Desired, w.service.pools[planner.Decode].Desired
				if p+d != 3 {
					t.Errorf("%d and %d replicas are left, want both sides of the move or none; written was %q", p, d, w.log)
				}
				if w.controller.store.get(w.key) != nil {
					t.Error("something is still kept of it")
				}
			})
		}
	}
	t.Run("while paused", func(t *testing.T) {
		w := movingWorld(t)
		w.tick(0, 6)
		w.edit(func(p *v1alpha1.PDAutoscaler) { p.Annotations = map[string]string{v1alpha1.PausedAnnotation: ""} })
		if err := w.api.Delete(t.Context(), w.resource()); err != nil {
			t.Fatal(err)
		}
		w.tick(1, 6)
		w.wantCounts(1, 1)
		if err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}); client.IgnoreNotFound(err) != nil || err == nil {
			t.Errorf("the resource is still held: %v", err)
		}
	})
}

// endMove is pure: every state of the two roles has one next step.
func TestEndMove(t *testing.T) {
	move := func(phase planner.MovePhase) *planner.Move {
		return &planner.Move{From: planner.Prefill, To: planner.Decode, DonorBefore: 2, DonorAfter: 1, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2, Phase: phase, PhaseSince: start}
	}
	pool := func(desired, replicas int) *planner.Pool {
		p := &planner.Pool{Desired: desired, GPUsPerReplica: 2}
		for range replicas {
			p.Replicas = append(p.Replicas, planner.Replica{State: planner.Ready, GPUs: 2})
		}
		return p
	}
	held := func(p *planner.Pool) *planner.Pool { p.Held = "a dependency"; return p }
	for name, tc := range map[string]struct {
		phase        planner.MovePhase
		donor, other *planner.Pool
		room         int
		late         bool
		write        string // role and count
		done         bool
	}{
		"not asked yet":             {phase: planner.Draining, donor: pool(2, 2), other: pool(1, 1), done: true},
		"the donor's pods are here": {phase: planner.Draining, donor: pool(1, 2), other: pool(1, 1)},
		"they never go":             {phase: planner.Draining, donor: pool(1, 2), other: pool(1, 1), late: true, done: true},
		"the donor's pods are gone": {phase: planner.Draining, donor: pool(1, 1), other: pool(1, 1), room: 2, write: "decode 1->2", done: true},
		"no room after all":         {phase: planner.Draining, donor: pool(1, 1), other: pool(1, 1), room: 1, done: true},
		"a gate is closed":          {phase: planner.Draining, donor: pool(1, 1), other: held(pool(1, 1)), room: 2},
		"a gate never opens":        {phase: planner.Draining, donor: pool(1, 1), other: held(pool(1, 1)), room: 2, late: true, done: true},
		"the receiver has them":     {phase: planner.StartingUp, donor: pool(1, 1), other: pool(2, 1), done: true},
		"the way back begins":       {phase: planner.Returning, donor: pool(1, 1), other: pool(2, 2), write: "decode 2->1"},
		"the way back goes on":      {phase: planner.Returning, donor: pool(1, 1), other: pool(1, 2)},
		"the way back ends":         {phase: planner.Returning, donor: pool(1, 1), other: pool(1, 1), room: 2, write: "prefill 1->2", done: true},
		"all is back":               {phase: planner.Returning, donor: pool(2, 2), other: pool(1, 1), done: true},
		"a role is gone":            {phase: planner.Draining, donor: &planner.Pool{Missing: "gone"}, other: pool(1, 1), done: true},
		"another writer":            {phase: planner.Draining, donor: pool(1, 1), other: &planner.Pool{Desired: 1, Writer: "HPA"}, room: 2, done: true},
		"a phase of nobody":         {phase: "Flying", donor: pool(1, 1), other: pool(1, 1), done: true},
	} {
		now := start.Add(time.Minute)
		if tc.late {
			now = start.Add(time.Hour)
		}
		got := endMove(move(tc.phase), tc.donor, tc.other, tc.room, planner.Rebalance{DrainTimeoutSeconds: 600, StartTimeoutSeconds: 900}, now)
		write := ""
		if got.from != got.to {
			write = fmt.Sprintf("%s %d->%d", got.role, got.from, got.to)
		}
		if write != tc.write || got.done != tc.done || got.done && got.why == "" {
			t.Errorf("%s: write %q, done %v (%s); want %q, %v", name, write, got.done, got.why, tc.write, tc.done)
		}
	}
}
