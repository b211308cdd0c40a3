package rbgfake

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func TestRunningExampleComesUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the processor", f.havePods(RoleProcessor, "dynamo-pd-processor-0"))
	f.eventually("2 prefill workers", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1"))
	f.eventually("1 decode worker", f.havePods(RoleDecode, "dynamo-pd-decode-0"))
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	for role, n := range map[string]int64{RoleProcessor: 1, RolePrefill: 2, RoleDecode: 1} {
		f.eventually("the status", f.roleStatus(role, n, n))
	}
	for role, want := range map[string]int64{RoleProcessor: 0, RolePrefill: 2, RoleDecode: 2} {
		for name, pod := range f.pods(role) {
			gpus := pod.Spec.Containers[0].Resources.Limits[controlplane.ResourceGPU]
			if gpus.Value() != want {
				t.Errorf("pod %s has %d GPUs, want %d", name, gpus.Value(), want)
			}
		}
	}
}

func TestPodIdentity(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("2 prefill workers", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1"))
	pod := f.pods(RolePrefill)["dynamo-pd-prefill-0"]

	want := map[string]string{
		"rbg.workloads.x-k8s.io/group-name":          "dynamo-pd",
		"rbg.workloads.x-k8s.io/group-uid":           groupUID(f.ns, "dynamo-pd"),
		"rbg.workloads.x-k8s.io/role-name":           "prefill",
		"rbg.workloads.x-k8s.io/role-instance-name":  "dynamo-pd-prefill-0",
		"rbg.workloads.x-k8s.io/role-instance-index": "1",                   // wrong on purpose
		"statefulset.kubernetes.io/pod-name":         "dynamo-pd-prefill-1", // and this
		"rbg.workloads.x-k8s.io/component-name":      "prefill",
		"rbg.workloads.x-k8s.io/component-id":        "0",
		"rbg.workloads.x-k8s.io/component-size":      "1",
	}
	if pod.Labels[labelRevision] == "" {
		t.Error("the pod has no revision")
	}
	delete(pod.Labels, labelRevision)
	if diff := cmp.Diff(want, pod.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if pod.Spec.Hostname != pod.Name || pod.Spec.Subdomain != "s-dynamo-pd-prefill" {
		t.Errorf("the pod is %s.%s, want it below its role's headless Service", pod.Spec.Hostname, pod.Spec.Subdomain)
	}
	env := map[string]string{}
	for _, v := range pod.Spec.Containers[0].Env {
		env[v.Name] = v.Value
		if v.ValueFrom != nil {
			env[v.Name] = v.ValueFrom.FieldRef.FieldPath
		}
	}
	for name, want := range map[string]string{
		"RBG_GROUP_NAME":         "dynamo-pd",
		"RBG_ROLE_NAME":          "prefill",
		"RBG_ROLE_INSTANCE_NAME": "metadata.labels['rbg.workloads.x-k8s.io/role-instance-name']",
		"NATS_SERVER":            "nats://nats:4222",
	} {
		if env[name] != want {
			t.Errorf("environment %s = %q, want %q", name, env[name], want)
		}
	}

	// The chain of controllers: pod, RoleInstance, RoleInstanceSet, group.
	var owner client.Object = pod
	for _, step := range []struct{ kind, name string }{
		{KindInstance, "dynamo-pd-prefill-0"}, {KindInstanceSet, "dynamo-pd-prefill"}, {KindGroup, "dynamo-pd"},
	} {
		ref := metav1.GetControllerOf(owner)
		if ref == nil || ref.Kind != step.kind || ref.Name != step.name {
			t.Fatalf("the controller of %s is %+v, want %s %s", owner.GetName(), ref, step.kind, step.name)
		}
		next := f.get(step.kind, step.name)
		if next.GetUID() != ref.UID {
			t.Errorf("%s refers to another %s than there is", owner.GetName(), step.kind)
		}
		owner = next
	}
}

func TestPendingWhenGPUsRunOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	f.scale(RoleDecode, 2)
	f.eventually("the second decode worker to be unschedulable", f.unschedulable("dynamo-pd-decode-1"))
	f.eventually("the status", f.roleStatus(RoleDecode, 2, 1))
	f.eventually("the group not to be Ready", f.groupReady("False", "RoleNotReady"))
}

func TestStatusShrinksWhileTerminatingPodsHoldGPUs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6, Options{})
	f.create(Example{GoneAfter: time.Second})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	letGo := f.hold("dynamo-pd-prefill-1")
	f.scale(RolePrefill, 1)
	f.eventually("the status to shrink", f.roleStatus(RolePrefill, 1, 1))
	// The garbage collector tells the pod to go, in its own time.
	f.eventually("the victim to terminate on its node", func() error {
		if old := f.pods(RolePrefill)["dynamo-pd-prefill-1"]; old == nil || old.DeletionTimestamp == nil || old.Spec.NodeName == "" {
			return fmt.Errorf("it is %v", old)
		}
		return nil
	})
	if err := f.roleStatus(RolePrefill, 1, 1)(); err != nil {
		t.Errorf("while the victim terminates: %v", err)
	}
	f.scale(RoleDecode, 2)
	f.eventually("the decode worker to wait for GPUs", f.roleStatus(RoleDecode, 2, 1))
	f.eventually("the scheduler to find no GPUs for it", f.unschedulable("dynamo-pd-decode-1"))
	letGo()
	f.eventually("the freed GPUs to be used", f.havePods(RoleDecode, "dynamo-pd-decode-0", "dynamo-pd-decode-1"))
	f.eventually("the victim to be gone", f.havePods(RolePrefill, "dynamo-pd-prefill-0"))
}

func TestNamesakeWaitsForTheOldPod(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{GoneAfter: time.Second})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	letGo := f.hold("dynamo-pd-prefill-1")
	old := f.pods(RolePrefill)["dynamo-pd-prefill-1"].UID
	f.scale(RolePrefill, 1)
	f.eventually("the victim to terminate", func() error {
		if pod := f.pods(RolePrefill)["dynamo-pd-prefill-1"]; pod == nil || pod.DeletionTimestamp == nil {
			return errors.New("it does not")
		}
		return nil
	})
	f.scale(RolePrefill, 2)
	f.eventually("the new instance to count, not ready", f.roleStatus(RolePrefill, 2, 1))
	letGo()
	f.eventually("the new pod", f.havePods(RolePrefill, "dynamo-pd-prefill-0", "dynamo-pd-prefill-1"))
	f.eventually("a Ready replica", f.roleStatus(RolePrefill, 2, 2))
	if f.pods(RolePrefill)["dynamo-pd-prefill-1"].UID == old {
		t.Error("the old pod counts for the new instance")
	}
}

func TestStartDelayAndFailureOfARole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{}, func(roles map[string]map[string]any) {
		roles[RolePrefill]["annotations"] = map[string]any{controlplane.AnnotationStartFailure: "CrashLoopBackOff"}
	})
	f.eventually("the decode worker", f.havePods(RoleDecode, "dynamo-pd-decode-0"))
	f.eventually("the prefill workers to fail", func() error {
		pods := f.pods(RolePrefill)
		for _, pod := range pods {
			if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Waiting == nil {
				return fmt.Errorf("pod %s does not fail", pod.Name)
			}
		}
		if len(pods) != 2 {
			return fmt.Errorf("%d pods, want 2", len(pods))
		}
		return nil
	})
	f.eventually("the status", f.roleStatus(RolePrefill, 2, 0))
	f.eventually("the group not to be Ready", f.groupReady("False", "RoleNotReady"))
}

// dependsOnPrefill makes decode wait for prefill, as many published groups do.
func dependsOnPrefill(roles map[string]map[string]any) {
	roles[RoleDecode]["dependencies"] = []any{RolePrefill}
}

func TestDependencyGatesEveryReconcile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6, Options{})
	f.create(Example{}, dependsOnPrefill)
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	// The receiver first: the deadlock.
	f.scale(RolePrefill, 3)
	f.eventually("the third prefill worker to wait for GPUs", f.roleStatus(RolePrefill, 3, 2))
	f.scale(RoleDecode, 0)
	f.eventually("the gate", f.event("dynamo-pd", "DependencyNotMet"))
	f.eventually("the scale-down to reach the group", func() error {
		if n := rolesOf(t, f.group())[RoleDecode]["replicas"]; n != int64(0) {
			return fmt.Errorf("replicas %v", n)
		}
		return nil
	})
	if err := f.havePods(RoleDecode, "dynamo-pd-decode-0")(); err != nil {
		t.Errorf("decode has changed behind the gate: %v", err)
	}
	// The way out is to take the increase back.
	f.scale(RolePrefill, 2)
	f.eventually("decode to shrink at last", f.havePods(RoleDecode))
}

func TestRemovedRole(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	f.bound()
	f.edit(func(obj *unstructured.Unstructured) {
		roles, _, _ := unstructured.NestedSlice(obj.Object, "spec", "roles")
		if err := unstructured.SetNestedSlice(obj.Object, roles[:2], "spec", "roles"); err != nil {
			t.Fatal(err)
		}
	})
	f.eventually("the role's pods to be gone", f.havePods(RoleDecode))
	f.eventually("the role's adapter to be gone", func() error {
		obj := newObject(KindAdapter, f.ns, "dynamo-pd-decode")
		err := f.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there (%w)", err)
	})
	if err := f.roleStatus(RoleDecode, 1, 1)(); err != nil {
		t.Errorf("the status of the removed role is kept in the original: %v", err)
	}
}

func TestDeletedGroupTakesItsPods(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{})
	f.eventually("the group to be Ready", f.groupReady("True", "AllRolesReady"))
	if err := f.client.Delete(t.Context(), f.group()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{RoleProcessor, RolePrefill, RoleDecode} {
		f.eventually("the pods of "+role+" to be gone", f.havePods(role))
	}
}

func TestRefusedGroupSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{}, func(roles map[string]map[string]any) {
		roles[RoleDecode]["annotations"] = map[string]any{annotationWorkloadType: "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet"}
	})
	f.eventually("a Warning", f.event("dynamo-pd", "InvalidRoleTemplates"))
	if pods := f.pods(RolePrefill); len(pods) > 0 {
		t.Errorf("%d pods of a group that was refused", len(pods))
	}
}

func TestLeaderWorkerReplicas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8, Options{})
	f.create(Example{}, func(roles map[string]map[string]any) {
		decode := roles[RoleDecode]
		decode["replicas"] = int64(2)
		template := decode["standalonePattern"].(map[string]any)["template"]
		delete(decode, "standalonePattern")
		container := template.(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
		container["resources"] = map[string]any{"limits": map[string]any{string(controlplane.ResourceGPU): int64(1)}}
		decode["leaderWorkerPattern"] = map[string]any{
			"size":     int64(2),
			"template": template,
			"workerTemplatePatch": map[string]any{"metadata": map[string]any{
				"annotations": map[string]any{controlplane.AnnotationReadyAfterSeconds: "3600"},
			}},
		}
	})
	leaders, workers := []string{"dynamo-pd-decode-0-0", "dynamo-pd-decode-1-0"}, []string{"dynamo-pd-decode-0-1", "dynamo-pd-decode-1-1"}
	f.eventually("the leaders to be Ready", func() error {
		for _, name := range leaders {
			if !podHas(f.pods(RoleDecode)[name], corev1.PodReady) {
				return errors.New(name + " is not")
			}
		}
		return nil
	})
	f.eventually("replicas whose workers still start not to count as ready", f.roleStatus(RoleDecode, 2, 0))
	for _, name := range workers {
		f.patchPod(name, `{"metadata": {"annotations": {"`+controlplane.AnnotationReadyAfterSeconds+`": "0"}}}`)
	}
	f.eventually("all pods", f.havePods(RoleDecode, append(leaders, workers...)...))
	f.eventually("2 replicas of 2 pods", f.roleStatus(RoleDecode, 2, 2))
	for _, name := range append(leaders, workers...) {
		pod := f.pods(RoleDecode)[name]
		wantIndex, wantComponent := "0", leaderComponent
		if name == workers[0] || name == workers[1] {
			wantIndex, wantComponent = "1", workerComponent
		}
		got := []string{pod.Labels[LabelComponentIndex], pod.Labels[LabelComponentName], pod.Labels[LabelComponentSize], pod.Labels[LabelInstanceName]}
		if diff := cmp.Diff([]string{wantIndex, wantComponent, "2", name[:len(name)-2]}, got); diff != "" {
			t.Errorf("pod %s: index, name and size of its component, instance (-want +got):\n%s", name, diff)
		}
	}
	f.bound()
	f.scale(RoleDecode, 1)
	f.eventually("both pods of the last replica to go", f.havePods(RoleDecode, "dynamo-pd-decode-0-0", "dynamo-pd-decode-0-1"))
	if selector, _, _ := unstructured.NestedString(f.adapter(RoleDecode).Object, "status", "selector"); selector[len(selector)-len(",rbg.workloads.x-k8s.io/component-index=0"):] != ",rbg.workloads.x-k8s.io/component-index=0" {
		t.Errorf("selector %q, want it to select leaders", selector)
	}
}
