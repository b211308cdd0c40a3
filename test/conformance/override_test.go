package conformance

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func overrideBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "override/who wins when the role is edited",
			fact:  "a count edited in the group while an adapter is bound: v0.8 overrides it in memory, v0.7 obeys it until the next status change and then writes its own back, v0.6 obeys it",
			check: whoWins,
		},
		{
			name:  "override/the next write to the adapter runs",
			fact:  "whatever became of an edit of the role, a new count written to its bound adapter is carried out",
			check: adapterAfterEdit,
		},
		{
			name:  "override/count in the role without an adapter",
			fact:  "without an adapter a JSON patch of the role's replicas is obeyed, and its test operations refuse what no longer holds",
			check: countInRole,
		},
	}
}

// patchRole changes a role's count by the JSON patch that an autoscaler without an adapter writes.
func (t *trial) patchRole(index int, name string, from, to int) {
	t.Helper()
	t.must("patch the role", t.tryPatchRole(index, name, from, to))
}

func (t *trial) tryPatchRole(index int, name string, from, to int) error {
	path := fmt.Sprintf("/spec/roles/%d", index)
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": path + "/name", "value": name},
		{"op": "test", "path": path + "/replicas", "value": from},
		{"op": "replace", "path": path + "/replicas", "value": to},
	})
	if err != nil {
		return err
	}
	return t.client.Patch(t.Context(), object(rbg(t.api, kindGroup), t.ns, groupName), client.RawPatch(types.JSONPatchType, patch))
}

func whoWins(t *trial) {
	t.create(role{name: "prefill", replicas: 3, adapter: true}, role{name: "router", replicas: 1})
	t.eventually("3 pods", t.hasReady("prefill", ordinals("prefill", 3)...))
	t.eventually("the group to be Ready", t.readyCondition("True", "AllRolesReady"))
	t.bound("prefill")
	before := map[types.UID]bool{}
	for _, pod := range t.pods("prefill") {
		before[pod.UID] = true
	}
	t.patchRole(0, "prefill", 3, 1)
	// Another change of the group, so that there is something to be seen when the edit has been looked at.
	t.patchRole(1, "router", 1, 2)
	t.eventually("the other edit to be obeyed", t.hasReady("router", ordinals("router", 2)...))
	outcome := func() string {
		switch disk, want := t.onDisk("prefill"), integer(t.workload("prefill").Object, "spec", "replicas"); {
		case want == 1:
			return "the edit is obeyed (v0.6 and earlier)"
		case disk == 1:
			return "the adapter wins in memory, the group says 1 (v0.8)"
		default:
			return "the adapter's count was written back into the group"
		}
	}
	t.stays("the outcome changed", func() error { outcome(); return nil })
	t.observed("%s", outcome())
	if err := t.happened("ReplicasOverriddenByAdapter")(); err == nil {
		t.observed("event ReplicasOverriddenByAdapter")
	}
	if integer(t.workload("prefill").Object, "spec", "replicas") != 3 {
		return
	}
	// What it costs that the adapter wins: no pod, where the workload never heard of the edit.
	for _, w := range t.seen(t.workloadKind(), workloadName("prefill")) {
		if n := integer(w.Object, "spec", "replicas"); n != 3 {
			t.eventually("3 pods again", t.hasReady("prefill", ordinals("prefill", 3)...))
			made := slices.DeleteFunc(t.pods("prefill"), func(p corev1.Pod) bool { return before[p.UID] })
			t.observed("the workload was told %d for a while, and %d of 3 pods were made anew", n, len(made))
			return
		}
	}
	t.observed("the workload was never told otherwise")
}

func adapterAfterEdit(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	t.edit(func(g *unstructured.Unstructured) {
		list, _, _ := unstructured.NestedSlice(g.Object, "spec", "roles")
		list[0].(map[string]any)["replicas"] = int64(1) // what a helm upgrade without replicas leaves
		_ = unstructured.SetNestedSlice(g.Object, list, "spec", "roles")
	})
	t.scale("prefill", 3)
	t.eventually("the adapter's count to run", t.hasReady("prefill", ordinals("prefill", 3)...))
	t.stays("it does not stay", t.wants("prefill", 3))
}

func countInRole(t *trial) {
	t.create(role{name: "prefill", replicas: 2}, role{name: "decode", replicas: 1})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	if t.adapter("prefill") != nil {
		t.Errorf("there is an adapter that nobody asked for")
	}
	t.patchRole(0, "prefill", 2, 3)
	t.eventually("3 pods", t.hasReady("prefill", ordinals("prefill", 3)...))
	for what, err := range map[string]error{
		"another count": t.tryPatchRole(0, "prefill", 2, 4),
		"another role":  t.tryPatchRole(1, "prefill", 1, 4),
	} {
		if !apierrors.IsInvalid(err) {
			t.Errorf("a patch that tests for %s is answered with %v, want that it is invalid", what, err)
		}
	}
	t.patchRole(0, "prefill", 3, 1)
	t.eventually("1 pod", t.hasReady("prefill", ordinals("prefill", 1)...))
}
