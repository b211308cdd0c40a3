package kubepods

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
)

// Labels and the resource that pods are read by.
const (
	labelGroup  = "rbg.workloads.x-k8s.io/group-name"
	labelRole   = "rbg.workloads.x-k8s.io/role-name"
	resourceGPU = corev1.ResourceName("nvidia.com/gpu")
)

// Options say whose pods are watched.
type Options struct {
	// Namespace and Group name the RoleBasedGroup. Required.
	Namespace string
	Group     string
	// Roles says what each of the group's roles does; pods of other roles are
	// left out. Empty is processor, prefill and decode, as in the seed's group.
	Roles map[string]emulator.Role
	// ExporterNamespace and ExporterApp (label app) find the dcgm-exporters.
	// Defaults: gpu-operator, nvidia-dcgm-exporter.
	ExporterNamespace string
	ExporterApp       string
}

func (o *Options) setDefaults() error {
	if o.Namespace == "" || o.Group == "" {
		return errors.New("kubepods: Namespace and Group are needed: those of the RoleBasedGroup whose pods are watched")
	}
	if len(o.Roles) == 0 {
		o.Roles = map[string]emulator.Role{
			"processor": emulator.RoleFrontend, "prefill": emulator.RolePrefill, "decode": emulator.RoleDecode,
		}
	}
	if o.ExporterNamespace == "" {
		o.ExporterNamespace = "gpu-operator"
	}
	if o.ExporterApp == "" {
		o.ExporterApp = "nvidia-dcgm-exporter"
	}
	return nil
}

// Source is an emulator.PodSource that follows a cluster.
type Source struct {
	o         Options
	workers   listers.PodLister
	exporters listers.PodLister
	changed   chan struct{}
	stop      func()
}

// Watch starts to follow the pods and returns when it knows those of now. The
// context bounds the start; Close ends the watch.
func Watch(ctx context.Context, client kubernetes.Interface, o Options) (*Source, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s := &Source{o: o, changed: make(chan struct{}, 1)}
	stopped := make(chan struct{})
	workers := factory(client, o.Namespace, labels.Set{labelGroup: o.Group})
	exporters := factory(client, o.ExporterNamespace, labels.Set{"app": o.ExporterApp})
	s.stop = func() {
		close(stopped)
		workers.Shutdown()
		exporters.Shutdown()
	}
	for _, f := range []informers.SharedInformerFactory{workers, exporters} {
		if _, err := f.Core().V1().Pods().Informer().AddEventHandler(s.handler()); err != nil {
			return nil, fmt.Errorf("kubepods: %w", err)
		}
	}
	s.workers, s.exporters = workers.Core().V1().Pods().Lister(), exporters.Core().V1().Pods().Lister()
	for _, f := range []informers.SharedInformerFactory{workers, exporters} {
		f.Start(stopped)
		if !cache.WaitForCacheSync(ctx.Done(), f.Core().V1().Pods().Informer().HasSynced) {
			s.stop()
			return nil, fmt.Errorf("kubepods: the pods of %s could not be listed: %w", o.Namespace, context.Cause(ctx))
		}
	}
	return s, nil
}

func factory(client kubernetes.Interface, namespace string, selector labels.Set) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector.String() }))
}

func (s *Source) handler() cache.ResourceEventHandler {
	signal := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		UpdateFunc: func(any, any) { signal() },
		DeleteFunc: func(any) { signal() },
	}
}

// Close ends the watch and waits for it. It may be called once.
func (s *Source) Close() { s.stop() }

// Changed implements emulator.PodSource.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Pods implements emulator.PodSource.
func (s *Source) Pods() []emulator.Pod {
	var pods []emulator.Pod
	// Listing from the cache does not fail.
	workers, _ := s.workers.List(labels.Everything())
	for _, p := range workers {
		if role, ok := s.o.Roles[p.Labels[labelRole]]; ok && !ended(p) {
			pods = append(pods, convert(p, role))
		}
	}
	exporters, _ := s.exporters.List(labels.Everything())
	for _, p := range exporters {
		if !ended(p) {
			pods = append(pods, convert(p, emulator.RoleExporter))
		}
	}
	return pods
}

// ended reports whether a pod's containers have all ended for good.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func convert(p *corev1.Pod, role emulator.Role) emulator.Pod {
	pod := emulator.Pod{
		Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Role: role,
		Node: p.Spec.NodeName, IP: p.Status.PodIP,
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			pod.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		gpus, ok := c.Resources.Limits[resourceGPU]
		if !ok {
			gpus = c.Resources.Requests[resourceGPU]
		}
		if n := int(gpus.Value()); n > 0 {
			pod.GPUs += n
			if pod.Container == "" {
				pod.Container = c.Name
			}
		}
	}
	if t := p.DeletionTimestamp; t != nil {
		// The timestamp holds the grace period already.
		pod.Terminating, pod.EndsBy = true, t.Time
	}
	return pod
}
