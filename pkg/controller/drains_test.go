package controller

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// withHook asks for a drain of 30 s before a replica goes.
func withHook(p *v1alpha1.PDAutoscaler) {
	p.Spec.Behavior.Drain = byHTTP("")
	p.Default()
}

const guarded = `finalizers ["pdautoscaler.io/move"]`

func TestDrainBeforeAReplicaGoes(t *testing.T) {
	t.Run("until the deadline", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		status := w.rounds(1).Status
		w.wantLog(guarded, "status", "status")
		if d := status.Drains; len(d) != 1 || d[0].Role != "prefill" || !slices.Equal(d[0].Replicas, []string{"prefill-2"}) || !d[0].Since.Time.Equal(start) {
			t.Errorf("drains on record: %+v", d)
		}
		if s := status.Roles.Prefill; s.Reason != "Draining" || !strings.HasPrefix(s.Message, "prefill-2 drains before it goes, until 12:00:30 at the latest") {
			t.Errorf("prefill says %s: %s", s.Reason, s.Message)
		}
		w.rounds(2) // 10 and 20 s later
		w.wantLog()
		w.rounds(1)
		w.wantLog("prefill 2->1", "status", "finalizers []")
		if got := w.resource().Status.Drains; len(got) != 0 {
			t.Errorf("still on record: %+v", got)
		}
		if want := []string{"prefill-2", "prefill-2", "prefill-2", "prefill-2"}; !slices.Equal(w.service.told, want) {
			t.Errorf("told were %q, want %q", w.service.told, want)
		}
		if n := w.countEvents("Normal Draining"); n != 1 {
			t.Errorf("announced %d times: %q", n, w.events)
		}
		if n := w.countEvents("Normal ScaledDown: prefill to 1.; prefill-2 goes"); n != 1 {
			t.Errorf("nobody says who went: %q", w.events)
		}
	})
	t.Run("taken back when the resource is deleted", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.service.refuseDrain = errors.New("conflict")
		if err := w.api.Delete(t.Context(), w.resource()); err != nil {
			t.Fatal(err)
		}
		w.log = nil
		w.rounds(2)
		if len(w.resource().Finalizers) == 0 {
			t.Fatal("it is gone, and prefill-2 has not heard that it stays")
		}
		w.service.refuseDrain = nil
		if _, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key}); err != nil {
			t.Fatal(err)
		}
		if n := len(w.log); n < 3 || w.log[n-2] != "undrain prefill-2" && w.log[n-1] != "undrain prefill-2" {
			t.Errorf("what was done: %q", w.log)
		}
		if err := w.api.Get(t.Context(), w.key, &v1alpha1.PDAutoscaler{}); !apierrors.IsNotFound(err) {
			t.Errorf("it is still there: %v", err)
		}
	})
	t.Run("until it is done", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.service.drained = true
		w.rounds(1)
		w.wantLog(guarded, "status", "prefill 2->1", "status", "finalizers []")
	})
	t.Run("until it has no request", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.service.loads = map[string]float64{"prefill-1": 3, "prefill-2": 0}
		w.rounds(2) // a router takes a moment to hear of it
		w.wantLog(guarded, "status", "status", "prefill 2->1", "status", "finalizers []")
	})
	t.Run("through a restart", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(2)
		w.restart()
		w.log = nil
		w.rounds(2)
		w.wantLog("prefill 2->1", "status", "finalizers []") // 30 s after it began, not after the restart
	})
	t.Run("and stays after all", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.decide = scaleTo(2, 1)
		w.log = nil
		w.service.refuseDrain = errors.New("no route")
		w.rounds(1)
		if got := w.resource().Status.Drains; len(got) != 1 {
			t.Errorf("what could not be taken back is forgotten: %+v", got)
		}
		w.service.refuseDrain = nil
		w.log = nil
		w.rounds(1)
		w.wantLog("undrain prefill-2", "status", "finalizers []")
		w.rounds(1)
		w.wantLog()
	})
	t.Run("while the API server is away", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.service.observe = errKilled
		w.rounds(1)
		w.service.observe = nil
		w.log = nil
		w.rounds(2)
		w.wantLog("status", "prefill 2->1", "status", "finalizers []") // 30 s after it began
	})
	t.Run("and stays, when the hook is taken out of the spec", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Behavior.Drain = nil })
		w.decide = scaleTo(2, 1)
		w.log = nil
		w.rounds(1)
		w.wantLog("undrain prefill-2", "status", "finalizers []")
	})
	t.Run("and stays, which it cannot be told at once", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.decide, w.service.refuseDrain = scaleTo(2, 1), errors.New("timeout")
		w.log = nil
		if pda := w.rounds(2); len(pda.Status.Drains) != 1 {
			t.Errorf("what could not be taken back is not on record: %+v", pda.Status.Drains)
		}
		w.wantLog("undrain prefill-2", "status", "undrain prefill-2")
		w.service.refuseDrain = nil
		w.rounds(1)
		w.wantLog("undrain prefill-2", "status", "finalizers []")
	})
	t.Run("and stays, which it cannot be told at all", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.decide, w.service.refuseDrain = scaleTo(2, 1), &workload.NotTakenBackError{Pod: "prefill-2", Path: "/resume", Status: "404 Not Found"}
		w.log = nil
		w.rounds(2)
		w.wantLog("undrain prefill-2", "status", "finalizers []")
		if n := w.countEvents("Warning DrainHookFailed: drain hook of pod prefill-2: /resume answered 404 Not Found"); n != 1 {
			t.Errorf("announced %d times: %q", n, w.events)
		}
	})
	t.Run("whatever the hook answers", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.decide = scaleTo(1, 1)
		w.service.refuseDrain = errors.New("404 Not Found")
		w.rounds(4)
		if got := w.service.pools[planner.Prefill].Desired; got != 1 {
			t.Errorf("prefill is at %d after the deadline", got)
		}
		if n := w.countEvents("Warning DrainHookFailed: 404 Not Found"); n != 1 {
			t.Errorf("announced %d times: %q", n, w.events)
		}
	})
	t.Run("not one that does not serve", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.service.pools[planner.Prefill].Replicas[1].State = planner.Starting
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("prefill 2->1", "status")
	})
	t.Run("in a move", func(t *testing.T) {
		w := movingWorld(t)
		w.edit(withHook)
		w.service.drained = false
		for n := range 20 {
			w.tick(n, 6)
		}
		w.wantCounts(1, 2)
		w.ended()
		if len(w.service.told) == 0 {
			t.Error("the donor's replica was not told")
		}
	})
}

// The least loaded replica of a role without identities goes.
func TestVictims(t *testing.T) {
	stateless := map[planner.Role]bool{planner.Prefill: true}
	t.Run("by load", func(t *testing.T) {
		w := newWorld(t, example())
		w.service.stateless, w.service.loads = stateless, map[string]float64{"prefill-1": 0, "prefill-2": 7}
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("choose prefill prefill-1", "prefill 2->1", "status")
	})
	t.Run("as the target likes where no load is known", func(t *testing.T) {
		w := newWorld(t, example())
		w.service.stateless = stateless
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("prefill 2->1", "status")
	})
	t.Run("by ordinal where replicas have identities", func(t *testing.T) {
		w := newWorld(t, example())
		w.service.loads = map[string]float64{"prefill-1": 0, "prefill-2": 7}
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("prefill 2->1", "status")
	})
	t.Run("the one that drains, though another is idle by now", func(t *testing.T) {
		w := newWorld(t, example(withHook))
		w.service.stateless, w.service.loads = stateless, map[string]float64{"prefill-1": 1, "prefill-2": 7}
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.service.loads = map[string]float64{"prefill-1": 5, "prefill-2": 0}
		w.log = nil
		w.rounds(3)
		w.wantLog("choose prefill prefill-1", "prefill 2->1", "status", "finalizers []")
	})
	t.Run("without the right to choose", func(t *testing.T) {
		w := newWorld(t, example())
		w.service.stateless, w.service.loads = stateless, map[string]float64{"prefill-1": 0, "prefill-2": 7}
		w.service.refuseChoice = apierrors.NewForbidden(schema.GroupResource{Resource: "roleinstances"}, "prefill-1", errors.New("no"))
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("choose prefill prefill-1", "prefill 2->1", "status")
		if n := w.countEvents("Warning DrainHookFailed"); n != 1 {
			t.Errorf("announced %d times: %q", n, w.events)
		}
	})
	t.Run("not where the choice failed", func(t *testing.T) {
		w := newWorld(t, example())
		w.service.stateless, w.service.loads = stateless, map[string]float64{"prefill-1": 0, "prefill-2": 7}
		w.service.refuseChoice = errors.New("etcd is full")
		w.decide = scaleTo(1, 1)
		w.rounds(1)
		w.wantLog("choose prefill prefill-1", "status")
	})
}

// Pods that may take longer to end than a move waits are said before one is tried.
func TestDrainTimes(t *testing.T) {
	w := newWorld(t, example(withHook, func(p *v1alpha1.PDAutoscaler) { p.Spec.Rebalance.DrainTimeout = v1alpha1.Every(2 * time.Minute) }))
	w.service.grace = map[planner.Role]int64{planner.Prefill: 91, planner.Decode: 90}
	w.decide = scaleTo(2, 1)
	w.rounds(1)
	if n := w.countEvents("Warning DrainTimeoutTooShort: a pod of prefill may take 2m1s to end"); n != 1 || len(w.events) != 1 {
		t.Errorf("announced %d times: %q", n, w.events)
	}
}

// What a quota leaves is the budget where it is less.
func TestQuotaIsABudget(t *testing.T) {
	for name, tc := range map[string]struct {
		quota  *workload.Allowance
		budget int32 // of the spec, 0 for none
		want   int
		reason planner.Reason
	}{
		"no quota":                {nil, 12, 12, "WithinBudget"},
		"a quota that is less":    {&workload.Allowance{GPUs: 2, From: "ResourceQuota default/q"}, 12, 8, "WithinQuota"},
		"a quota that is more":    {&workload.Allowance{GPUs: 20, From: "ResourceQuota default/q"}, 12, 12, "WithinBudget"},
		"a quota and no budget":   {&workload.Allowance{GPUs: 2, From: "ResourceQuota default/q"}, 0, 8, "WithinQuota"},
		"a quota that is used up": {&workload.Allowance{GPUs: 0, From: "ResourceQuota default/q"}, 12, 6, "WithinQuota"},
		// 0 would be no budget at all
		"nothing held, nothing left": {&workload.Allowance{GPUs: 0, From: "ResourceQuota default/q"}, 0, 1, "WithinQuota"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
				if p.Spec.Budget.GPUs = tc.budget; tc.budget == 0 {
					p.Spec.Budget = nil
				}
			}))
			w.service.quota = tc.quota
			if tc.want == 1 {
				w.service.shrink(planner.Prefill, 2)
				w.service.shrink(planner.Decode, 1)
				w.service.settle()
			}
			got := 0
			w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
				got = in.Spec.BudgetGPUs
				return scaleTo(2, 1)(in)
			}
			w.rounds(1)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("budget (-want +got):\n%s", diff)
			}
			w.wantCondition(v1alpha1.ConditionWithinBudget, "True", tc.reason)
		})
	}
}
