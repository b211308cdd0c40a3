package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

func recordOf(n int) planner.Record {
	return planner.Record{Version: planner.RecordVersion, Input: planner.Input{Now: start.Add(time.Duration(n) * time.Microsecond)}, Decision: planner.Decision{Summary: fmt.Sprint(n)}}
}

// The last records come out as they went in, oldest first.
func TestRing(t *testing.T) {
	r := newRing(4)
	want := func(of, first, n int) {
		t.Helper()
		var records []planner.Record
		for i := range n {
			records = append(records, recordOf(first+i))
		}
		if diff := cmp.Diff(records, r.last(of)); diff != "" && n+len(r.last(of)) > 0 {
			t.Errorf("the last %d (-want +got):\n%s", of, diff)
		}
	}
	want(3, 0, 0)
	for n := range 10 {
		r.add(recordOf(n))
	}
	want(100, 6, 4)
	want(2, 8, 2)
}

// Many services share the memory for records: each keeps fewer, and no fewer than are worth having.
func TestRecordsOfAllAreBounded(t *testing.T) {
	s := newStore()
	add := func(name string) *ring {
		svc := &service{key: types.NamespacedName{Name: name}, records: newRing(20)}
		s.put(svc)
		return svc.records
	}
	r := add("first")
	for n := range 20 {
		r.add(recordOf(n))
	}
	held := func(first, n int) {
		t.Helper()
		got := r.last(100)
		if len(got) != n || got[0].Decision.Summary != fmt.Sprint(first) {
			t.Fatalf("%d records are kept, the oldest is %s, want %d from %d on", len(got), got[0].Decision.Summary, n, first)
		}
		bytes := 0
		for _, data := range r.packed {
			bytes += len(data)
		}
		if bytes != r.bytes || n > fewestRecords && bytes > r.share {
			t.Fatalf("%d bytes are kept and %d counted, %d are this service's", bytes, r.bytes, r.share)
		}
	}
	held(0, 20)
	one := r.bytes / 20
	for i := 0; recordBytesInAll/len(s.services) >= 11*one; i++ {
		add(fmt.Sprint(i))
	}
	if n := len(r.packed); n < 9 || n > 11 {
		t.Fatalf("%d records of some %d bytes are kept in %d", n, one, r.share)
	}
	held(20-len(r.packed), len(r.packed))
	r.limit(1)
	held(16, 4)
	r.add(recordOf(20))
	held(17, 4)
	s.take(types.NamespacedName{Name: "0"})
	if want := recordBytesInAll / len(s.services); r.share != want {
		t.Errorf("when one has gone, a service has %d bytes for its records, want %d", r.share, want)
	}
}

// What the cache leaves out of a pod is nothing that an observation shows.
func TestSlimPod(t *testing.T) {
	gpus := corev1.ResourceRequirements{Limits: corev1.ResourceList{workload.GPUResource: resource.MustParse("2")}}
	full := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d", corev1.LastAppliedConfigAnnotation: "{}"}},
		Spec: corev1.PodSpec{NodeName: "n", Volumes: []corev1.Volume{{Name: "v"}}, SchedulingGates: []corev1.PodSchedulingGate{{Name: "g"}}, PriorityClassName: "high",
			Tolerations: []corev1.Toleration{{Key: "dedicated", Value: "llm", Effect: corev1.TaintEffectNoSchedule},
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))}},
			Containers:     []corev1.Container{{Name: "x", Image: "i", Resources: gpus, Env: []corev1.EnvVar{{Name: "e"}}}},
			InitContainers: []corev1.Container{{Name: "y", Command: []string{"z"}, Resources: gpus, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.244.0.1", Conditions: []corev1.PodCondition{{Type: corev1.PodReady}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "x", RestartCount: 3, ImageID: "i"}}},
	}
	want := full.DeepCopy()
	delete(want.Annotations, corev1.LastAppliedConfigAnnotation)
	want.Spec.Volumes, want.Spec.Containers[0].Image, want.Spec.Containers[0].Env, want.Spec.InitContainers[0].Command = nil, "", nil, nil
	want.Spec.Tolerations = want.Spec.Tolerations[:1]
	want.Status.ContainerStatuses[0].ImageID = ""
	slim, err := slimPod(full)
	if diff := cmp.Diff(want, slim); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
