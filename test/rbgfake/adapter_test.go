package rbgfake

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestScaleChangesPods(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()

	scale := f.readScale(RolePrefill)
	if scale.Spec.Replicas != 2 || scale.Status.Replicas != 2 {
		t.Errorf("/scale of a new adapter: %d wanted, %d there, want 2 and 2", scale.Spec.Replicas, scale.Status.Replicas)
	}
	selector, err := labels.Parse(scale.Status.Selector)
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]bool{RolePrefill: true, RoleDecode: false} {
		for name, pod := range f.pods(role) {
			if selector.Matches(labels.Set(pod.Labels)) != want {
				t.Errorf("selector %q matches pod %s: %t, want %t", scale.Status.Selector, name, !want, want)
			}
		}
	}

	f.scale(RolePrefill, 3)
	f.eventually("a third prefill worker", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1", "dynamo-pd-prefill-2"))
	f.eventually("the write to be reported", f.event("dynamo-pd-prefill", "SuccessfulScale"))
	f.eventually("the adapter's status", func() error {
		status, _, _ := unstructured.NestedMap(f.adapter(RolePrefill).Object, "status")
		if status["replicas"] != int64(3) || status["readyReplicas"] != int64(3) || status["lastScaleTime"] == nil {
			return fmt.Errorf("status %v, want 3 replicas, 3 ready, and the time of the change", status)
		}
		return nil
	})
	if n := rolesOf(t, f.group())[RolePrefill]["replicas"]; n != int64(3) {
		t.Errorf("the group asks for %v replicas, want the adapter's 3", n)
	}

	f.scale(RolePrefill, 1) // the highest ordinals go, all at once
	f.eventually("ordinal 0 to be left", f.havePods(RolePrefill, "dynamo-pd-prefill-0"))
	f.scale(RolePrefill, 0)
	f.eventually("no worker to be left", f.havePods(RolePrefill))
	f.eventually("a role at 0 to count as ready", f.groupReady("True", "AllRolesReady"))
	f.scale(RolePrefill, 1)
	f.eventually("a worker again", f.havePods(RolePrefill, "dynamo-pd-prefill-0"))
}

func TestWriteBeforeBoundIsLost(t *testing.T) {
	t.Parallel()
	var open atomic.Bool
	f := newFixture(t, 8, Options{hold: func(int) bool { return !open.Load() }})
	f.create(Example{})
	f.eventually("the adapter", func() error {
		obj := newObject(KindAdapter, f.ns, "dynamo-pd-prefill")
		return f.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
	})
	adapter := f.adapter(RolePrefill)
	if replicas, set := nestedInt(adapter.Object, "spec", "replicas"); set || phaseOf(adapter) != "" {
		t.Fatalf("a new adapter: replicas %d (set: %t), phase %q; want neither", replicas, set, phaseOf(adapter))
	}
	before := adapter.DeepCopy()
	if err := unstructured.SetNestedField(adapter.Object, int64(3), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	if err := f.client.Patch(t.Context(), adapter, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	if phase := phaseOf(f.adapter(RolePrefill)); phase != "" {
		t.Fatalf("phase %q right after the write, want the adapter still unbound", phase)
	}
	open.Store(true)
	f.bound()
	if replicas, _ := nestedInt(f.adapter(RolePrefill).Object, "spec", "replicas"); replicas != 2 {
		t.Errorf("the bound adapter asks for %d replicas, want the role's 2: what was written before is lost", replicas)
	}
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	if err := f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1")(); err != nil {
		t.Error(err)
	}
}

func TestWriteBetweenTwoBindingsIsLost(t *testing.T) {
	t.Parallel()
	var written atomic.Bool
	var looks atomic.Int32 // since then: the first may be of a pass that had read the adapter before
	f := newFixture(t, 8, Options{SecondBinding: time.Nanosecond, hold: func(binding int) bool {
		return binding == 2 && (!written.Load() || looks.Add(1) == 1)
	}})
	f.create(Example{})
	f.bound()
	f.scale(RolePrefill, 3)
	written.Store(true)
	f.eventually("the write to be lost", func() error {
		if n, _ := nestedInt(f.adapter(RolePrefill).Object, "spec", "replicas"); n != 2 {
			return fmt.Errorf("the adapter asks for %d replicas", n)
		}
		return nil
	})
	f.scale(RolePrefill, 3)
	f.eventually("the next write to be carried out", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1", "dynamo-pd-prefill-2"))
}

func TestBoundAdapterOverridesTheGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	f.eventually("a Warning", func() error {
		// More than once: the adapter may have been woken already, by what happened before, and undo the first edit.
		f.edit(func(obj *unstructured.Unstructured) { rolesOf(t, obj)[RolePrefill]["replicas"] = int64(1) })
		return f.event("dynamo-pd", "ReplicasOverriddenByAdapter")()
	})
	f.eventually("the edit to be seen", f.observed())
	// Another edit, so that whoever would undo the first one has had the time for it.
	f.edit(func(obj *unstructured.Unstructured) { rolesOf(t, obj)[RoleProcessor]["replicas"] = int64(2) })
	f.eventually("the other edit to be obeyed", f.havePods(RoleProcessor, "dynamo-pd-processor-0", "dynamo-pd-processor-1"))
	if err := f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1")(); err != nil {
		t.Errorf("the edit of the group won over the bound adapter: %v", err)
	}
	f.eventually("the group to count what the adapter wants", f.groupReady("True", "AllRolesReady"))
}

func TestOverrideLeavesTheGroupAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	// The adapter looks at its group when roleStatuses change, and not when the specification does. What happened before may
	// still wake it once, so the edit is repeated until it stands.
	attempt := int64(0)
	f.eventually("an edit of the group to stand", func() error {
		attempt++
		f.edit(func(obj *unstructured.Unstructured) {
			rolesOf(t, obj)[RolePrefill]["replicas"] = int64(1)
			rolesOf(t, obj)[RoleProcessor]["note"] = attempt // a new generation, and no new status
		})
		f.eventually("the edit to be seen", f.observed())
		for range 20 { // each is a round trip
			if n := rolesOf(t, f.group())[RolePrefill]["replicas"]; n != int64(1) {
				return fmt.Errorf("the group on disk asks for %v replicas again", n)
			}
		}
		return nil
	})
	f.scale(RoleDecode, 2)
	f.eventually("a change of roleStatuses", f.roleStatus(RoleDecode, 2, 2))
	f.eventually("the adapter to write its replicas back", func() error {
		if n := rolesOf(t, f.group())[RolePrefill]["replicas"]; n != int64(2) {
			return fmt.Errorf("the group asks for %v", n)
		}
		return nil
	})
}

func TestAdapterWithoutOwnerIsIgnored(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	stray := newObject(KindAdapter, f.ns, "by-hand")
	stray.Object["spec"] = map[string]any{"replicas": int64(3), "scaleTargetRef": map[string]any{"name": "dynamo-pd", "role": RoleDecode}}
	if err := f.client.Create(t.Context(), stray); err != nil {
		t.Fatal(err)
	}
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	f.scale(RoleDecode, 2) // by the real one, which shows that adapters are looked at
	f.eventually("2 decode workers", f.havePods(RoleDecode, "dynamo-pd-decode-0", "dynamo-pd-decode-1"))
	if phase := phaseOf(f.get(KindAdapter, "by-hand")); phase != "" {
		t.Errorf("phase %q of an adapter without owner, want none for ever", phase)
	}
}

func TestAdapterOfAMissingRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	adapter := newObject(KindAdapter, f.ns, "early")
	adapter.SetOwnerReferences([]metav1.OwnerReference{groupOwner(f.group())})
	adapter.Object["spec"] = map[string]any{"scaleTargetRef": map[string]any{"name": "dynamo-pd", "role": "draft"}}
	if err := f.client.Create(t.Context(), adapter); err != nil {
		t.Fatal(err)
	}
	phase := func(want string) func() error {
		return func() error {
			if got := phaseOf(f.get(KindAdapter, "early")); got != want {
				return fmt.Errorf("phase %q, want %q", got, want)
			}
			return nil
		}
	}
	f.eventually("the adapter not to be bound", phase(phaseNotBound))
	f.eventually("a Warning", f.event("early", "FailedGetRBGRole"))
	f.edit(func(obj *unstructured.Unstructured) {
		roles, _, _ := unstructured.NestedSlice(obj.Object, "spec", "roles")
		draft := (&unstructured.Unstructured{Object: roles[0].(map[string]any)}).DeepCopy().Object
		draft["name"], draft["replicas"] = "draft", int64(1)
		if err := unstructured.SetNestedSlice(obj.Object, append(roles, draft), "spec", "roles"); err != nil {
			t.Fatal(err)
		}
	})
	f.eventually("the adapter to be bound", phase(phaseBound))
}

func TestDisabledAdapterGoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.bound()
	f.edit(func(obj *unstructured.Unstructured) {
		rolesOf(t, obj)[RolePrefill]["scalingAdapter"] = map[string]any{"enable": false}
	})
	f.eventually("the adapter to be gone", func() error {
		obj := newObject(KindAdapter, f.ns, "dynamo-pd-prefill")
		if err := f.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there (%w)", err)
		}
		return nil
	})
	f.edit(func(obj *unstructured.Unstructured) { rolesOf(t, obj)[RolePrefill]["replicas"] = int64(3) })
	f.eventually("the group to be obeyed again", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1", "dynamo-pd-prefill-2"))
}

func TestSelectors(t *testing.T) {
	g := &group{obj: newObject(KindGroup, "ns", "svc"), api: V1Alpha2}
	uid := groupUID("ns", "svc")
	correct := "rbg.workloads.x-k8s.io/group-name=svc,rbg.workloads.x-k8s.io/group-uid=" + uid + ",rbg.workloads.x-k8s.io/role-name=decode"
	for _, tc := range []struct {
		mode    Selector
		pattern pattern
		want    string
	}{
		{SelectorCorrect, standalone, correct},
		{SelectorCorrect, leaderWorker, correct + ",rbg.workloads.x-k8s.io/component-index=0"},
		{SelectorEmpty, standalone, ""},
		{SelectorMalformed, leaderWorker, ",rbg.workloads.x-k8s.io/component-index=0"},
	} {
		r := &adapterReconciler{opts: Options{Selector: tc.mode}}
		if got := r.selector(g, &role{name: RoleDecode, pattern: tc.pattern, workload: V1Alpha2.defaultWorkload()}); got != tc.want {
			t.Errorf("selector of mode %d for %s = %q, want %q", tc.mode, tc.pattern, got, tc.want)
		}
	}
}
