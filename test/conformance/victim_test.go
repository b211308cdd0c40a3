package conformance

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func victimBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "victims/highest ordinals, all at once",
			fact:  "with identities (the default) the highest ordinals go, all at once, and nobody can choose",
			check: highestOrdinals,
		},
		{
			name: "victims/deletion cost", api: v1alpha2,
			fact:  "without identities (role-instance-pattern: Stateless) the replica with the lowest instance-deletion-cost goes: cost 100 on two of three, the third was removed",
			check: deletionCost,
		},
		{
			name: "victims/a cost that is no plain number counts as none", api: v1alpha2,
			fact:  "a deletion cost such as +100 or 0100 counts as 0, so that it does not save a replica from one with cost 5",
			check: badCost,
		},
		{
			name: "victims/not ready before ready", api: v1alpha2, gpus: 2,
			fact:  "without identities a replica that is not ready goes first, whatever its deletion cost",
			check: notReadyFirst,
		},
		{
			name:  "victims/nobody is drained",
			fact:  "RBG tells no replica that it goes: its pods are deleted, and only preStop and the grace period help",
			check: nobodyDrained,
		},
	}
}

func highestOrdinals(t *trial) {
	t.create(role{name: "prefill", replicas: 4, adapter: true})
	t.eventually("4 pods", t.hasReady("prefill", ordinals("prefill", 4)...))
	t.bound("prefill")
	t.scale("prefill", 1)
	t.eventually("ordinal 0 to be left", t.hasReady("prefill", ordinals("prefill", 1)...))
	uid := t.pod(ordinals("prefill", 1)[0]).UID
	if first := t.seen(podKind, ordinals("prefill", 1)[0])[0]; first.GetUID() != uid {
		t.Errorf("ordinal 0 was made anew")
	}
}

// instances returns the RoleInstances of a role that are not on their way out.
func (t *trial) instances(role string) []unstructured.Unstructured {
	t.Helper()
	list := listOf(rbg(t.api, kindInstance))
	t.must("list RoleInstances", t.client.List(t.Context(), list, client.InNamespace(t.ns), client.MatchingLabels{roleLabels[0]: role}))
	return slices.DeleteFunc(list.Items, func(u unstructured.Unstructured) bool { return u.GetDeletionTimestamp() != nil })
}

// cost sets the deletion cost of a RoleInstance.
func (t *trial) cost(instance, cost string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {"controller.kubernetes.io/instance-deletion-cost": %q}}}`, cost)
	t.must("set the deletion cost of "+instance, t.client.Patch(t.Context(), object(rbg(t.api, kindInstance), t.ns, instance), client.RawPatch(types.MergePatchType, patch)))
}

// costs scales a stateless role of three down by one, with these costs, and expects the named index to go.
func (t *trial) costs(costs [3]string, victim int) {
	t.create(role{name: "decode", replicas: 3, adapter: true, stateless: true})
	t.eventually("3 pods", t.readyCount("decode", 3))
	t.eventually("the group to count them", t.counts("decode", 3, 3))
	t.bound("decode")
	all := t.instances("decode")
	if len(all) != 3 {
		t.Fatalf("%d RoleInstances, want 3", len(all))
	}
	// In the order of age: of equals the newest goes, so that the costs must do it.
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	for i, u := range all {
		if costs[i] != "" {
			t.cost(u.GetName(), costs[i])
		}
	}
	t.scale("decode", 2)
	t.eventually("one to go", t.readyCount("decode", 2))
	var left []string
	for _, pod := range t.pods("decode") {
		left = append(left, labelOf(&pod, instanceLabels))
	}
	if gone := all[victim].GetName(); slices.Contains(left, gone) {
		t.Errorf("with costs %q the replica at %d stayed: %s of %v", costs, victim, gone, left)
	}
}

func deletionCost(t *trial) { t.costs([3]string{"", "100", "100"}, 0) }

func badCost(t *trial) { t.costs([3]string{"+100", "5", "5"}, 0) }

func notReadyFirst(t *trial) {
	t.create(role{name: "decode", replicas: 2, gpus: 1, adapter: true, stateless: true})
	t.eventually("2 pods", t.readyCount("decode", 2))
	t.bound("decode")
	old := namesOf(t.pods("decode"))
	t.scale("decode", 3)
	var late string
	t.eventually("a third pod without a place", func() error {
		for _, pod := range t.pods("decode") {
			if !slices.Contains(old, pod.Name) {
				late = labelOf(&pod, instanceLabels)
				return t.unschedulable(pod.Name)()
			}
		}
		return errMissing
	})
	t.eventually("the group to count it, not ready", t.counts("decode", 3, 2))
	t.cost(late, "1000")
	t.scale("decode", 2)
	t.eventually("the one that was not ready to go", t.hasReady("decode", old...))
}

func nobodyDrained(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true, drains: drain})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	victim := ordinals("prefill", 2)[1]
	before := t.pod(victim)
	t.scale("prefill", 1)
	t.eventually("the last one to end", func() error {
		if p := t.pod(victim); p != nil && p.DeletionTimestamp == nil {
			return fmt.Errorf("it is %s", stateOf(p))
		}
		return nil
	})
	for _, seen := range t.seen(podKind, victim) {
		if seen.GetDeletionTimestamp() != nil {
			break
		}
		for _, have := range []struct {
			what         string
			before, then map[string]string
		}{{"label", before.Labels, seen.GetLabels()}, {"annotation", before.Annotations, seen.GetAnnotations()}} {
			for key := range have.then {
				if _, was := have.before[key]; !was {
					t.observed("before it was deleted the pod got the %s %s", have.what, key)
				}
			}
		}
	}
	if p := t.pod(victim); p != nil {
		grace := corev1.PodSpec{TerminationGracePeriodSeconds: p.DeletionGracePeriodSeconds}.TerminationGracePeriodSeconds
		if grace != nil && *grace != *before.Spec.TerminationGracePeriodSeconds {
			t.Errorf("it was given %d s to end, want its own %d s", *grace, *before.Spec.TerminationGracePeriodSeconds)
		}
	}
}
