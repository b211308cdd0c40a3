package conformance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A trial is one behaviour's corner of the cluster: a namespace of its own, and perhaps GPUs.
type trial struct {
	*testing.T
	*cluster
	api    string
	ns     string
	place  *place // nil where the behaviour needs no GPUs
	news   *news
	result result
	begun  time.Time
	scaled map[string]bool // roles whose adapter was written

	mu sync.Mutex // of result
}

// try runs one behaviour and adds its result to the report.
func (c *cluster) try(t *testing.T, api string, order int, b behaviour, to *report) {
	tr := &trial{T: t, cluster: c, api: api, begun: time.Now(), result: result{API: api, Behaviour: b.name, Fact: b.fact, Verdict: pass, order: order}}
	t.Cleanup(func() {
		switch {
		case t.Failed():
			tr.result.Verdict = fail
		case t.Skipped():
			tr.result.Verdict = skip
		}
		tr.result.Seconds = seconds(time.Since(tr.begun))
		to.add(tr.result)
		if t.Failed() {
			t.Logf("the fact: %s", b.fact)
		}
	})
	var err error
	if tr.ns, err = c.newNamespace(t.Context()); err != nil {
		tr.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(tr.clean)
	tr.watch()
	tr.awaitServiceAccount()
	if b.gpus > 0 {
		if tr.place, err = c.reserve(t.Context(), tr, b.gpus); err != nil {
			tr.skip("%v", err)
		}
		tr.begun = time.Now() // the time until a place was free is not the behaviour's
	}
	b.check(tr)
}

// observed notes what was seen where versions of RBG differ.
func (t *trial) observed(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Observed = append(t.result.Observed, fmt.Sprintf(format, args...))
	t.Logf("observed: "+format, args...)
}

// skip ends the trial because the cluster lacks something.
func (t *trial) skip(format string, args ...any) {
	t.Helper()
	t.why(format, args...)
	t.Skipf(format, args...)
}

// Fatalf ends the trial as failed.
func (t *trial) Fatalf(format string, args ...any) {
	t.Helper()
	t.why(format, args...)
	t.T.Fatalf(format, args...)
}

// Errorf fails the trial, which goes on.
func (t *trial) Errorf(format string, args ...any) {
	t.Helper()
	t.why(format, args...)
	t.T.Errorf(format, args...)
}

// why keeps the first reason for the table.
func (t *trial) why(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.result.Why == "" {
		t.result.Why = fmt.Sprintf(format, args...)
	}
}

// must fails the trial on an error.
func (t *trial) must(what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// awaitServiceAccount waits until pods can be made in the namespace. A cluster without a controller for that has no need of it.
func (t *trial) awaitServiceAccount() {
	patience := t.timeout
	if t.external {
		patience = 10 * time.Second
	}
	t.within(patience, func() error {
		return t.client.Get(t.Context(), client.ObjectKey{Namespace: t.ns, Name: "default"}, &corev1.ServiceAccount{})
	})
}

// clean removes everything, whatever became of the trial, and waits until the pods hold no GPUs any more.
func (t *trial) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	for _, kind := range []string{kindGroup, kindPolicy} {
		if gvk := rbg(t.api, kind); t.serves(gvk) {
			_ = t.client.DeleteAllOf(ctx, object(gvk, t.ns, ""), client.InNamespace(t.ns), client.PropagationPolicy(metav1.DeletePropagationBackground))
		}
	}
	if err := t.client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.ns}}); err != nil && !apierrors.IsNotFound(err) {
		t.Logf("namespace %s could not be removed: %v", t.ns, err)
	}
	// Pods are killed rather than drained, again and again: a controller may still make new ones.
	kill := func() error {
		pods := &corev1.PodList{}
		if err := t.client.List(ctx, pods, client.InNamespace(t.ns)); err != nil || len(pods.Items) == 0 {
			return err
		}
		_ = t.client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(t.ns), client.GracePeriodSeconds(0))
		return fmt.Errorf("%d pods are left", len(pods.Items))
	}
	if err := t.news.wait(ctx, kill); err != nil {
		t.Logf("namespace %s: %v", t.ns, err)
	}
	t.news.stop()
	if t.place != nil {
		t.place.release()
	}
}
