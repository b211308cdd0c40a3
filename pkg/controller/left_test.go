package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// twoGroups has one service for the group of the example and another for every other.
type twoGroups struct {
	*fakeService
	other *fakeService
}

func (g twoGroups) Observe(ctx context.Context, t workload.Target, now time.Time) (workload.Observation, error) {
	if t.Group != "dynamo-pd" {
		return g.other.Observe(ctx, t, now)
	}
	return g.fakeService.Observe(ctx, t, now)
}

// The resource is pointed at another group in the middle of a drain: the replicas
// of the first stay, and must not believe for ever that they go.
func TestTargetChangedInMidDrain(t *testing.T) {
	begun := func(t *testing.T) *world {
		w := newWorld(t, example(hook(byLabel("a", ""))))
		other := newService(w)
		other.uid = "group-2"
		for _, p := range other.pools {
			for i := range p.Replicas {
				p.Replicas[i].Name = "other-" + p.Replicas[i].Name
			}
		}
		w.controller.workload = twoGroups{w.service, other}
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantWords("at first", "prefill-2 label a=true")
		w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Target.Name = "another" })
		w.decide = scaleTo(2, 1)
		return w
	}
	t.Run("taken back", func(t *testing.T) {
		w := begun(t)
		w.rounds(1)
		w.wantWords("after the edit")
		if s := w.resource().Status; len(s.Drains) > 0 || len(w.resource().Finalizers) > 0 {
			t.Errorf("still on record: %+v", s.Drains)
		}
	})
	t.Run("while the other is drained", func(t *testing.T) {
		w := begun(t)
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantWords("after the edit", "other-prefill-2 label a=true")
	})
	t.Run("and cannot be told", func(t *testing.T) {
		w := begun(t)
		w.service.refuseDrain = errors.New("no route")
		w.rounds(1)
		if n := w.countEvents("Warning DrainHookFailed: no route"); n != 1 {
			t.Errorf("nobody says that a replica was left so: %q", w.events)
		}
	})
	t.Run("the first is gone", func(t *testing.T) {
		w := begun(t)
		w.service.observe = &workload.MissingError{What: "RoleBasedGroup default/dynamo-pd", Why: "does not exist"}
		w.rounds(1)
		if n := w.countEvents("Warning DrainHookFailed"); n != 0 {
			t.Errorf("a group that is gone has no replica to tell: %q", w.events)
		}
	})
}

// A deleted resource whose move cannot be ended, because the target cannot be
// read or written, is let go when a move would have been given up.
func TestDeletedResourceIsNotHeldForEver(t *testing.T) {
	for name, disturb := range map[string]func(*world){
		"the target cannot be read": func(w *world) { w.service.observe = errors.New("forbidden") },
		"the count is refused": func(w *world) {
			w.service.settle()
			w.service.refuse[planner.Decode], w.service.refuse[planner.Prefill] = errors.New("denied"), errors.New("denied")
		},
		"more is held than is seen": func(w *world) {
			w.service.settle()
			w.service.hidden = 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := movingWorld(t)
			w.clock.SetTime(time.Now().UTC()) // the API server's clock sets the time of deletion
			w.rounds(2)
			if w.resource().Status.Move == nil {
				t.Fatal("no move is under way: the test has no subject")
			}
			disturb(w)
			if err := w.api.Delete(t.Context(), w.resource()); err != nil {
				t.Fatal(err)
			}
			r := w.resource().Spec.Rebalance
			limit := r.DrainTimeout.Duration + r.StartTimeout.Duration
			for began := w.clock.Now(); ; w.pass(10 * time.Second) {
				if _, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key}); err != nil {
					t.Fatal(err)
				}
				err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{})
				held := w.clock.Now().Sub(began)
				if apierrors.IsNotFound(err) && held <= limit-time.Minute {
					t.Fatalf("it is gone after %v, with half a move that might still be ended", held)
				} else if apierrors.IsNotFound(err) {
					break
				}
				if held > limit+time.Minute {
					t.Fatalf("it is still held after %v, the timeouts of a move are %v", held, limit)
				}
			}
			if w.countEvents("Warning MoveFailed: the resource is deleted: ") != 1 {
				t.Errorf("nobody is told what was left: %q", w.events)
			}
		})
	}
}

// A deleted resource whose replicas cannot be told that they stay is let go in the end, and says what it left.
func TestDeletedResourceSaysWhatItCouldNotTell(t *testing.T) {
	w := newWorld(t, example(hook(byLabel("a", ""))))
	w.clock.SetTime(time.Now().UTC()) // the API server's clock sets the time of deletion
	w.decide = scaleTo(1, 1)
	w.rounds(1)
	w.service.refuseDrain = errors.New("no route")
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.rounds(2)
	w.pass(w.resource().Spec.Rebalance.DrainTimeout.Duration)
	w.tick(0, 12)
	if err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}); !apierrors.IsNotFound(err) {
		t.Fatalf("it is still there: %v", err)
	}
	if n := w.countEvents("Warning DrainHookFailed: no route"); n != 1 {
		t.Errorf("nobody says that a replica was left so: %q", w.events)
	}
}

// A drain that was called off is over, also where the round that called it off
// could not be recorded: one of the same replica that begins later has its whole time.
func TestDrainCalledOffInARoundThatFails(t *testing.T) {
	w := newWorld(t, example(hook(byLabel("a", ""))))
	w.decide = scaleTo(1, 1)
	w.rounds(1)
	w.wantWords("at first", "prefill-2 label a=true")
	w.decide, w.failStatus = scaleTo(2, 2), errors.New("etcd is slow")
	w.rounds(1)
	w.wantWords("when it was called off")
	w.decide, w.failStatus = scaleTo(1, 1), nil
	w.log = nil
	w.rounds(3) // until 50 s after the first drain began, and 30 s after the second
	w.wantLog("status", "status")
	w.wantWords("again", "prefill-2 label a=true")
	w.rounds(1)
	w.wantLog("prefill 2->1", "status", "finalizers []")
}

// The resource is pointed at another group and deleted before a round saw either: the move was of the first group, and the
// counts of the other are not its business.
func TestTargetChangedAndDeletedInMidMove(t *testing.T) {
	w := movingWorld(t)
	other := newService(w)
	other.shrink(planner.Prefill, 1)
	other.settle() // as the first group is when its donor has gone down
	w.controller.workload = twoGroups{w.service, other}
	w.rounds(2)
	if w.resource().Status.Move == nil {
		t.Fatal("no move is under way: the test has no subject")
	}
	w.service.settle()
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Target.Name = "another" })
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.log = nil
	w.tick(1, 6)
	w.wantLog("finalizers []")
	if w.countEvents("Warning MoveFailed: the resource is deleted: ") != 1 {
		t.Errorf("nobody is told what was left: %q", w.events)
	}
}

// The same where a group of the same name was made in the place of the first.
func TestTargetMadeAgainAndDeletedInMidMove(t *testing.T) {
	w := movingWorld(t)
	w.rounds(2)
	if w.resource().Status.Move == nil {
		t.Fatal("no move is under way: the test has no subject")
	}
	w.service.settle()
	w.service.uid = "group-2"
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.log = nil
	w.tick(1, 6)
	w.wantLog("finalizers []")
}

// The resource is pointed at another group in the middle of a drain: the replicas of the first are told that they stay.
func TestTargetChangedAndDeletedInMidDrain(t *testing.T) {
	w := newWorld(t, example(hook(byLabel("a", ""))))
	w.controller.workload = twoGroups{w.service, newService(w)}
	w.service.pools[planner.Prefill].Replicas[1].Name = "told"
	w.decide = scaleTo(1, 1)
	w.rounds(1)
	w.wantWords("at first", "told label a=true")
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Target.Name = "another" })
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.tick(1, 12)
	w.wantWords("after the end")
}

// A controller that only ends the move of a deleted resource keeps nothing of its target either.
func TestEndedMoveLeavesNothingBehind(t *testing.T) {
	w := movingWorld(t)
	w.rounds(1)
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.restart()
	for n := range 8 {
		w.tick(n, 6)
	}
	if err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}); !apierrors.IsNotFound(err) {
		t.Fatalf("the resource is still there: %v", err)
	}
	if len(w.service.forgotten) != 1 || w.service.forgotten[0].Group != "dynamo-pd" {
		t.Errorf("what the workload remembers of its target was not dropped: %v", w.service.forgotten)
	}
}

// A cache that still shows a resource on its way out, of which the API server has one of the same name that was made since:
// that one is not being deleted, and nothing of it is ended.
func TestMadeAgainBehindTheCache(t *testing.T) {
	w := newWorld(t, example())
	old := w.resource()
	old.UID, old.Finalizers, old.DeletionTimestamp = "pda-0", []string{v1alpha1.MoveFinalizer}, new(metav1.NewTime(start))
	w.controller.client = behind{w.api, old}
	w.service.observe = errors.New("the API server is away")
	result, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key})
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("reconcile: %v, %v; want another round", result, err)
	}
	w.service.observe = nil
	w.round()
	w.wantLog()
	if len(w.events) > 0 {
		t.Errorf("something of it was ended: %q", w.events)
	}
	w.controller.client = w.api
	w.round()
	w.wantLog("status")
}

// behind is a cache that still shows another version of the resource.
type behind struct {
	client.Client
	shown *v1alpha1.PDAutoscaler
}

func (b behind) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	b.shown.DeepCopyInto(object.(*v1alpha1.PDAutoscaler))
	return nil
}
