package controller

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// A move is on record before its first write.
func TestIntentIsWrittenFirst(t *testing.T) {
	w := newWorld(t, example())
	w.decide = beginsMove
	w.round()
	w.wantLog(`finalizers ["pdautoscaler.io/move"]`, "status", "prefill 2->1", "status")
	if n := w.countEvents("Normal MoveStarted"); n != 1 {
		t.Errorf("the beginning of the move was announced %d times: %q", n, w.events)
	}
	// A scale-up has no intent that a restart would need.
	w = newWorld(t, example())
	w.decide = scaleTo(3, 1)
	w.round()
	w.wantLog("prefill 2->3", "status")
}

// Where the intent cannot be recorded nothing is written, and the move has not begun.
func TestNoIntentNoWrite(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		next time.Duration
	}{
		"API server refuses":   {errors.New("etcd is full"), 10 * time.Second},
		"resource was changed": {apierrors.NewConflict(schema.GroupResource{Resource: "pdautoscalers"}, "qwen", errors.New("changed")), time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example())
			w.decide = beginsMove
			w.failStatus = c.err
			w.rounds(3)
			w.wantLog(`finalizers ["pdautoscaler.io/move"]`)
			if got := w.service.pools[planner.Prefill].Desired; got != 2 {
				t.Errorf("prefill is at %d", got)
			}
			memory := w.controller.store.get(w.key).memory
			if memory.Move != nil || !memory.Prefill.LastDown.IsZero() {
				t.Errorf("what was not written is remembered: %+v, down at %v", memory.Move, memory.Prefill.LastDown)
			}
			if n := w.countEvents("Warning StatusNotWritten"); n != 1 {
				t.Errorf("%d events about it: %q", n, w.events)
			}
			w.failStatus = nil
			w.rounds(1)
			w.wantLog("status", "prefill 2->1", "status")
		})
	}
}

// A stop between the record of the intent and its write, and one between the
// donor's write and the receiver's: the next controller finishes the move.
func TestRestartInMidMove(t *testing.T) {
	for _, stop := range []string{"after the intent", "while the donor drains"} {
		t.Run(stop, func(t *testing.T) {
			w := newWorld(t, example())
			w.service.traffic(1, 500, 100)
			w.decide = beginsMove
			if stop == "after the intent" {
				w.service.refuse[planner.Prefill] = errors.New("killed")
			}
			w.rounds(1)
			delete(w.service.refuse, planner.Prefill)
			began := w.resource().Status.Move
			if began == nil {
				t.Fatal("no move is on record")
			}

			w.restart()
			w.decide = planner.Plan
			w.log = nil
			w.pass(time.Minute)
			w.rounds(1)
			if got := w.service.pools[planner.Prefill].Desired; got != 1 {
				t.Fatalf("the donor is at %d, want 1", got)
			}
			if got := w.service.pools[planner.Decode].Desired; got != 1 {
				t.Fatalf("the receiver grew to %d while the donor's pods still hold their GPUs", got)
			}
			w.service.settle() // the donor's pods are gone
			w.rounds(1)
			if got := w.service.pools[planner.Decode].Desired; got != 2 {
				t.Fatalf("the receiver is at %d, want 2", got)
			}
			status := w.resource().Status
			if status.Move == nil || status.Move.Phase != string(planner.StartingUp) || !status.Move.StartedAt.Time.Equal(began.StartedAt.Time) {
				t.Errorf("the move is %+v, want the same one, starting", status.Move)
			}
			w.service.settle() // the receiver is ready
			w.rounds(1)
			if m := w.resource().Status.Move; m != nil {
				t.Errorf("the move is done and still on record: %+v", m)
			}
			if n := w.countEvents("Normal MoveEnded"); n != 1 {
				t.Errorf("the end of the move was announced %d times: %q", n, w.events)
			}
		})
	}
}

// The record of an intent says which spec it is for: a controller that is
// killed between it and the end of the round, right after an edit, has a successor that
// goes on.
func TestIntentIsOfTheNewSpec(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(2, 1)
	w.rounds(1)
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 10 })
	w.decide = beginsMove
	w.service.applied = func() { w.failStatus = errors.New("killed") }
	w.rounds(1)
	w.failStatus = nil
	w.restart()
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		if in.Memory.Move == nil {
			t.Error("the move is forgotten")
		}
		return beginsMove(in)
	}
	w.rounds(1)
}

// Nothing goes down until a whole window was seen since the restart.
func TestRestartHoldsScaleDown(t *testing.T) {
	w := newWorld(t, example())
	w.service.traffic(0.01, 100, 10)
	w.rounds(40) // three start-up times and intervals, and one more
	if got := w.service.pools[planner.Prefill].Desired; got != 1 {
		t.Fatalf("prefill is at %d after a quiet window: the test has no subject", got)
	}
	w = newWorld(t, example())
	w.service.traffic(0.01, 100, 10)
	w.rounds(20)
	w.restart()
	w.rounds(38)
	if got := w.service.pools[planner.Prefill].Desired; got != 2 {
		t.Errorf("prefill went to %d less than a window after the restart", got)
	}
	w.rounds(3)
	if got := w.service.pools[planner.Prefill].Desired; got != 1 {
		t.Errorf("prefill is still at %d a window after the restart", got)
	}
}

// A move on record that does not fit the resource any more is dropped, aloud.
func TestMoveThatDoesNotFitIsDropped(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.PDAutoscaler){
		"the spec changed": func(p *v1alpha1.PDAutoscaler) { p.Generation = 2 },
		"no such roles":    func(p *v1alpha1.PDAutoscaler) { p.Status.Move.To = "prefill" },
		"no such phase":    func(p *v1alpha1.PDAutoscaler) { p.Status.Move.Phase = "Flying" },
		"donor grows":      func(p *v1alpha1.PDAutoscaler) { p.Status.Move.DonorAfter = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			pda := example()
			m := planner.Move{From: planner.Prefill, To: planner.Decode, DonorBefore: 2, DonorAfter: 1, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2,
				Phase: planner.Draining, StartedAt: start, PhaseSince: start}
			pda.Status.ObservedGeneration, pda.Status.Move = 1, moveStatus(&m)
			change(pda)
			if restored, why := restore(pda, start); restored.Move != nil || why == "" {
				t.Errorf("restored %+v (%q)", restored.Move, why)
			}
			w := newWorld(t, pda)
			w.decide = scaleTo(2, 1)
			w.rounds(2)
			if n := w.countEvents("Warning MoveAbandoned"); n != 1 {
				t.Errorf("announced %d times: %q", n, w.events)
			}
			if w.resource().Status.Move != nil {
				t.Error("the move is still on record")
			}
		})
	}
}

// What a restart needs survives the way through the status exactly.
func TestMemorySurvivesTheStatus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start.Add(time.Hour)
		moment := func(name string) time.Time {
			if rapid.Bool().Draw(t, name+" set") {
				return start.Add(time.Duration(rapid.Int64Range(-1e9, 1e9).Draw(t, name)) * time.Microsecond)
			}
			return time.Time{}
		}
		roleMemory := func(name string) planner.RoleMemory {
			m := planner.RoleMemory{LastUp: moment(name + " up"), LastDown: moment(name + " down"), QuietUntil: moment(name + " quiet")}
			if m.CappedUntil = moment(name + " capped"); !m.CappedUntil.IsZero() {
				m.CappedAt = rapid.IntRange(0, 100).Draw(t, name+" cap")
				m.CapSeconds = planner.Seconds(rapid.IntRange(0, 3600).Draw(t, name+" length"))
			}
			if percent := rapid.IntRange(0, 500).Draw(t, name+" rise"); percent > 0 {
				m.Rises = []forecast.Rise{{From: now, Amount: float64(rapid.IntRange(1, 1e6).Draw(t, name+" tokens")), Share: float64(percent) / 100}}
			}
			return m
		}
		m := planner.Memory{Version: planner.RecordVersion, Since: now, LastAt: now, Prefill: roleMemory("prefill"), Decode: roleMemory("decode"), MoveNotBefore: moment("not before")}
		if rapid.Bool().Draw(t, "moving") {
			after := rapid.IntRange(0, 50).Draw(t, "donor after")
			before := rapid.IntRange(0, 50).Draw(t, "receiver before")
			m.Move = &planner.Move{From: planner.Decode, To: planner.Prefill, DonorAfter: after, DonorBefore: after + rapid.IntRange(0, 5).Draw(t, "give"),
				ReceiverBefore: before, ReceiverAfter: before + rapid.IntRange(0, 5).Draw(t, "get"), GPUs: rapid.IntRange(0, 64).Draw(t, "gpus"),
				Phase:     rapid.SampledFrom([]planner.MovePhase{planner.Draining, planner.StartingUp, planner.Returning}).Draw(t, "phase"),
				StartedAt: start, PhaseSince: start.Add(time.Microsecond), Reason: "a reason"}
		}
		pda := example()
		pda.Status.ObservedGeneration = pda.Generation
		pda.Status.Move, pda.Status.Memory = moveStatus(m.Move), memoryStatus(&m)
		got, dropped := restore(pda, now)
		if diff := cmp.Diff(m, got); diff != "" || dropped != "" {
			t.Fatalf("restored (-want +got), dropped %q:\n%s", dropped, diff)
		}
	})
}

// Of many rises the one that is usual survives, never as less than it was.
func TestUsualRiseSurvivesTheStatus(t *testing.T) {
	m := planner.Memory{Prefill: planner.RoleMemory{Rises: []forecast.Rise{{Amount: 900, Share: 9}}}}
	for range 9 {
		m.Prefill.Rises = append(m.Prefill.Rises, forecast.Rise{Amount: 100.4, Share: 0.251})
	}
	for range 9 {
		m.Decode.Rises = append(m.Decode.Rises, forecast.Rise{})
	}
	pda := example()
	pda.Status.Memory = memoryStatus(&m)
	got, _ := restore(pda, start)
	if diff := cmp.Diff([]forecast.Rise{{From: start, Amount: 900, Share: 9}}, got.Prefill.Rises); diff != "" || got.Decode.Rises != nil {
		t.Errorf("decode has %v; prefill (-want +got):\n%s", got.Decode.Rises, diff)
	}
	m.Prefill.Rises = append(m.Prefill.Rises, forecast.Rise{Amount: 100.4, Share: 0.251})
	pda.Status.Memory = memoryStatus(&m)
	if got, _ = restore(pda, start); cmp.Diff([]forecast.Rise{{From: start, Amount: 101, Share: 0.26}}, got.Prefill.Rises) != "" {
		t.Errorf("prefill has %v", got.Prefill.Rises)
	}
}

// A decision that was not carried out leaves no trace but what was seen.
func TestRememberTakesBack(t *testing.T) {
	earlier := start.Add(-time.Hour)
	before := planner.Memory{Prefill: planner.RoleMemory{LastUp: earlier, BreachSince: earlier}, Decode: planner.RoleMemory{LastUp: earlier}}
	after := before
	needs := []planner.Need{{From: start, To: start, Replicas: 3}}
	after.Prefill = planner.RoleMemory{LastUp: start, Needs: needs, MissingSince: start, BreachSince: start, QuietUntil: start.Add(time.Minute), CappedAt: 2, CappedUntil: start.Add(time.Minute), CapSeconds: 60}
	after.Decode = planner.RoleMemory{LastUp: start, Needs: needs}
	after.Move, after.MoveNotBefore = &planner.Move{}, start
	d := planner.Decision{At: start, Prefill: planner.RoleDecision{From: 2, To: 3}, Decode: planner.RoleDecision{From: 1, To: 2}}

	all := map[planner.Role]bool{planner.Prefill: true, planner.Decode: true}
	if diff := cmp.Diff(after, remember(before, after, &d, carried{true, all})); diff != "" {
		t.Errorf("all was carried out (-want +got):\n%s", diff)
	}
	want := before
	want.Prefill.Needs, want.Decode.Needs, want.Prefill.MissingSince = needs, needs, start
	if diff := cmp.Diff(want, remember(before, after, &d, carried{})); diff != "" {
		t.Errorf("nothing was carried out (-want +got):\n%s", diff)
	}
	want = after
	want.Prefill = planner.RoleMemory{LastUp: earlier, MissingSince: start, BreachSince: earlier, Needs: needs}
	if diff := cmp.Diff(want, remember(before, after, &d, carried{true, map[planner.Role]bool{planner.Decode: true}})); diff != "" {
		t.Errorf("prefill was not written (-want +got):\n%s", diff)
	}
	d.Prefill.To = 2 // nothing to write: what was learnt stays
	if diff := cmp.Diff(after, remember(before, after, &d, carried{true, map[planner.Role]bool{planner.Decode: true}})); diff != "" {
		t.Errorf("prefill had nothing to write (-want +got):\n%s", diff)
	}
}
