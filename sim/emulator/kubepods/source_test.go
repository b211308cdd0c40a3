package kubepods

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator"
)

func object(namespace, name string, labels map[string]string, gpus ...int64) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node-a", Containers: []corev1.Container{{Name: "sidecar"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.244.0.9",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, n := range gpus {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "engine", Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{resourceGPU: *resource.NewQuantity(n, resource.DecimalSI)}}})
	}
	return p
}

func of(group, role string) map[string]string {
	return map[string]string{labelGroup: group, labelRole: role}
}

func follow(t *testing.T, client *fake.Clientset) *Source {
	t.Helper()
	// The tracker keeps no events for a watch that begins after its list: what changes in between would never be heard of.
	watching := make(chan struct{}, 2)
	client.PrependWatchReactor("pods", func(a clienttesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(a.GetResource(), a.GetNamespace())
		watching <- struct{}{}
		return true, w, err
	})
	s, err := Watch(t.Context(), client, Options{Namespace: "default", Group: "dynamo-pd"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for range cap(watching) { // the workers and the exporters
		<-watching
	}
	return s
}

// want waits until the source shows the given pods.
func want(t *testing.T, s *Source, pods ...emulator.Pod) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		got := s.Pods()
		slices.SortFunc(got, func(a, b emulator.Pod) int { return strings.Compare(a.Name, b.Name) })
		diff := cmp.Diff(pods, got)
		if diff == "" {
			return
		}
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatal(diff)
		}
	}
}

func TestPodsOfTheGroupAndTheExportersAreSeen(t *testing.T) {
	failed := object("default", "failed", of("dynamo-pd", "decode"))
	failed.Status.Phase = corev1.PodFailed
	starting := object("default", "starting", of("dynamo-pd", "decode"), 1, 1)
	starting.Status.Conditions[0].Status = corev1.ConditionFalse
	starting.Status.PodIP = ""
	client := fake.NewClientset(
		object("default", "front", of("dynamo-pd", "processor")),
		object("default", "prefill", of("dynamo-pd", "prefill"), 2),
		starting, failed,
		object("default", "other-group", of("other", "prefill"), 2),
		object("default", "other-role", of("dynamo-pd", "cache")),
		object("else", "other-namespace", of("dynamo-pd", "prefill"), 2),
		object("gpu-operator", "dcgm", map[string]string{"app": "nvidia-dcgm-exporter"}),
		object("gpu-operator", "operator", map[string]string{"app": "gpu-operator"}),
	)
	s := follow(t, client)
	base := func(namespace, name string, role emulator.Role) emulator.Pod {
		return emulator.Pod{Namespace: namespace, Name: name, UID: "uid-" + name, Role: role, Node: "node-a", IP: "127.244.0.9", Ready: true}
	}
	dcgm, front := base("gpu-operator", "dcgm", emulator.RoleExporter), base("default", "front", emulator.RoleFrontend)
	prefill, start := base("default", "prefill", emulator.RolePrefill), base("default", "starting", emulator.RoleDecode)
	prefill.GPUs, prefill.Container = 2, "engine"
	start.GPUs, start.Container, start.Ready, start.IP = 2, "engine", false, ""
	want(t, s, dcgm, front, prefill, start)

	starting.Status.Conditions[0].Status, starting.Status.PodIP = corev1.ConditionTrue, "127.244.0.10"
	update(t, client, starting)
	start.Ready, start.IP = true, "127.244.0.10"
	want(t, s, dcgm, front, prefill, start)

	ends := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	starting.DeletionTimestamp = &metav1.Time{Time: ends}
	update(t, client, starting)
	start.Terminating, start.EndsBy = true, ends
	want(t, s, dcgm, front, prefill, start)

	if err := client.CoreV1().Pods("default").Delete(t.Context(), "starting", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want(t, s, dcgm, front, prefill)
}

func update(t *testing.T, client *fake.Clientset, p *corev1.Pod) {
	t.Helper()
	if _, err := client.CoreV1().Pods(p.Namespace).Update(t.Context(), p.DeepCopy(), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWatchEndsWithItsContextAndRefusesAnEmptyTarget(t *testing.T) {
	if _, err := Watch(t.Context(), fake.NewClientset(), Options{Namespace: "default"}); err == nil || !strings.Contains(err.Error(), "Group") {
		t.Errorf("without a group: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Watch(ctx, fake.NewClientset(), Options{Namespace: "default", Group: "g"}); err == nil {
		t.Error("a watch that could not list was returned")
	}
}
