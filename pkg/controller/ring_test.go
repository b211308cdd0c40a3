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
	r.limit(3)
	want(100, 7, 3)
	r.add(recordOf(10))
	want(100, 8, 3)
}

// Many services keep fewer records each, and no fewer than are worth having.
func TestRecordsOfAllAreBounded(t *testing.T) {
	for services, want := range map[int]int{1: 64, 64: 64, 128: 32, 512: 8, 2000: 8} {
		s := newStore()
		for i := range services {
			svc := &service{key: types.NamespacedName{Name: fmt.Sprint(i)}, records: newRing(DefaultRecords)}
			s.put(svc)
		}
		for _, svc := range s.services {
			if svc.records.size != want {
				t.Fatalf("of %d services one keeps %d records, want %d", services, svc.records.size, want)
			}
		}
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
