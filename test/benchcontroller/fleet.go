package benchcontroller

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

const (
	roleFrontend = rbgfake.RoleProcessor

	servicesPerNamespace = 10
	gpusPerNode          = 8
	gpusPerReplica       = 2
	product              = "NVIDIA-H200"
	makers               = 16 // services that are made at a time
)

// replicas of each role, all of them ready.
var replicas = []struct {
	role string
	n    int
	gpus int
}{{roleFrontend, 1, 0}, {rbgfake.RolePrefill, 2, gpusPerReplica}, {rbgfake.RoleDecode, 1, gpusPerReplica}}

// podsPerService and gpusPerService are sums over them.
const (
	podsPerService = 4
	gpusPerService = 6
)

// Fleet is the services that were made.
type Fleet struct {
	client client.Client
	pages  *Pages
	nodes  int
	pods   addresses
}

// addresses hands out those that the control plane has reserved for its pods.
type addresses struct {
	mu     sync.Mutex
	prefix netip.Prefix
	last   netip.Addr
}

// NewFleet makes services through a client, with addresses of a range and metrics on pages.
func NewFleet(c client.Client, podCIDR string, pages *Pages) (*Fleet, error) {
	prefix, err := netip.ParsePrefix(podCIDR)
	if err != nil {
		return nil, err
	}
	return &Fleet{client: c, pages: pages, pods: addresses{prefix: prefix, last: prefix.Addr()}}, nil
}

func (a *addresses) take() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last = a.last.Next(); !a.prefix.Contains(a.last) {
		return "", fmt.Errorf("%s has not enough addresses", a.prefix)
	}
	return a.last.String(), nil
}

// Make makes n services with their nodes and namespaces.
func (f *Fleet) Make(ctx context.Context, n int, interval time.Duration) error {
	f.nodes = (n*gpusPerService + gpusPerNode - 1) / gpusPerNode
	if err := f.each(ctx, f.nodes, f.makeNode); err != nil {
		return err
	}
	if err := f.each(ctx, (n+servicesPerNamespace-1)/servicesPerNamespace, f.makeNamespace); err != nil {
		return err
	}
	return f.each(ctx, n, func(ctx context.Context, i int) error { return f.makeService(ctx, i, n, interval) })
}

// each does something n times, some at a time, and returns the first error.
func (f *Fleet) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var all sync.WaitGroup
	for range makers {
		all.Go(func() {
			for i := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}

func nodeName(i int) string { return fmt.Sprintf("gpu-%d", i) }

func (f *Fleet) makeNode(ctx context.Context, i int) error {
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("192"), corev1.ResourceMemory: resource.MustParse("2Ti"), corev1.ResourcePods: resource.MustParse("110"),
		controlplane.ResourceGPU: *resource.NewQuantity(gpusPerNode, resource.DecimalSI),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: map[string]string{controlplane.LabelGPUProduct: product, corev1.LabelHostname: nodeName(i)}},
		Status: corev1.NodeStatus{Capacity: resources, Allocatable: resources,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}},
	}
	if err := f.client.Create(ctx, node); err != nil {
		return fmt.Errorf("node %s: %w", node.Name, err)
	}
	// The API server taints every new node, and nobody here takes that back.
	before := node.DeepCopy()
	node.Spec.Taints = nil
	return f.client.Patch(ctx, node, client.MergeFrom(before))
}

func namespaceName(i int) string { return fmt.Sprintf("team-%d", i) }

func (f *Fleet) makeNamespace(ctx context.Context, i int) error {
	name := namespaceName(i)
	if err := f.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	// No controller manager runs that would make it; pods need it.
	return f.client.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}})
}

// service is one that is being made.
type service struct {
	*Fleet
	namespace, name string
	phase           float64
	firstGPU        int // of all GPUs of all nodes
}

func (f *Fleet) makeService(ctx context.Context, i, of int, interval time.Duration) error {
	s := &service{Fleet: f, namespace: namespaceName(i / servicesPerNamespace), name: fmt.Sprintf("service-%d", i),
		phase: float64(i) / float64(of), firstGPU: i * gpusPerService}
	group := rbgfake.DynamoPD(rbgfake.Example{Namespace: s.namespace, Name: s.name, GPUsPerReplica: gpusPerReplica,
		NodeSelector: map[string]string{controlplane.LabelGPUProduct: product}})
	var statuses []any
	for _, r := range replicas {
		statuses = append(statuses, map[string]any{"name": r.role, "replicas": int64(r.n), "readyReplicas": int64(r.n), "updatedReplicas": int64(r.n)})
	}
	err := s.make(ctx, group, map[string]any{
		"observedGeneration": int64(1), "roleStatuses": statuses,
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "AllRolesReady"}},
	})
	for _, r := range replicas {
		if err == nil {
			err = s.makeRole(ctx, group, r.role, r.n, r.gpus)
		}
	}
	if err == nil {
		err = f.client.Create(ctx, s.autoscaler(interval))
	}
	if err != nil {
		return fmt.Errorf("service %s/%s: %w", s.namespace, s.name, err)
	}
	return nil
}

// make makes an object and writes its status.
func (s *service) make(ctx context.Context, u *unstructured.Unstructured, status map[string]any) error {
	if err := s.client.Create(ctx, u); err != nil {
		return err
	}
	u.Object["status"] = status
	return s.client.Status().Update(ctx, u)
}

func (s *service) object(kind, name string, labels map[string]string, owner client.Object, ownerKind string, controller bool) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(rbgfake.GroupVersion.WithKind(kind))
	u.SetNamespace(s.namespace)
	u.SetName(name)
	u.SetLabels(labels)
	ref := metav1.OwnerReference{APIVersion: rbgfake.GroupVersion.String(), Kind: ownerKind, Name: owner.GetName(), UID: owner.GetUID()}
	if controller {
		ref.Controller = new(true)
	}
	u.SetOwnerReferences([]metav1.OwnerReference{ref})
	return u
}

func (s *service) makeRole(ctx context.Context, group *unstructured.Unstructured, role string, n, gpus int) error {
	labels := map[string]string{rbgfake.LabelGroupName: s.name, rbgfake.LabelRoleName: role}
	count := int64(n)
	if gpus > 0 {
		adapter := s.object(rbgfake.KindAdapter, s.name+"-"+role, labels, group, rbgfake.KindGroup, false)
		adapter.Object["spec"] = map[string]any{"replicas": count, "scaleTargetRef": map[string]any{"name": s.name, "role": role}}
		selector := fmt.Sprintf("%s=%s,%s=%s", rbgfake.LabelGroupName, s.name, rbgfake.LabelRoleName, role)
		if err := s.make(ctx, adapter, map[string]any{"phase": "Bound", "replicas": count, "readyReplicas": count, "selector": selector}); err != nil {
			return err
		}
	}
	set := s.object(rbgfake.KindInstanceSet, s.name+"-"+role, labels, group, rbgfake.KindGroup, true)
	set.Object["spec"] = map[string]any{"replicas": count}
	if err := s.make(ctx, set, map[string]any{"observedGeneration": int64(1), "replicas": count, "readyReplicas": count, "availableReplicas": count,
		"currentReplicas": count, "updatedReplicas": count, "updatedReadyReplicas": count, "currentRevision": "1", "updateRevision": "1"}); err != nil {
		return err
	}
	for i := range n {
		name := fmt.Sprintf("%s-%s-%d", s.name, role, i)
		own := map[string]string{rbgfake.LabelGroupName: s.name, rbgfake.LabelRoleName: role, rbgfake.LabelInstanceName: name}
		instance := s.object(rbgfake.KindInstance, name, own, set, rbgfake.KindInstanceSet, true)
		if err := s.client.Create(ctx, instance); err != nil {
			return err
		}
		if err := s.makePod(ctx, instance, role, gpus); err != nil {
			return err
		}
	}
	return nil
}

// makePod makes a pod that is ready, with as much around its container as an engine's has.
func (s *service) makePod(ctx context.Context, instance *unstructured.Unstructured, role string, gpus int) error {
	container := corev1.Container{
		Name: "engine", Image: "example.invalid/dynamo-vllm:2025", Command: []string{"sh", "-c", "dynamo serve graphs.pd_disagg:Frontend --model Qwen/Qwen3-32B --block-size 128"},
		Ports:          []corev1.ContainerPort{{Name: "metrics", ContainerPort: metricsPort}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(metricsPort)}}},
	}
	for i := range 30 {
		container.Env = append(container.Env, corev1.EnvVar{Name: fmt.Sprintf("ENGINE_OPTION_%d", i), Value: fmt.Sprintf("a value of option %d as engines have them", i)})
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: instance.GetName(), Labels: instance.GetLabels(),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(instance, rbgfake.GroupVersion.WithKind(rbgfake.KindInstance))}}}
	for i := range 4 {
		name := fmt.Sprintf("volume-%d", i)
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/mnt/" + name})
	}
	pod.Spec.NodeSelector = map[string]string{controlplane.LabelGPUProduct: product}
	pod.Spec.NodeName = nodeName(s.firstGPU / gpusPerNode)
	if gpus > 0 {
		container.Resources.Limits = corev1.ResourceList{controlplane.ResourceGPU: *resource.NewQuantity(int64(gpus), resource.DecimalSI)}
		pod.Spec.NodeName = nodeName(s.firstGPU / gpusPerNode)
		s.firstGPU += gpus
	}
	pod.Spec.Containers = []corev1.Container{container}
	if err := s.client.Create(ctx, pod); err != nil {
		return err
	}
	ip, err := s.pods.take()
	if err != nil {
		return err
	}
	if err := s.pages.Serve(ip, role, s.phase); err != nil {
		return err
	}
	now := metav1.Now()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: "127.0.0.1", StartTime: &now}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodScheduled, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: container.Name, Image: container.Image, Ready: true, Started: new(true),
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}}
	return s.client.Status().Update(ctx, pod)
}

// autoscaler keeps the replicas as they are: those are the fewest that are allowed, and enough.
func (s *service) autoscaler(interval time.Duration) *v1alpha1.PDAutoscaler {
	pda := &v1alpha1.PDAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name}}
	pda.Spec = v1alpha1.PDAutoscalerSpec{
		Mode:   v1alpha1.ModeAuto,
		Target: v1alpha1.TargetReference{Name: s.name},
		Roles: v1alpha1.Roles{
			Prefill:  v1alpha1.PrefillRole{Name: rbgfake.RolePrefill, ScaledRole: v1alpha1.ScaledRole{Min: 2, Max: 16}},
			Decode:   v1alpha1.DecodeRole{Name: rbgfake.RoleDecode, ScaledRole: v1alpha1.ScaledRole{Min: 1, Max: 16}},
			Frontend: &v1alpha1.FrontendRole{Name: roleFrontend},
		},
		Model: v1alpha1.Model{Name: "Qwen3-32B", ServedName: "qwen"},
		SLO: v1alpha1.SLO{TTFT: v1alpha1.Objective{Target: v1alpha1.Every(2 * time.Second)},
			TPOT: v1alpha1.Objective{Target: v1alpha1.Every(50 * time.Millisecond)}},
		Budget:   &v1alpha1.Budget{GPUs: 32},
		Signals:  v1alpha1.Signals{Window: v1alpha1.Every(20 * time.Second)}, // known soon
		Behavior: v1alpha1.Behavior{Interval: v1alpha1.Every(interval)},
	}
	pda.Default()
	return pda
}
