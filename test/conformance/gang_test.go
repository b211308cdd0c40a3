package conformance

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func gangBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "gang/the whole group is one gang",
			fact:  "group-gang-scheduling (podGroupPolicy in v1alpha1) makes a PodGroup named as the group whose minMember is all pods of all roles, rewritten at every scale",
			check: gangOfGroup,
		},
		{
			name: "gang/two kinds of gang are refused", api: v1alpha2,
			fact:  "group and role-instance gang annotations together on a group are refused; event InvalidGangSchedulingAnnotations",
			check: gangRefused,
		},
	}
}

func (t *trial) gang(g *unstructured.Unstructured) {
	if t.api == v1alpha1 {
		g.Object["spec"].(map[string]any)["podGroupPolicy"] = map[string]any{"kubeScheduling": map[string]any{"scheduleTimeoutSeconds": int64(60)}}
		return
	}
	g.SetAnnotations(map[string]string{annotationGang: "true"})
}

func gangOfGroup(t *trial) {
	if !t.serves(podGroupKind) {
		t.skip("the cluster does not serve %s of %s, which gangs need", podGroupKind.Kind, podGroupKind.GroupVersion())
	}
	want := int64(3)
	roles := []role{{name: "prefill", replicas: 1, adapter: true}, {name: "decode", replicas: 2}}
	if t.api == v1alpha2 {
		roles[1].size, want = 2, 5
	}
	g := t.group(roles...)
	t.gang(g)
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	size := func(want int64) func() error {
		return func() error {
			p := t.read(podGroupKind, groupName)
			if p == nil {
				return errMissing
			}
			if n := integer(p.Object, "spec", "minMember"); n != want {
				return fmt.Errorf("its minMember is %d, want %d", n, want)
			}
			return nil
		}
	}
	t.eventually("the PodGroup", size(want))
	t.eventually("a prefill pod", func() error {
		if len(t.pods("prefill")) == 0 {
			return errMissing
		}
		return nil
	})
	const label = "pod-group.scheduling.sigs.k8s.io/name"
	if got := t.pods("prefill")[0].Labels[label]; got != groupName {
		t.Errorf("the pod's label %s is %q, want the group's name", label, got)
	}
	t.bound("prefill")
	t.scale("prefill", 3)
	t.eventually("the gang to grow with the role", size(want+2))
	t.scale("prefill", 1)
	t.eventually("the gang to shrink with the role", size(want))
}

func gangRefused(t *trial) {
	g := t.group(role{name: "prefill", replicas: 1})
	g.SetAnnotations(map[string]string{annotationGang: "true", "rbg.workloads.x-k8s.io/role-instance-gang-scheduling": "true"})
	if err := t.client.Create(t.Context(), g); err != nil {
		t.observed("the group is refused by an admission webhook")
		return
	}
	t.eventually("the refusal", t.happened("InvalidGangSchedulingAnnotations"))
	t.stays("a group was carried out that is refused", t.hasPods("prefill"))
}
