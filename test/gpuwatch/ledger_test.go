package gpuwatch

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func TestLedgerFollowsAMove(t *testing.T) {
	l := NewLedger()
	events := []struct {
		event Event
		held  int
	}{
		{Event{At: at(0), UID: "p0", Role: "prefill", State: Ready, GPUs: 2}, 2},
		{Event{At: at(0), UID: "p1", Role: "prefill", State: Ready, GPUs: 2}, 4},
		{Event{At: at(0), UID: "f", Role: "processor", State: Ready}, 4},
		{Event{At: at(10), UID: "p1", Role: "prefill", State: Terminating, GPUs: 2}, 4},
		{Event{At: at(13), UID: "p1", Role: "prefill", State: Gone, GPUs: 2}, 2},
		{Event{At: at(14), UID: "d0", Role: "decode", State: Starting, GPUs: 2}, 4},
		{Event{At: at(15), UID: "d1", Role: "decode", State: Starting, GPUs: 2}, 6},
		{Event{At: at(15), UID: "d1", Role: "decode", State: Ended, GPUs: 2}, 4},
		{Event{At: at(20), UID: "d1", Role: "decode", State: Gone, GPUs: 2}, 4},
	}
	for i, e := range events {
		if got := l.Add(e.event).Held; got != e.held {
			t.Errorf("after event %d (%s %s) %d GPUs are held, want %d", i, e.event.UID, e.event.State, got, e.held)
		}
	}
	want := Totals{
		Events: 9, Held: 4, Peak: 6, PeakAt: at(15),
		GPUSeconds: 13*4 + 1*2 + 1*4 + 15*4,
		Roles: map[string]Count{
			"prefill":   {Ready: 1, GPUs: 2},
			"decode":    {Starting: 1, GPUs: 2},
			"processor": {Ready: 1},
		},
	}
	if diff := cmp.Diff(want, l.Totals(at(30))); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}

// Whatever happens in whatever order, what is held is the sum over the pods that hold, no peak is missed, and GPU-seconds are
// the area under the steps.
func TestLedgerAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLedger()
		last := map[string]Event{}
		now, held, peak, area := 0.0, 0, 0, 0.0
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			step := rapid.Float64Range(0, 10).Draw(t, "seconds")
			now += step
			area += step * float64(held)
			e := Event{
				At:    at(now),
				UID:   fmt.Sprint("pod-", rapid.IntRange(0, 5).Draw(t, "pod")),
				State: rapid.SampledFrom([]State{Starting, Ready, Terminating, Ended, Gone}).Draw(t, "state"),
				GPUs:  rapid.IntRange(0, 8).Draw(t, "gpus"),
			}
			last[e.UID] = e
			held = 0
			for _, p := range last {
				if p.State.Holds() {
					held += p.GPUs
				}
			}
			peak = max(peak, held)
			if got := l.Add(e).Held; got != held {
				t.Fatalf("%d GPUs are held, want %d", got, held)
			}
		}
		got := l.Totals(at(now))
		if got.Peak != peak || math.Abs(got.GPUSeconds-area) > 1e-3 {
			t.Fatalf("peak %d and %.6f GPU-seconds, want %d and %.6f", got.Peak, got.GPUSeconds, peak, area)
		}
	})
}

func TestEventOf(t *testing.T) {
	gpus := func(n string) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{resourceGPU: resource.MustParse(n)}}}
	}
	deleted := metav1.NewTime(start)
	tests := map[string]struct {
		eventType string
		pod       corev1.Pod
		state     State
		gpus      int
	}{
		"not scheduled": {"ADDED", corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{gpus("2")}}}, Starting, 2},
		"two containers and a smaller init container": {"ADDED", corev1.Pod{Spec: corev1.PodSpec{
			Containers: []corev1.Container{gpus("2"), gpus("1")}, InitContainers: []corev1.Container{gpus("1")}}}, Starting, 3},
		"a larger init container": {"ADDED", corev1.Pod{Spec: corev1.PodSpec{
			Containers: []corev1.Container{gpus("1")}, InitContainers: []corev1.Container{gpus("4")}}}, Starting, 4},
		"ready": {"MODIFIED", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}, Ready, 0},
		"not ready any more": {"MODIFIED", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}}}, Starting, 0},
		"terminating though ready": {"MODIFIED", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &deleted},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}, Terminating, 0},
		"failed": {"MODIFIED", corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, Ended, 0},
		"gone":   {"DELETED", corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &deleted}}, Gone, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.pod.Labels = map[string]string{"role": "decode"}
			e := EventOf(tc.eventType, &tc.pod, "role", start)
			if e.State != tc.state || e.GPUs != tc.gpus || e.Role != "decode" {
				t.Errorf("state %s, %d GPUs, role %q: want %s, %d, %q", e.State, e.GPUs, e.Role, tc.state, tc.gpus, "decode")
			}
		})
	}
}
