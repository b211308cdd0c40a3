package rbgfake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.New(log.NullLogSink{}))
	os.Exit(controlplane.Main(m, controlplane.Options{BeforeControllers: Install}))
}

// fixture is one test's corner of the control plane: a namespace with a stand-in of its own, and one node.
type fixture struct {
	t      *testing.T
	client client.Client
	ns     string
	node   map[string]string // selects the node
}

func newFixture(t *testing.T, gpus int, opts Options) *fixture {
	t.Helper()
	cp := controlplane.ForTest(t)
	ns, err := cp.NewNamespace(t.Context(), "rbg")
	if err != nil {
		t.Fatal(err)
	}
	product := "product-of-" + ns
	if _, err := cp.AddGPUNodes(t.Context(), 1, gpus, product); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cp.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opts.Namespaces = []string{ns}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cp.Config, opts) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the stand-in: %v", err)
		}
	})
	return &fixture{t, c, ns, map[string]string{controlplane.LabelGPUProduct: product}}
}

// create makes the running example, varied by e and changed by edit.
func (f *fixture) create(e Example, edit ...func(roles map[string]map[string]any)) {
	f.t.Helper()
	e.Namespace, e.NodeSelector = f.ns, f.node
	obj := DynamoPD(e)
	for _, change := range edit {
		change(rolesOf(f.t, obj))
	}
	if err := f.client.Create(f.t.Context(), obj); err != nil {
		f.t.Fatal(err)
	}
}

// rolesOf gives access to the roles of a group, by name.
func rolesOf(t *testing.T, obj *unstructured.Unstructured) map[string]map[string]any {
	t.Helper()
	list, _, err := unstructured.NestedFieldNoCopy(obj.Object, "spec", "roles")
	if err != nil {
		t.Fatal(err)
	}
	roles := map[string]map[string]any{}
	for _, r := range list.([]any) {
		m := r.(map[string]any)
		roles[m["name"].(string)] = m
	}
	return roles
}

// edit changes the group on disk, as a person with kubectl would.
func (f *fixture) edit(change func(obj *unstructured.Unstructured)) {
	f.t.Helper()
	often := retry.DefaultRetry // where the stand-in is at work on the same group
	often.Steps = 50
	err := retry.RetryOnConflict(often, func() error {
		obj := f.group()
		change(obj)
		return f.client.Update(f.t.Context(), obj)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) group() *unstructured.Unstructured { return f.get(KindGroup, "dynamo-pd") }

func (f *fixture) adapter(role string) *unstructured.Unstructured {
	return f.get(KindAdapter, "dynamo-pd-"+role)
}

func (f *fixture) get(kind, name string) *unstructured.Unstructured {
	f.t.Helper()
	obj := newObject(kind, f.ns, name)
	if err := f.client.Get(f.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
		f.t.Fatal(err)
	}
	return obj
}

// scale writes to the /scale of a role's adapter.
func (f *fixture) scale(role string, replicas int32) {
	f.t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec": {"replicas": %d}}`, replicas))
	if err := f.client.SubResource("scale").Patch(f.t.Context(), newObject(KindAdapter, f.ns, "dynamo-pd-"+role), patch); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) readScale(role string) *autoscalingv1.Scale {
	f.t.Helper()
	body := &unstructured.Unstructured{}
	body.SetGroupVersionKind(autoscalingv1.SchemeGroupVersion.WithKind("Scale"))
	if err := f.client.SubResource("scale").Get(f.t.Context(), newObject(KindAdapter, f.ns, "dynamo-pd-"+role), body); err != nil {
		f.t.Fatal(err)
	}
	scale := &autoscalingv1.Scale{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(body.Object, scale); err != nil {
		f.t.Fatal(err)
	}
	return scale
}

// bound waits until the adapters of both worker roles are.
func (f *fixture) bound() {
	f.t.Helper()
	for _, role := range []string{RolePrefill, RoleDecode} {
		f.eventually("the adapter of "+role+" to be bound", func() error {
			obj := newObject(KindAdapter, f.ns, "dynamo-pd-"+role)
			if err := f.client.Get(f.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
				return err
			}
			if phase := phaseOf(obj); phase != phaseBound {
				return fmt.Errorf("phase %q", phase)
			}
			return nil
		})
	}
}

// patience is how long a check may take to pass that passes within seconds on a machine that is not busy.
const patience = 5 * time.Minute

// eventually waits until a check passes.
func (f *fixture) eventually(what string, check func() error) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("waited for %s: %v\n%s", what, err, f.describe())
		}
		select {
		case <-f.t.Context().Done():
			f.t.Fatal(f.t.Context().Err())
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// hold keeps a pod from going until it is let go, however late somebody looks at it meanwhile.
func (f *fixture) hold(pod string) (letGo func()) {
	f.t.Helper()
	f.patchPod(pod, `{"metadata": {"finalizers": ["test.pdautoscaler.io/held"]}}`)
	return func() { f.t.Helper(); f.patchPod(pod, `{"metadata": {"finalizers": null}}`) }
}

// patchPod writes a merge patch.
func (f *fixture) patchPod(name, patch string) {
	f.t.Helper()
	p := &corev1.Pod{}
	p.Namespace, p.Name = f.ns, name
	if err := f.client.Patch(f.t.Context(), p, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		f.t.Fatal(err)
	}
}

// unschedulable checks that a decode worker waits for GPUs.
func (f *fixture) unschedulable(name string) func() error {
	return func() error {
		pod := f.pods(RoleDecode)[name]
		if pod == nil || pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName != "" {
			return errors.New("no Pending pod")
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				return nil
			}
		}
		return fmt.Errorf("conditions %v", pod.Status.Conditions)
	}
}

// pods returns those of a role by name, terminating ones too.
func (f *fixture) pods(role string) map[string]*corev1.Pod {
	f.t.Helper()
	list := &corev1.PodList{}
	if err := f.client.List(f.t.Context(), list, client.InNamespace(f.ns), client.MatchingLabels{LabelGroupName: "dynamo-pd", LabelRoleName: role}); err != nil {
		f.t.Fatal(err)
	}
	pods := map[string]*corev1.Pod{}
	for i := range list.Items {
		pods[list.Items[i].Name] = &list.Items[i]
	}
	return pods
}

// describe tells about the pods, for a message about what did not happen.
func (f *fixture) describe() string {
	var b strings.Builder
	for _, role := range []string{RoleProcessor, RolePrefill, RoleDecode} {
		for name, pod := range f.pods(role) {
			fmt.Fprintf(&b, "pod %s: %s, ready %t, terminating %t\n", name, pod.Status.Phase, podHas(pod, corev1.PodReady), pod.DeletionTimestamp != nil)
		}
	}
	return b.String()
}

// havePods checks that exactly these pods of a role exist and are Ready.
func (f *fixture) havePods(role string, names ...string) func() error {
	return func() error {
		pods := f.pods(role)
		for _, name := range names {
			if !podHas(pods[name], corev1.PodReady) {
				return fmt.Errorf("pod %s is missing or not Ready", name)
			}
		}
		if len(pods) != len(names) {
			return fmt.Errorf("%d pods of %s, want %d", len(pods), role, len(names))
		}
		return nil
	}
}

// roleStatus checks the replicas and ready replicas of a role as the group's status tells them.
func (f *fixture) roleStatus(role string, replicas, ready int64) func() error {
	return func() error {
		list, _, err := unstructured.NestedSlice(f.group().Object, "status", "roleStatuses")
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(s any) bool { return s.(map[string]any)["name"] == role })
		if i < 0 {
			return errors.New("no status of role " + role)
		}
		m := list[i].(map[string]any)
		if m["replicas"] != replicas || m["readyReplicas"] != ready {
			return fmt.Errorf("role %s: status %v, want %d replicas, %d ready", role, m, replicas, ready)
		}
		return nil
	}
}

// groupReady checks the Ready condition of the group.
func (f *fixture) groupReady(status, reason string) func() error {
	return func() error {
		conditions, _, _ := unstructured.NestedSlice(f.group().Object, "status", "conditions")
		for _, c := range conditions {
			if m := c.(map[string]any); m["type"] == "Ready" && m["status"] == status && m["reason"] == reason {
				return nil
			}
		}
		return fmt.Errorf("conditions %v, want Ready=%s with reason %s", conditions, status, reason)
	}
}

// observed checks that the group's status belongs to its specification.
func (f *fixture) observed() func() error {
	return func() error {
		obj := f.group()
		if seen, _ := nestedInt(obj.Object, "status", "observedGeneration"); seen != obj.GetGeneration() {
			return fmt.Errorf("generation %d of %d", seen, obj.GetGeneration())
		}
		return nil
	}
}

// event checks that an event of a reason was recorded for an object.
func (f *fixture) event(object, reason string) func() error {
	return func() error {
		list := &corev1.EventList{}
		if err := f.client.List(f.t.Context(), list, client.InNamespace(f.ns)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.Name == object && e.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("no event %s of %s", reason, object)
	}
}
