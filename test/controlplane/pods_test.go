package controlplane

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestPodsRunUntilTheGPUsAreUsedUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 4)
	c.createPod("a", 2, 0, nil)
	c.createPod("b", 2, 0, nil)
	for _, name := range []string{"a", "b"} {
		c.waitPod(name, "Ready", ready)
	}
	c.createPod("c", 2, 0, nil)
	pod := c.waitPod("c", "unschedulable", unschedulable)
	if pod.Status.Phase != corev1.PodPending {
		t.Errorf("phase of a pod without free GPUs: %s, want Pending", pod.Status.Phase)
	}
	if message := condition(pod, corev1.PodScheduled).Message; !strings.Contains(message, "Insufficient nvidia.com/gpu") {
		t.Errorf("the scheduler says %q, want it to name the GPUs", message)
	}
}

func TestNodesShowTheirGPUs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 8)
	list, err := c.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: LabelGPUProduct + "=" + c.product})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("%d nodes of product %s, want 2", len(list.Items), c.product)
	}
	for _, node := range list.Items {
		if !schedulable(&node) {
			t.Errorf("node %s is not Ready", node.Name)
		}
		if gpus := node.Status.Allocatable[ResourceGPU]; gpus.Value() != 8 {
			t.Errorf("node %s has %s GPUs, want 8", node.Name, gpus.String())
		}
	}
}

func TestPodAddressesAreLoopbackAndDistinct(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 8)
	prefix := netip.MustParsePrefix(c.cp.PodCIDR)
	seen := map[netip.Addr]string{}
	for _, name := range []string{"a", "b", "c"} {
		c.createPod(name, 1, 0, nil)
		ip, err := netip.ParseAddr(c.waitPod(name, "Ready", ready).Status.PodIP)
		if err != nil {
			t.Fatal(err)
		}
		if !ip.IsLoopback() || !prefix.Contains(ip) {
			t.Errorf("pod %s has address %s, want one of %s", name, ip, prefix)
		}
		if other, ok := seen[ip]; ok {
			t.Errorf("pods %s and %s share the address %s", name, other, ip)
		}
		seen[ip] = name
	}
}

func TestReadyDelay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 2)
	const delay = 4 * time.Second
	slow := c.follow("slow")
	c.createPod("slow", 2, 0, map[string]string{AnnotationReadyAfterSeconds: Seconds(delay)})
	pod := slow.first("Running", func(_ watch.EventType, p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if ready(pod) || pod.Status.PodIP == "" {
		t.Errorf("a pod that loads its model: Ready %t, address %q; want not Ready, with an address", ready(pod), pod.Status.PodIP)
	}
	pod = slow.first("Ready", func(_ watch.EventType, p *corev1.Pod) bool { return ready(p) })
	// The API keeps times in whole seconds, cut off.
	if took := condition(pod, corev1.PodReady).LastTransitionTime.Sub(pod.Status.StartTime.Time); took < delay-time.Second {
		t.Errorf("Ready %s after its start, want not before %s", took, delay)
	}
}

func TestStartFailure(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 2)
	c.createPod("broken", 2, 0, map[string]string{AnnotationStartFailure: "CrashLoopBackOff"})
	pod := c.waitPod("broken", "CrashLoopBackOff", func(p *corev1.Pod) bool {
		return p != nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil
	})
	if reason := pod.Status.ContainerStatuses[0].State.Waiting.Reason; reason != "CrashLoopBackOff" || ready(pod) {
		t.Errorf("container waits with reason %q, pod Ready %t; want CrashLoopBackOff, not Ready", reason, ready(pod))
	}
	// It holds its GPUs although it serves nothing.
	c.createPod("next", 2, 0, nil)
	c.waitPod("next", "unschedulable", unschedulable)
}

func TestTerminatingPodHoldsItsGPUs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 2)
	const drain = 5 * time.Second
	old := c.follow("old")
	c.createPod("old", 2, 60, map[string]string{AnnotationGoneAfterSeconds: Seconds(drain)})
	c.waitPod("old", "Ready", ready)
	c.createPod("new", 2, 0, nil)
	c.waitPod("new", "unschedulable", unschedulable)

	deleted := time.Now()
	if err := c.kube.CoreV1().Pods(c.namespace).Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.waitPod("old", "gone", gone)
	freed := time.Now()
	if took := freed.Sub(deleted); took < drain-100*time.Millisecond {
		t.Errorf("the pod was gone %s after its deletion, want %s", took, drain)
	}
	old.first("terminating, and still there", func(event watch.EventType, p *corev1.Pod) bool {
		return event == watch.Modified && p.DeletionTimestamp != nil
	})
	pod := c.waitPod("new", "scheduled", func(p *corev1.Pod) bool {
		return condition(p, corev1.PodScheduled).Status == corev1.ConditionTrue
	})
	// The API keeps times in whole seconds, cut off.
	if at := condition(pod, corev1.PodScheduled).LastTransitionTime.Time; at.Before(deleted.Add(drain - 1100*time.Millisecond)) {
		t.Errorf("the next pod got the GPUs at %s, before the old one was gone at %s", at, freed)
	}
}

func TestGracePeriodLimitsTermination(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	c.createPod("stubborn", 1, 1, map[string]string{AnnotationGoneAfterSeconds: Seconds(time.Hour)})
	c.waitPod("stubborn", "Ready", ready)
	deleted := time.Now()
	if err := c.kube.CoreV1().Pods(c.namespace).Delete(t.Context(), "stubborn", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.waitPod("stubborn", "gone", gone)
	if took := time.Since(deleted); took < 900*time.Millisecond {
		t.Errorf("gone after %s, want the whole grace period of 1 s", took)
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0", 1500 * time.Millisecond: "1.5", 2 * time.Minute: "120"} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%s) = %q, want %q", d, got, want)
		}
	}
}
