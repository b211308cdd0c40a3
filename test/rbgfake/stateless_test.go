package rbgfake

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestRank(t *testing.T) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	instance := func(name string, components int, ready bool, cost string, age time.Duration) *unstructured.Unstructured {
		u := newObject(KindInstance, "ns", name)
		u.SetCreationTimestamp(metav1.NewTime(made.Add(-age)))
		u.SetAnnotations(map[string]string{AnnotationDeletionCost: cost})
		status := "False"
		if ready {
			status = "True"
		}
		u.Object["status"] = map[string]any{
			"componentStatuses": make([]any, components),
			"conditions":        []any{map[string]any{"type": conditionInstanceReady, "status": status}},
		}
		return u
	}
	p := &setPass{instances: []*unstructured.Unstructured{
		instance("oldest", 1, true, "0", 3*time.Hour),
		instance("newer", 1, true, "", 2*time.Hour),
		instance("newest, dear", 1, true, "10", time.Hour),
		instance("cheap", 1, true, "-1", 9*time.Hour),
		instance("not ready, dear", 1, false, "100", 9*time.Hour),
		instance("without pods", 0, false, "1000", 9*time.Hour),
	}}
	p.rank()
	var got []string
	for _, instance := range p.instances {
		got = append(got, instance.GetName())
	}
	if diff := cmp.Diff([]string{"without pods", "not ready, dear", "cheap", "newer", "oldest", "newest, dear"}, got); diff != "" {
		t.Errorf("order in which they go (-want +got):\n%s", diff)
	}
}

func TestDeletionCost(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "5": 5, "-5": -5, "0": 0, "+5": 0, "05": 0, " 5": 0, "5.0": 0, "2147483647": 2147483647, "2147483648": 0, "x": 0,
	} {
		u := newObject(KindInstance, "ns", "a")
		u.SetAnnotations(map[string]string{AnnotationDeletionCost: text})
		if got := deletionCost(u); got != want {
			t.Errorf("cost %q counts as %d, want %d", text, got, want)
		}
	}
}
