package conformance

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func lifeBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "life/a deleted group takes everything",
			fact:  "when a group is deleted its workloads, pods and adapters go",
			check: deletedGroup,
		},
		{
			name:  "life/a group made again",
			fact:  "the pods of a deleted group keep names and labels while they end; only their owners tell them from those of the new group",
			check: groupMadeAgain,
		},
		{
			name:  "life/a replica made again",
			fact:  "a replica that comes back while its old pod ends waits for the name; the old pod never counts for it",
			check: replicaMadeAgain,
		},
	}
}

func (t *trial) deleteGroup() {
	t.Helper()
	t.must("delete the RoleBasedGroup", t.client.Delete(t.Context(), object(rbg(t.api, kindGroup), t.ns, groupName), client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

func deletedGroup(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true}, role{name: "decode", replicas: 1})
	t.eventually("the pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	t.deleteGroup()
	t.eventually("the workload to be gone", t.gone(t.workloadKind(), workloadName("prefill")))
	t.eventually("the adapter to be gone", t.gone(rbg(t.api, kindAdapter), workloadName("prefill")))
	t.eventually("the pods of prefill to be gone", t.hasPods("prefill"))
	t.eventually("the pods of decode to be gone", t.hasPods("decode"))
}

func groupMadeAgain(t *trial) {
	roles := []role{{name: "prefill", replicas: 2, adapter: true, drains: drain}}
	old := map[types.UID]bool{t.create(roles...).GetUID(): true}
	t.eventually("the pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	before := map[types.UID]bool{}
	for _, pod := range t.pods("prefill") {
		before[pod.UID] = true
	}
	t.deleteGroup()
	t.eventually("the group to be gone", t.gone(rbg(t.api, kindGroup), groupName))
	g := t.create(roles...)
	if old[g.GetUID()] {
		t.Fatalf("the new group has the UID of the old one")
	}
	t.eventually("the new group's pods", func() error {
		for _, pod := range t.pods("prefill") {
			if before[pod.UID] {
				return fmt.Errorf("old pod %s is %s", pod.Name, stateOf(&pod))
			}
		}
		return t.hasReady("prefill", ordinals("prefill", 2)...)()
	})
	t.bound("prefill")
	for _, pod := range t.pods("prefill") {
		top := t.controllerOf(&pod)
		for top != nil && top.GetKind() != kindGroup {
			top = t.controllerOf(top)
		}
		if top == nil || top.GetUID() != g.GetUID() {
			t.Errorf("pod %s does not lead to the new group", pod.Name)
		}
	}
}

func replicaMadeAgain(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true, drains: drain})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	name := ordinals("prefill", 2)[1]
	old := t.pod(name).UID
	t.scale("prefill", 1)
	t.eventually("its pod to end", func() error {
		if p := t.pod(name); p != nil && p.DeletionTimestamp == nil {
			return fmt.Errorf("it is %s", stateOf(p))
		}
		return nil
	})
	t.scale("prefill", 2)
	t.eventually("the new pod", func() error {
		p := t.pod(name)
		if p == nil {
			return errMissing
		}
		if p.UID == old {
			return fmt.Errorf("the old pod is %s", stateOf(p))
		}
		return t.hasReady("prefill", ordinals("prefill", 2)...)()
	})
	t.eventually("the group to count it", t.counts("prefill", 2, 2))
}
