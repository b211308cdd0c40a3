package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

const (
	groupUID = types.UID("group-1")
	decode   = planner.Decode
	prefill  = planner.Prefill
)

var (
	now     = time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)
	created = now.Add(-time.Hour)

	modern         = kinds{"v1alpha2"}
	legacy         = kinds{"v1alpha1"}
	instanceGVK    = modern.of(roleInstanceKind)
	roleSetGVK     = modern.of("RoleInstanceSet")
	statefulSetGVK = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}

	roleScalerGVK = schema.GroupVersionKind{Group: roleScalerKind.Group, Version: "v1", Kind: roleScalerKind.Kind}

	target = Target{
		Namespace: "default", Group: "dynamo-pd", FrontendRole: "processor",
		Roles: map[planner.Role]string{prefill: "prefill", decode: "decode"},
	}
)

// cluster is an API server that answers from memory.
type cluster struct {
	t       testing.TB
	objects []client.Object
	// forbidden are the kinds that may not be read.
	forbidden map[string]bool
	// reads are the kinds and names that were read one by one.
	reads []string
	// nodesAllowed is the answer to whether nodes may be read.
	nodesAllowed bool
	// versions of RBG are those that are served, the stored one first.
	versions []string
	// writes are the JSON patches, and refuse the answer to them.
	writes []string
	refuse error
}

// dynamoPD is a cluster with the running example: a group with the roles
// processor, prefill and decode of 2 GPUs, and what the controller of groups
// makes of it. No pods.
func dynamoPD(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, forbidden: map[string]bool{}, versions: []string{"v1alpha2", "v1alpha1"}}
	c.add(`
apiVersion: workloads.x-k8s.io/v1alpha2
kind: RoleBasedGroup
metadata: {name: dynamo-pd, namespace: default, uid: group-1}
spec:
  roleTemplates:
  - name: worker
    template: {spec: {containers: [{name: vllm, resources: {limits: {nvidia.com/gpu: "2"}}}]}}
  roles:
  - {name: processor, replicas: 1, standalonePattern: {template: {spec: {containers: [{name: frontend}]}}}}
  - {name: prefill, replicas: 2, standalonePattern: {templateRef: {name: worker}}}
  - {name: decode, replicas: 1, standalonePattern: {templateRef: {name: worker}}}
`)
	for _, role := range []string{"processor", "prefill", "decode"} {
		c.carrier(role, "{}")
	}
	return c
}

// add parses an object and keeps it.
func (c *cluster) add(text string) *unstructured.Unstructured {
	c.t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	c.objects = append(c.objects, u)
	return u
}

// group is the running example's group, to be changed before the cluster is used.
func (c *cluster) group() *unstructured.Unstructured {
	return c.objects[0].(*unstructured.Unstructured)
}

// role changes fields of one role of the group.
func (c *cluster) role(name, fields string) {
	c.t.Helper()
	var more map[string]any
	if err := yaml.Unmarshal([]byte(fields), &more); err != nil {
		c.t.Fatal(err)
	}
	roles, _, _ := unstructured.NestedSlice(c.group().Object, "spec", "roles")
	for _, r := range roles {
		if r := r.(map[string]any); r["name"] == name {
			for k, v := range more {
				if r[k] = v; v == nil {
					delete(r, k)
				}
			}
		}
	}
	_ = unstructured.SetNestedSlice(c.group().Object, roles, "spec", "roles")
}

// carrier keeps the RoleInstanceSet of a role, with the given status; one made before is replaced.
func (c *cluster) carrier(role, status string) {
	for i, o := range c.objects {
		if o.GetUID() == types.UID("set-"+role) {
			c.objects = append(c.objects[:i], c.objects[i+1:]...)
			break
		}
	}
	c.add(fmt.Sprintf(`
apiVersion: workloads.x-k8s.io/v1alpha2
kind: RoleInstanceSet
metadata:
  name: dynamo-pd-%[1]s
  namespace: default
  uid: set-%[1]s
  ownerReferences: [{apiVersion: workloads.x-k8s.io/v1alpha2, kind: RoleBasedGroup, name: dynamo-pd, uid: group-1, controller: true}]
status: %[2]s
`, role, status))
}

// adapter keeps a scaling adapter of a role.
func (c *cluster) adapter(role, phase string, replicas int) {
	c.add(fmt.Sprintf(`
apiVersion: workloads.x-k8s.io/v1alpha2
kind: RoleBasedGroupScalingAdapter
metadata:
  name: dynamo-pd-%[1]s
  namespace: default
  uid: adapter-%[1]s
  ownerReferences: [{apiVersion: workloads.x-k8s.io/v1alpha2, kind: RoleBasedGroup, name: dynamo-pd, uid: group-1}]
spec: {replicas: %[3]d, scaleTargetRef: {name: dynamo-pd, role: %[1]s}}
status: {phase: %[2]q}
`, role, phase, replicas))
}

// pod keeps a pod of a role that has been ready for a while on node gpu-0, and
// the RoleInstance that owns it. Changes are made before it is kept.
func (c *cluster) pod(role, name string, changes ...func(*corev1.Pod)) {
	instance := types.UID("instance-" + name)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("pod-" + name), CreationTimestamp: metav1.NewTime(created),
			Labels: map[string]string{
				groupLabels[0]: "dynamo-pd", roleLabels[0]: role, instanceLabels[0]: name,
				"rbg.workloads.x-k8s.io/role-instance-index": "1", // wrong on purpose, as RBG writes it
			},
			OwnerReferences: []metav1.OwnerReference{owner(instanceGVK, name, instance)},
		},
		Spec: corev1.PodSpec{NodeName: "gpu-0", Containers: []corev1.Container{{Name: "engine"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.244.0.9", Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(created.Add(100 * time.Second))},
		}},
	}
	if role != "processor" {
		gpus(2)(pod)
	}
	for _, change := range changes {
		change(pod)
	}
	c.objects = append(c.objects, pod)
	if ref := controllerOf(pod.OwnerReferences); ref != nil && ref.UID == instance {
		c.owns(instanceGVK, name, instance, owner(roleSetGVK, "dynamo-pd-"+role, types.UID("set-"+role)))
	}
}

// owns keeps an object that stands between a pod and the group.
func (c *cluster) owns(kind schema.GroupVersionKind, name string, uid types.UID, by ...metav1.OwnerReference) {
	for _, o := range c.objects {
		if o.GetUID() == uid {
			return
		}
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	u.SetNamespace("default")
	u.SetName(name)
	u.SetUID(uid)
	u.SetOwnerReferences(by)
	c.objects = append(c.objects, u)
}

func owner(kind schema.GroupVersionKind, name string, uid types.UID) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: name, UID: uid, Controller: new(true)}
}

// Changes of a pod.
func notReady(pod *corev1.Pod) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
}

func pending(pod *corev1.Pod) {
	pod.Spec.NodeName, pod.Status.PodIP, pod.Status.Phase = "", "", corev1.PodPending
	pod.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
	}}
}

// leaving: deletion was asked for 20 s ago, with a grace period of 30 s.
func leaving(pod *corev1.Pod) {
	pod.DeletionTimestamp = new(metav1.NewTime(now.Add(10 * time.Second)))
	pod.DeletionGracePeriodSeconds = new(int64(30))
	pod.Finalizers = []string{"test/keep"} // or the fake API server drops it
}

func gpus(n int64) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{GPUResource: *resource.NewQuantity(n, resource.DecimalSI)}
	}
}

func on(node string) func(*corev1.Pod) { return func(pod *corev1.Pod) { pod.Spec.NodeName = node } }

func age(d time.Duration) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.CreationTimestamp = metav1.NewTime(now.Add(-d)) }
}

func readyFor(d time.Duration) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-d)) }
}

func ownedBySomething(refs ...metav1.OwnerReference) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.OwnerReferences = refs }
}

func labelled(pairs ...string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		for i := 0; i < len(pairs); i += 2 {
			pod.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

// client returns what a Workload reads and writes through.
func (c *cluster) client() client.Client {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		c.t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		c.t.Fatal(err)
	}
	for _, kind := range []schema.GroupVersionKind{
		modern.group(), modern.adapter(), modern.of(policyKind), roleSetGVK, instanceGVK, legacy.group(), legacy.adapter(),
		scaledObjectKind, autoScalerKind,
		{Group: kueueGroup, Version: "v1beta1", Kind: "LocalQueue"}, {Group: kueueGroup, Version: "v1beta1", Kind: "ClusterQueue"},
		{Group: kueueGroup, Version: "v1beta2", Kind: "LocalQueue"}, {Group: kueueGroup, Version: "v1beta2", Kind: "ClusterQueue"}, roleScalerGVK,
	} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		scheme.AddKnownTypeWithName(kind.GroupVersion().WithKind(kind.Kind+"List"), &unstructured.UnstructuredList{})
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, through client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			kind := into.GetObjectKind().GroupVersionKind().Kind
			c.reads = append(c.reads, kind+" "+key.Name)
			if c.forbidden[kind] {
				return forbiddenError(kind)
			}
			return through.Get(ctx, key, into, options...)
		},
		List: func(ctx context.Context, through client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
			if kind := into.GetObjectKind().GroupVersionKind().Kind; c.forbidden[kind] {
				return forbiddenError(kind)
			}
			return through.List(ctx, into, options...)
		},
		Create: func(ctx context.Context, through client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if review, ok := object.(*authorizationv1.SelfSubjectAccessReview); ok {
				review.Status.Allowed = c.nodesAllowed
				return nil
			}
			return through.Create(ctx, object, options...)
		},
		Patch: func(_ context.Context, _ client.WithWatch, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
			return c.write(object, "", patch)
		},
		SubResourceGet: func(_ context.Context, _ client.Client, _ string, object, scale client.Object, _ ...client.SubResourceGetOption) error {
			typed := &autoscalingv1.Scale{}
			if err := c.scaleOf(object.(*unstructured.Unstructured), typed); err != nil {
				return err
			}
			untyped, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
			scale.(*unstructured.Unstructured).Object = untyped
			return err
		},
		SubResourcePatch: func(_ context.Context, _ client.Client, sub string, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			return c.write(object, "/"+sub, patch)
		},
	}).Build()
}

func (c *cluster) write(object client.Object, sub string, patch client.Patch) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	c.writes = append(c.writes, fmt.Sprintf("%s %s%s %s %s", object.GetObjectKind().GroupVersionKind().Kind, object.GetName(), sub, patch.Type(), data))
	return c.refuse
}

// workload returns a Workload on the cluster as it is now.
func (c *cluster) workload() *Workload {
	api := c.client()
	w := New(api, api, WithDiscovery(discovery(c.versions)))
	w.drainer.Timeout = time.Minute // on a busy machine an answer over loopback may take seconds
	return w
}

// discovery answers which versions of RoleBasedGroup are served: these, of
// which the first is stored.
type discovery []string

func (d discovery) ServerResourcesForGroupVersionWithContext(_ context.Context, groupVersion string) (*metav1.APIResourceList, error) {
	version := strings.TrimPrefix(groupVersion, rbgGroup+"/")
	if !slices.Contains(d, version) {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return &metav1.APIResourceList{APIResources: []metav1.APIResource{
		{Kind: groupKind, Name: "rolebasedgroups/status"},
		{Kind: groupKind, Name: "rolebasedgroups", StorageVersionHash: storageHash(d[0])},
	}}, nil
}

// observe observes the running example once.
func (c *cluster) observe() Observation {
	c.t.Helper()
	o, err := c.workload().Observe(c.t.Context(), target, now)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

// wantWrites fails unless exactly these writes were made.
func (c *cluster) wantWrites(want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.writes); diff != "" {
		c.t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// scaleOf answers the /scale of an object, whose selector is in status.selector
// or, for workloads, in spec.selector.
func (c *cluster) scaleOf(u *unstructured.Unstructured, scale *autoscalingv1.Scale) error {
	if u.GetKind() == "ConfigMap" {
		return apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	scale.UID, scale.ResourceVersion = u.GetUID(), u.GetResourceVersion()
	replicas, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	scale.Spec.Replicas = int32(replicas)
	scale.Status.Selector, _, _ = unstructured.NestedString(u.Object, "status", "selector")
	if of, found, _ := unstructured.NestedStringMap(u.Object, "spec", "selector", "matchLabels"); found {
		scale.Status.Selector = labels.SelectorFromSet(of).String()
	}
	return nil
}
