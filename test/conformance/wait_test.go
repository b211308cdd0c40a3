package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// news tells when something has changed in a namespace, and keeps every version of every object that was seen.
type news struct {
	stop func()

	mu      sync.Mutex
	waiting []chan struct{}
	history map[string][]unstructured.Unstructured // by kind
	gone    map[string]bool                        // last versions, by kind and version
}

// ended reports whether a version is the one that an object had when it was removed.
func (n *news) ended(kind string, u *unstructured.Unstructured) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone[kind+" "+u.GetResourceVersion()]
}

// watch begins to listen, and returns when it hears. Where a kind is not served there is nothing to hear.
func (t *trial) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	n := &news{history: map[string][]unstructured.Unstructured{}, gone: map[string]bool{}, stop: func() { cancel(); running.Wait() }}
	kinds := []schema.GroupVersionKind{podKind, corev1.SchemeGroupVersion.WithKind("Event"), corev1.SchemeGroupVersion.WithKind("ServiceAccount")}
	for _, gvk := range []schema.GroupVersionKind{rbg(t.api, kindGroup), rbg(t.api, kindAdapter), rbg(t.api, kindInstanceSet), rbg(t.api, kindInstance), statefulSetKind, podGroupKind} {
		if t.serves(gvk) {
			kinds = append(kinds, gvk)
		}
	}
	var deaf sync.WaitGroup
	for _, kind := range kinds {
		deaf.Add(1)
		running.Go(func() { n.listen(ctx, t.client, kind, t.ns, sync.OnceFunc(deaf.Done)) })
	}
	t.news = n
	deaf.Wait()
}

// listen watches one kind until the context ends, anew whenever the server ends it.
func (n *news) listen(ctx context.Context, c client.WithWatch, kind schema.GroupVersionKind, namespace string, hears func()) {
	for failed := 0; ctx.Err() == nil; {
		w, err := c.Watch(ctx, listOf(kind), client.InNamespace(namespace))
		if err != nil {
			if failed++; failed > 5 {
				hears() // it may never be heard of: checks look for themselves at every heartbeat
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second): // the server may be away
			}
			continue
		}
		hears()
		for event := range w.ResultChan() {
			n.note(kind, event)
		}
		w.Stop()
	}
}

func (n *news) note(kind schema.GroupVersionKind, event watch.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if u, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Error {
		n.history[kind.Kind] = append(n.history[kind.Kind], *u)
		if event.Type == watch.Deleted {
			n.gone[kind.Kind+" "+u.GetResourceVersion()] = true
		}
	}
	for _, waiting := range n.waiting {
		close(waiting)
	}
	n.waiting = nil
}

// next is closed at the next change.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting := make(chan struct{})
	n.waiting = append(n.waiting, waiting)
	return waiting
}

// seen returns every version of one object, in order.
func (n *news) seen(kind, name string) []unstructured.Unstructured {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []unstructured.Unstructured
	for _, u := range n.history[kind] {
		if u.GetName() == name {
			out = append(out, u)
		}
	}
	return out
}

// seen returns every version of one object, in order, up to the one that is there now: a watch may be behind.
func (t *trial) seen(kind schema.GroupVersionKind, name string) []unstructured.Unstructured {
	t.Helper()
	now := t.read(kind, name)
	var versions []unstructured.Unstructured
	t.eventually("the watch to have caught up with "+kind.Kind+" "+name, func() error {
		if versions = t.news.seen(kind.Kind, name); len(versions) == 0 {
			return errors.New("it has told nothing yet")
		}
		last := &versions[len(versions)-1]
		if now != nil && revision(last) < revision(now) || now == nil && !t.news.ended(kind.Kind, last) {
			return fmt.Errorf("it has told %d versions, the last is %s", len(versions), last.GetResourceVersion())
		}
		return nil
	})
	return versions
}

// revision is where a version of an object lies in the order of all of them.
func revision(u *unstructured.Unstructured) int64 {
	n, _ := strconv.ParseInt(u.GetResourceVersion(), 10, 64)
	return n
}

// heartbeat is how often a check is tried where no change is heard: a watch may be late, and a check may look elsewhere.
const heartbeat = time.Second

// wait tries a check at every change until it passes; at the end of the context the last answer is returned.
func (n *news) wait(ctx context.Context, check func() error) error {
	for {
		changed := n.next()
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-changed:
		case <-time.After(heartbeat):
		}
	}
}

// eventually waits until a check passes and fails the trial where it does not.
func (t *trial) eventually(what string, check func() error) {
	t.Helper()
	if err := t.within(t.timeout, check); err != nil {
		t.Fatalf("waited %s for %s: %v\n%s", t.timeout, what, err, t.describe())
	}
}

// within waits for a check and returns its last answer.
func (t *trial) within(d time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return t.news.wait(ctx, check)
}

// stays makes sure that a check goes on passing, at every change, for as long as a controller might take to break it. It is no
// matter of readiness, which a simulated kubelet and a controller that writes conditions of pods may take turns about.
func (t *trial) stays(what string, check func() error) {
	t.Helper()
	var broken error
	_ = t.within(t.settle, func() error { // waits for the check to break, and is glad when it waits in vain
		broken = check()
		if broken == nil {
			return errStill
		}
		return nil // it is over
	})
	if broken != nil {
		t.Fatalf("%s: %v\n%s", what, broken, t.describe())
	}
}

// settles waits until a check goes on passing, where what was written before may pass it by for a moment.
func (t *trial) settles(what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(t.timeout)
	for {
		t.eventually(what, check)
		err := t.within(t.settle, func() error {
			if check() == nil {
				return errStill
			}
			return nil // it passed for a moment only
		})
		switch {
		case err != nil:
			return
		case time.Now().After(deadline):
			t.Fatalf("waited %s for %s to stay: %v\n%s", t.timeout, what, check(), t.describe())
		}
	}
}

// errStill keeps a wait going while nothing has changed.
var errStill = errors.New("as it was")
