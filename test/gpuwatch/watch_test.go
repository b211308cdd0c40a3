package gpuwatch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// server is an API server whose watches the test plays.
type server struct {
	*fake.Clientset
	// watches gives each watch that was opened, with the resourceVersion that it began after.
	watches chan opened
}

type opened struct {
	*watch.FakeWatcher
	after string
}

func newServer(listed ...corev1.Pod) *server {
	s := &server{Clientset: fake.NewClientset(), watches: make(chan opened, 4)}
	s.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "100"}, Items: listed}, nil
	})
	s.PrependWatchReactor("pods", func(a clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFake()
		s.watches <- opened{w, a.(clienttesting.WatchActionImpl).ListOptions.ResourceVersion}
		return true, w, nil
	})
	return s
}

func gpuPod(name string, version int, gpus int64) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: fmt.Sprint(version), Labels: map[string]string{"role": "decode"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{resourceGPU: *resource.NewQuantity(gpus, resource.DecimalSI)}}}}},
	}
}

// eventually fails the test unless the ledger counts n events within a while.
func eventually(t *testing.T, w *Watcher, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for w.Ledger.Totals(time.Now()).Events != n {
		select {
		case <-ctx.Done():
			t.Fatalf("%d events were counted, want %d", w.Ledger.Totals(time.Now()).Events, n)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestWatchCountsWhatIsThereAndWhatComes(t *testing.T) {
	s := newServer(*gpuPod("a", 90, 2))
	var out bytes.Buffer
	w, err := Watch(t.Context(), s, "default", "role", &out)
	if err != nil {
		t.Fatal(err)
	}
	first := <-s.watches
	if first.after != "100" {
		t.Errorf("the watch begins after %s, want the list's 100", first.after)
	}
	first.Add(gpuPod("b", 101, 4))
	first.Delete(gpuPod("a", 102, 2))
	eventually(t, w, 3)
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	var got []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var e Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s: %d held", e.Type, e.ResourceVersion, e.Pod, e.State, e.Held))
	}
	want := []string{"LISTED 90 a starting: 2 held", "ADDED 101 b starting: 6 held", "DELETED 102 a gone: 4 held"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A connection that was cut is taken up again after the last event, so that none is missed or counted twice.
func TestWatchGoesOnAfterACut(t *testing.T) {
	s := newServer()
	w, err := Watch(t.Context(), s, "default", "role", &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	first := <-s.watches
	first.Add(gpuPod("a", 101, 2))
	eventually(t, w, 1)
	first.Stop()
	second := <-s.watches
	if second.after != "101" {
		t.Errorf("the second watch begins after %s, want 101", second.after)
	}
	second.Add(gpuPod("b", 105, 2))
	eventually(t, w, 2)
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	if held := w.Ledger.Totals(time.Now()).Held; held != 4 {
		t.Errorf("%d GPUs are held, want 4", held)
	}
}

// Where the API server no longer has the events since then, what was counted proves nothing, and Stop says so.
func TestWatchTellsOfAHole(t *testing.T) {
	s := newServer()
	w, err := Watch(t.Context(), s, "default", "role", &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	first := <-s.watches
	first.Error(&metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "too old resource version"})
	<-w.done
	if err := w.Stop(); err == nil || !strings.Contains(err.Error(), "events were missed") {
		t.Errorf("error %v, want one that says that events were missed", err)
	}
}

func TestCheckComparesWithAList(t *testing.T) {
	s := newServer(*gpuPod("a", 90, 2))
	w, err := Watch(t.Context(), s, "default", "role", &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Errorf("the list and the watch agree: %v", err)
	}
	first := <-s.watches
	first.Add(gpuPod("b", 101, 2)) // which the list does not have
	eventually(t, w, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := w.Check(ctx); err == nil {
		t.Error("the list shows 2 GPUs and the watch 4, and nobody says so")
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
}
