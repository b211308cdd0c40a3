package conformance

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func statusBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "status/counts replicas",
			fact:  "roleStatuses are the workloads' current counts; Ready is AllRolesReady when every role has all it asks for, ready",
			check: statusCounts,
		},
		{
			name: "status/leads pods", gpus: 3,
			fact:  "after a scale-down the status is smaller within a second (RoleInstanceSet), while the pod is Terminating and holds its GPUs until it is gone",
			check: statusLeadsPods,
		},
		{
			name:  "status/a role at zero is ready",
			fact:  "a role scaled to 0 counts as ready, and comes back",
			check: zeroIsReady,
		},
		{
			name: "status/one Pending pod makes the group not Ready", gpus: 2,
			fact:  "one pod without a place makes Ready false for good: who waits for Ready before scaling waits for ever (deadlock)",
			check: pendingNotReady,
		},
	}
}

func statusCounts(t *trial) {
	t.create(role{name: "prefill", replicas: 2}, role{name: "decode", replicas: 1})
	t.eventually("prefill", t.counts("prefill", 2, 2))
	t.eventually("decode", t.counts("decode", 1, 1))
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	if integer(t.theGroup().Object, "status", "observedGeneration") == 0 {
		t.observed("status has no observedGeneration (v0.6 and earlier)")
		return
	}
	t.eventually("the status to be of this version of the group", func() error {
		g := t.theGroup()
		if seen := integer(g.Object, "status", "observedGeneration"); seen != g.GetGeneration() {
			return fmt.Errorf("it is of generation %d, the group of %d", seen, g.GetGeneration())
		}
		return nil
	})
}

// drain is how many seconds the pods take to end where that is waited for, and longDrain where the check ends them itself: long
// enough for a busy machine to see what happens meanwhile.
const (
	drain     = 8
	longDrain = 300
)

func statusLeadsPods(t *trial) {
	drains := longDrain
	if t.api == v1alpha1 {
		drains = drain // whose status may shrink only when the pod is gone
	}
	t.create(role{name: "prefill", replicas: 2, gpus: 1, adapter: true, drains: drains}, role{name: "decode", replicas: 1, gpus: 1, adapter: true})
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill", "decode")
	victim := ordinals("prefill", 2)[1]
	t.scale("prefill", 1)
	t.eventually("the last prefill pod to end", func() error {
		p := t.pod(victim)
		if p == nil {
			return nil
		}
		if p.DeletionTimestamp == nil {
			return fmt.Errorf("it is %s", stateOf(p))
		}
		return nil
	})
	if t.pod(victim) == nil {
		t.skip("pods end at once in this cluster, whatever their grace period and preStop hook")
	}
	shrunk := t.within(t.timeout, func() error {
		if t.pod(victim) == nil {
			return nil // too late
		}
		return t.counts("prefill", 1, 1)()
	}) == nil && t.pod(victim) != nil
	switch {
	case shrunk:
		t.observed("the status shrinks while the pod is Terminating")
	case t.api == v1alpha2:
		t.Errorf("the status was not smaller before the pod was gone")
	default:
		t.observed("the status shrinks when the pod is gone")
	}
	if t.pod(victim) == nil {
		return
	}
	t.scale("decode", 2)
	next := ordinals("decode", 2)[1]
	t.eventually("the next decode pod to wait for GPUs, or to have them from a pod that is gone", func() error {
		if t.pod(victim) == nil {
			return nil
		}
		return t.unschedulable(next)()
	})
	t.kill(victim)
	t.eventually("the freed GPUs to be used", t.hasReady("decode", ordinals("decode", 2)...))
	// Of the versions of both, those with a node came after the end of the other.
	held := t.seen(podKind, victim)
	gone := revision(&held[len(held)-1])
	for _, p := range t.seen(podKind, next) {
		if node, _, _ := unstructuredString(&p, "spec", "nodeName"); node != "" && revision(&p) < gone {
			t.Errorf("pod %s had a node while pod %s held the GPUs", next, victim)
		}
	}
}

// kill ends a pod that drains. One that is gone is what is wanted.
func (t *trial) kill(name string) {
	t.Helper()
	err := t.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: t.ns, Name: name}}, client.GracePeriodSeconds(0))
	t.must("kill pod "+name, client.IgnoreNotFound(err))
}

func zeroIsReady(t *trial) {
	t.create(role{name: "prefill", replicas: 1, adapter: true}, role{name: "decode", replicas: 1})
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill")
	t.scale("prefill", 0)
	t.eventually("no prefill pod", t.hasPods("prefill"))
	t.eventually("the group to count none", t.counts("prefill", 0, 0))
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.scale("prefill", 1)
	t.eventually("a prefill pod", t.hasReady("prefill", ordinals("prefill", 1)...))
}

func pendingNotReady(t *trial) {
	t.create(role{name: "prefill", replicas: 1, gpus: 1, adapter: true}, role{name: "decode", replicas: 1, gpus: 1, adapter: true})
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill", "decode")
	t.scale("decode", 2)
	late := ordinals("decode", 2)[1]
	t.eventually("the second decode pod to have no place", t.unschedulable(late))
	if c := conditionOf(t.pod(late), corev1.PodScheduled); c.Message != "" {
		t.observed("%s", c.Message)
	}
	t.eventually("the group to count it, not ready", t.counts("decode", 2, 1))
	t.eventually("the group not to be Ready", t.readyCondition("False", "RoleNotReady"))
	t.stays("the group became Ready", t.readyCondition("False", "RoleNotReady"))
	t.scale("prefill", 0) // no other role waits for it
	t.eventually("decode to take the freed GPU", t.hasReady("decode", ordinals("decode", 2)...))
}
