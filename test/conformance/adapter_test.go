package conformance

import (
	"errors"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

func adapterBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "adapter/made without replicas",
			fact:  "RBG makes the adapter RBG-ROLE without spec.replicas, owned but not controlled by the group, and binds it to the role's count",
			check: adapterMade,
		},
		{
			name:  "adapter/what is written before Bound is lost",
			fact:  "an adapter whose role is missing is NotBound and looked at again within 10 s; at binding spec.replicas is overwritten with the role's count",
			check: writeBeforeBound,
		},
		{
			name:  "adapter/without an owner is ignored",
			fact:  "an adapter that the group does not own is skipped for ever: its phase stays empty and its count means nothing",
			check: strayAdapter,
		},
		{
			name:  "adapter/scales up and down",
			fact:  "a write to /scale reaches the workload, the pods and the group; status.replicas of the adapter is the last write; the highest ordinals go",
			check: adapterScales,
		},
		{
			name:  "adapter/is a plain Scale",
			fact:  "/scale reads as autoscaling/v1 Scale, whatever its selector is",
			check: plainScale,
		},
		{
			name:  "adapter/selector",
			fact:  "status.selector cannot be trusted: empty with a StatefulSet since v0.6, sometimes empty or malformed with a RoleInstanceSet",
			check: selectorOf,
		},
		{
			name:  "adapter/the last of two writers wins",
			fact:  "two writers on one /scale are not kept apart: what was written last runs",
			check: twoWriters,
		},
		{
			name:  "adapter/goes when it is disabled",
			fact:  "when scalingAdapter.enable turns false the adapter is deleted and the role's own count is obeyed again",
			check: disabledAdapter,
		},
		{
			name:  "adapter/goes with its role",
			fact:  "when a role is removed its workload, its pods and its adapter go",
			check: removedRole,
		},
	}
}

func adapterMade(t *trial) {
	g := t.create(role{name: "prefill", replicas: 2, adapter: true})
	t.bound("prefill")
	first := t.seen(rbg(t.api, kindAdapter), workloadName("prefill"))[0]
	if _, set, _ := unstructured.NestedFieldNoCopy(first.Object, "spec", "replicas"); set {
		t.observed("the first version that was seen had spec.replicas already")
	} else {
		t.observed("made without spec.replicas")
	}
	a := t.adapter("prefill")
	owned := false
	for _, ref := range a.GetOwnerReferences() {
		owned = owned || ref.UID == g.GetUID() && (ref.Controller == nil || !*ref.Controller)
	}
	if !owned {
		t.Errorf("its owner references are %v, want the group, not as a controller", a.GetOwnerReferences())
	}
	if n, status := integer(a.Object, "spec", "replicas"), integer(a.Object, "status", "replicas"); n != 2 || status != 2 {
		t.Errorf("the bound adapter asks for %d and says %d, want the role's 2", n, status)
	}
	target, _, _ := unstructured.NestedStringMap(a.Object, "spec", "scaleTargetRef")
	if target["name"] != groupName || target["role"] != "prefill" {
		t.Errorf("it scales %v", target)
	}
	if t.happened("SuccessfulBound")() == nil {
		t.observed("event SuccessfulBound")
	}
}

func writeBeforeBound(t *trial) {
	g := t.create(role{name: "prefill", replicas: 1})
	t.eventually("the group", t.hasReady("prefill", ordinals("prefill", 1)...))
	early := object(rbg(t.api, kindAdapter), t.ns, workloadName("draft"))
	early.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: g.GetAPIVersion(), Kind: g.GetKind(), Name: g.GetName(), UID: g.GetUID(), BlockOwnerDeletion: new(true)}})
	early.Object["spec"] = map[string]any{"replicas": int64(3), "scaleTargetRef": map[string]any{"name": groupName, "role": "draft"}}
	t.must("make an adapter of a role that is not there", t.client.Create(t.Context(), early))
	t.eventually("the adapter to be NotBound", t.phase("draft", "NotBound"))
	t.eventually("a warning", t.happened("FailedGetRBGRole"))
	t.edit(func(g *unstructured.Unstructured) {
		list, _, _ := unstructured.NestedSlice(g.Object, "spec", "roles")
		_ = unstructured.SetNestedSlice(g.Object, append(list, t.encode(role{name: "draft", replicas: 1, adapter: true})), "spec", "roles")
	})
	t.bound("draft")
	if n := integer(t.adapter("draft").Object, "spec", "replicas"); n != 1 {
		t.Errorf("the bound adapter asks for %d replicas, want the role's 1: what was written before is lost", n)
	}
	t.eventually("one pod of the role", t.hasReady("draft", ordinals("draft", 1)...))
}

func strayAdapter(t *trial) {
	stray := object(rbg(t.api, kindAdapter), t.ns, "by-hand")
	stray.Object["spec"] = map[string]any{"replicas": int64(3), "scaleTargetRef": map[string]any{"name": groupName, "role": "prefill"}}
	t.must("make an adapter without an owner", t.client.Create(t.Context(), stray))
	t.create(role{name: "prefill", replicas: 1}, role{name: "decode", replicas: 1, adapter: true})
	t.bound("decode")
	t.eventually("a prefill pod", t.hasReady("prefill", ordinals("prefill", 1)...))
	t.scale("decode", 2) // shows that adapters are looked at
	t.eventually("2 decode pods", t.hasReady("decode", ordinals("decode", 2)...))
	t.stays("the stray adapter took effect", func() error {
		if phase, _, _ := unstructuredString(t.read(rbg(t.api, kindAdapter), "by-hand"), "status", "phase"); phase != "" {
			return fmt.Errorf("its phase is %q, want none", phase)
		}
		return t.hasPods("prefill", ordinals("prefill", 1)...)()
	})
}

func adapterScales(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.bound("prefill")
	for _, n := range []int{4, 1, 2} {
		t.scale("prefill", n)
		t.eventually("the workload to be told", t.wants("prefill", int64(n)))
		t.eventually("the pods", t.hasReady("prefill", ordinals("prefill", n)...))
		t.eventually("the group to count them", t.counts("prefill", int64(n), int64(n)))
		t.eventually("the adapter's status", func() error {
			if got := integer(t.adapter("prefill").Object, "status", "replicas"); got != int64(n) {
				return fmt.Errorf("it says %d, want %d", got, n)
			}
			return nil
		})
		t.eventually("the group's own count to follow", func() error {
			if got := t.onDisk("prefill"); got != int64(n) {
				return fmt.Errorf("it is %d, want %d", got, n)
			}
			return nil
		})
	}
	t.eventually("an event", t.happened("SuccessfulScale"))
	if _, has, _ := unstructured.NestedFieldNoCopy(t.adapter("prefill").Object, "status", "readyReplicas"); has {
		t.observed("status has readyReplicas (v0.7 and later)")
	} else {
		t.observed("status has no readyReplicas (v0.6 and earlier)")
	}
}

func plainScale(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true})
	t.bound("prefill")
	body := object(autoscalingv1.SchemeGroupVersion.WithKind("Scale"), "", "")
	t.must("read /scale", t.client.SubResource("scale").Get(t.Context(), object(rbg(t.api, kindAdapter), t.ns, workloadName("prefill")), body))
	s := &autoscalingv1.Scale{}
	t.must("understand /scale", runtime.DefaultUnstructuredConverter.FromUnstructured(body.Object, s))
	if s.Spec.Replicas != 2 || s.Status.Replicas != 2 {
		t.Errorf("/scale says %d wanted and %d there, want 2 and 2", s.Spec.Replicas, s.Status.Replicas)
	}
}

func selectorOf(t *trial) {
	t.create(role{name: "prefill", replicas: 1, adapter: true}, role{name: "decode", replicas: 1, adapter: true})
	for _, name := range []string{"prefill", "decode"} {
		t.eventually("a pod of "+name, t.hasReady(name, ordinals(name, 1)...))
		t.bound(name)
		text, _, _ := unstructuredString(t.adapter(name), "status", "selector")
		switch selector, err := labels.Parse(text); {
		case text == "":
			t.observed("%s: empty, which selects everything or is refused", name)
		case err != nil:
			t.observed("%s: malformed, %q", name, text)
		case !selector.Matches(labels.Set(t.pods(name)[0].Labels)):
			t.observed("%s: %q, which does not match its pods", name, text)
		default:
			t.observed("%s: right", name)
		}
	}
}

func twoWriters(t *trial) {
	t.create(role{name: "prefill", replicas: 1, adapter: true})
	t.eventually("a pod", t.hasReady("prefill", ordinals("prefill", 1)...))
	t.bound("prefill")
	t.scale("prefill", 3)
	t.scale("prefill", 2)
	t.settles("what was written last", t.hasReady("prefill", ordinals("prefill", 2)...)) // on the way up to 3 there are 2 as well
	// A writer that goes by what it has read is told: a full update of an older version is a conflict.
	old := t.adapter("prefill")
	t.scale("prefill", 1)
	_ = unstructured.SetNestedField(old.Object, int64(3), "spec", "replicas")
	if err := t.client.Update(t.Context(), old); !apierrors.IsConflict(err) {
		t.Errorf("an update from an older version is answered with %v, want a conflict", err)
	}
	t.eventually("the last write", t.hasReady("prefill", ordinals("prefill", 1)...))
}

func disabledAdapter(t *trial) {
	t.create(role{name: "prefill", replicas: 1, adapter: true})
	t.eventually("a pod", t.hasReady("prefill", ordinals("prefill", 1)...))
	t.bound("prefill")
	t.editRole(role{name: "prefill", replicas: 1})
	t.eventually("the adapter to be gone", t.gone(rbg(t.api, kindAdapter), workloadName("prefill")))
	t.patchRole(0, "prefill", 1, 2)
	t.eventually("the role's own count to be obeyed", t.hasReady("prefill", ordinals("prefill", 2)...))
}

func removedRole(t *trial) {
	t.create(role{name: "prefill", replicas: 1, adapter: true}, role{name: "decode", replicas: 1, adapter: true})
	t.eventually("a decode pod", t.hasReady("decode", ordinals("decode", 1)...))
	t.bound("prefill", "decode")
	t.eventually("the group to count it", t.counts("decode", 1, 1))
	t.edit(func(g *unstructured.Unstructured) {
		list, _, _ := unstructured.NestedSlice(g.Object, "spec", "roles")
		_ = unstructured.SetNestedSlice(g.Object, list[:1], "spec", "roles")
	})
	t.eventually("its workload to be gone", t.gone(t.workloadKind(), workloadName("decode")))
	t.eventually("its pods to be gone", t.hasPods("decode"))
	t.eventually("its adapter to be gone", t.gone(rbg(t.api, kindAdapter), workloadName("decode")))
	if t.status("decode") != nil {
		t.observed("its entry in roleStatuses stays")
	} else {
		t.observed("its entry in roleStatuses goes")
	}
	if err := t.hasReady("prefill", ordinals("prefill", 1)...)(); err != nil {
		t.Errorf("the other role was touched: %v", err)
	}
}

// errMissing says that something is not there yet.
var errMissing = errors.New("it is not there")
