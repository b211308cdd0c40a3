package conformance

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// What would come of a write that RBG does not carry out: pkg/workload must say so before one is made.
func productHeldBehaviours() []behaviour {
	return []behaviour{
		{
			name: "product/held by a dependency", gpus: 3,
			fact:  "while a dependency is not wholly ready the dependent role is held, and taking the increase back frees it",
			check: heldByDependency,
		},
		{
			name: "product/held by a policy", gpus: 3,
			fact:  "while a growing role of a policy waits for a place the other role is held",
			check: heldByPolicy,
		},
		{
			name:  "product/held until the adapter is bound",
			fact:  "a count written before its adapter is Bound would be lost, so none is written",
			check: heldUntilBound,
		},
		{
			name: "product/sees a rollout", api: v1alpha2,
			fact:  "a rollout shows in the workload's revisions only; a scale-down would take the updated pods",
			check: seesRollout,
		},
		{
			name:  "product/tells a group from its namesake",
			fact:  "a deleted group is missing, and the pods it leaves are not those of the group made again",
			check: tellsNamesake,
		},
	}
}

// held waits until a role is held for a reason that contains a text.
func (p *product) held(role planner.Role, text string) {
	p.Helper()
	p.eventually(fmt.Sprintf("%s to be held", role), func() error {
		o := p.observe()
		pool := &o.Prefill
		if role == planner.Decode {
			pool = &o.Decode
		}
		if text == "" && pool.Held == "" || text != "" && strings.Contains(pool.Held, text) {
			return nil
		}
		return fmt.Errorf("it is held by %q, want %q", pool.Held, text)
	})
}

func heldByDependency(t *trial) {
	roles := pair(1, true)
	roles[1].dependsOn = []string{"prefill"}
	t.create(roles...)
	p := t.product()
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	p.bound("prefill", "decode")
	p.held(planner.Decode, "")
	p.apply(planner.Prefill, 2, 3)
	p.held(planner.Decode, "depends on role prefill")
	p.held(planner.Prefill, "")
	p.apply(planner.Prefill, 3, 2)
	p.held(planner.Decode, "")
}

func heldByPolicy(t *trial) {
	p := t.product()
	t.coordinated(scalingStrategy("10%", "OrderScheduled"))
	p.held(planner.Prefill, "")
	t.scale("decode", 2)
	t.eventually("the second decode pod to have no place", t.unschedulable(ordinals("decode", 2)[1]))
	t.scale("decode", 3)
	p.held(planner.Prefill, "coordination policy")
	t.scale("decode", 1)
	p.held(planner.Prefill, "")
}

func heldUntilBound(t *trial) {
	t.create(role{name: "prefill", replicas: 1, nowhere: true}, role{name: "decode", replicas: 1, adapter: true, dependsOn: []string{"prefill"}})
	p := t.product()
	// decode's adapter is not even made while prefill has no place.
	t.eventually("the gate", t.happened("DependencyNotMet"))
	if err := p.workload.Apply(t.Context(), p.target, planner.Decode, 1, 2); !errors.As(err, new(*workload.NotBoundError)) {
		t.Errorf("a write without a bound adapter: %v, want that it is not bound", err)
	}
}

func seesRollout(t *trial) {
	r := role{name: "prefill", replicas: 3, adapter: true, version: "old", rollingUpdate: rolling(2)}
	t.create(r, role{name: "decode", replicas: 1})
	p := t.product()
	t.eventually("3 pods", t.hasVersions("prefill", "old", "old", "old"))
	rollout := func(want bool) func() error {
		return func() error {
			if o := p.observe(); o.Prefill.Rollout != want {
				return fmt.Errorf("a rollout: %t, want %t", o.Prefill.Rollout, want)
			}
			return nil
		}
	}
	t.eventually("no rollout", rollout(false))
	r.version = "new"
	t.editRole(r)
	t.eventually("ordinal 2 to be new", t.hasVersions("prefill", "old", "old", "new"))
	t.eventually("the rollout to be seen", rollout(true))
	r.rollingUpdate = rolling(0)
	t.editRole(r)
	t.eventually("all to be new", t.hasVersions("prefill", "new", "new", "new"))
	t.eventually("the rollout to be over", rollout(false))
}

func tellsNamesake(t *trial) {
	roles := []role{{name: "prefill", replicas: 2, adapter: true, drains: drain}, {name: "decode", replicas: 1}}
	t.create(roles...)
	p := t.product()
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	before := p.observe()
	t.deleteGroup()
	t.eventually("the group to be gone", t.gone(rbg(t.api, kindGroup), groupName))
	if _, err := p.workload.Observe(t.Context(), p.target, time.Now()); !errors.As(err, new(*workload.MissingError)) {
		t.Errorf("a deleted group: %v, want that it is missing", err)
	}
	t.create(roles...)
	old := map[string]bool{}
	for i := range before.Pods {
		old[string(before.Pods[i].UID)] = true
	}
	t.eventually("the new group's pods to be ready", func() error {
		o := p.observe()
		ready := 0
		for i := range o.Pods {
			switch pod := &o.Pods[i]; {
			case old[string(pod.UID)] && pod.Ready:
				t.Errorf("pod %s of the old group counts as ready", pod.Name)
			case pod.Role == planner.Prefill && pod.Ready:
				ready++
			}
		}
		if o.UID == before.UID || ready != 2 {
			return fmt.Errorf("%d ready", ready)
		}
		return nil
	})
}
