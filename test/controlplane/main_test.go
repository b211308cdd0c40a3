package controlplane

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanMakerDir); dir != "" {
		makeOrphans(dir)
		return
	}
	os.Exit(Main(m, Options{}))
}

// cluster is one test's corner of the shared control plane: a namespace and nodes that no other test uses.
type cluster struct {
	t         *testing.T
	cp        *ControlPlane
	kube      kubernetes.Interface
	namespace string
	product   string
}

func newCluster(t *testing.T, nodes, gpusPerNode int) *cluster {
	t.Helper()
	cp := ForTest(t)
	kube, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := cp.NewNamespace(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t, cp, kube, namespace, "product-of-" + namespace}
	if _, err := cp.AddGPUNodes(t.Context(), nodes, gpusPerNode, c.product); err != nil {
		t.Fatal(err)
	}
	return c
}

// createPod makes a pod of some GPUs on the test's own nodes.
func (c *cluster) createPod(name string, gpus int64, graceSeconds int64, annotations map[string]string) {
	c.t.Helper()
	_, err := c.kube.CoreV1().Pods(c.namespace).Create(c.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{LabelGPUProduct: c.product},
			TerminationGracePeriodSeconds: &graceSeconds,
			Containers: []corev1.Container{{
				Name:  "engine",
				Image: "engine:test",
				Resources: corev1.ResourceRequirements{
					Limits: corev1.ResourceList{ResourceGPU: *resource.NewQuantity(gpus, resource.DecimalSI)},
				},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
}

// waitPod waits until the pod satisfies a condition and returns it; nil stands for a pod that is gone.
func (c *cluster) waitPod(name, what string, holds func(*corev1.Pod) bool) *corev1.Pod {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startTimeout)
	defer cancel()
	var pod *corev1.Pod
	err := c.cp.waitFor(ctx, fmt.Sprintf("pod %s to be %s", name, what), func(ctx context.Context) error {
		list, err := c.kube.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return err
		}
		pod = nil
		if len(list.Items) == 1 {
			pod = &list.Items[0]
		}
		if !holds(pod) {
			return fmt.Errorf("it is %+v", pod)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return pod
}

// past is every version of a pod, none left out however busy the machine is.
type past struct {
	c        *cluster
	name     string
	mu       sync.Mutex
	versions []watch.Event
}

// follow begins to keep the versions of a pod that is not there yet.
func (c *cluster) follow(name string) *past {
	c.t.Helper()
	p := &past{c: c, name: name}
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	list, err := c.kube.CoreV1().Pods(c.namespace).List(c.t.Context(), options)
	if err != nil {
		c.t.Fatal(err)
	}
	options.ResourceVersion = list.ResourceVersion
	w, err := c.kube.CoreV1().Pods(c.namespace).Watch(c.t.Context(), options)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(w.Stop)
	go func() {
		for event := range w.ResultChan() {
			p.mu.Lock()
			p.versions = append(p.versions, event)
			p.mu.Unlock()
		}
	}()
	return p
}

// first waits for the first version that satisfies a condition and returns it.
func (p *past) first(what string, holds func(watch.EventType, *corev1.Pod) bool) *corev1.Pod {
	p.c.t.Helper()
	ctx, cancel := context.WithTimeout(p.c.t.Context(), startTimeout)
	defer cancel()
	var found *corev1.Pod
	err := p.c.cp.waitFor(ctx, fmt.Sprintf("a version of pod %s that is %s", p.name, what), func(context.Context) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, version := range p.versions {
			if pod, ok := version.Object.(*corev1.Pod); ok && holds(version.Type, pod) {
				found = pod
				return nil
			}
		}
		return fmt.Errorf("there are %d other versions", len(p.versions))
	})
	if err != nil {
		p.c.t.Fatal(err)
	}
	return found
}

func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	if pod != nil {
		for _, c := range pod.Status.Conditions {
			if c.Type == kind {
				return c
			}
		}
	}
	return corev1.PodCondition{}
}

func ready(pod *corev1.Pod) bool {
	return condition(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

func gone(pod *corev1.Pod) bool { return pod == nil }

func unschedulable(pod *corev1.Pod) bool {
	return condition(pod, corev1.PodScheduled).Reason == corev1.PodReasonUnschedulable
}
