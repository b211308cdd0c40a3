package gpuwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// Watcher follows the pods of one namespace until Stop.
type Watcher struct {
	// Ledger has counted every event so far.
	Ledger *Ledger

	client    kubernetes.Interface
	namespace string
	roleLabel string
	out       *json.Encoder
	now       func() time.Time

	cancel context.CancelFunc
	done   chan struct{}
	err    error // why events were missed; read only after done
}

// Watch begins to follow the pods of a namespace. Pods are counted under the value of their roleLabel. Each event is written
// to out as one line of JSON. It returns once what is there has been listed; from then on no event is missed, or Stop says so.
func Watch(ctx context.Context, client kubernetes.Interface, namespace, roleLabel string, out io.Writer) (*Watcher, error) {
	w := &Watcher{
		Ledger: NewLedger(), client: client, namespace: namespace, roleLabel: roleLabel,
		out: json.NewEncoder(out), now: time.Now, done: make(chan struct{}),
	}
	list, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the pods of namespace %s: %w", namespace, err)
	}
	for i := range list.Items {
		if err := w.add(Listed, &list.Items[i]); err != nil {
			return nil, err
		}
	}
	ctx, w.cancel = context.WithCancel(ctx)
	// A RetryWatcher takes a watch that was cut off up again after the last event it gave.
	events, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.CoreV1().Pods(namespace).Watch(ctx, o)
		},
	})
	if err != nil {
		w.cancel()
		return nil, fmt.Errorf("watch the pods of namespace %s: %w", namespace, err)
	}
	go w.follow(ctx, events)
	return w, nil
}

// Stop ends the watch. An error says that the history has a hole: what was counted proves nothing then.
func (w *Watcher) Stop() error {
	w.cancel()
	<-w.done
	return w.err
}

func (w *Watcher) follow(ctx context.Context, events *watchtools.RetryWatcher) {
	defer close(w.done)
	for event := range events.ResultChan() {
		if w.err != nil {
			continue
		}
		switch object := event.Object.(type) {
		case *corev1.Pod:
			if event.Type != watch.Bookmark {
				w.err = w.add(string(event.Type), object)
			}
		default:
			w.err = fmt.Errorf("the watch of pods in namespace %s was broken off and events were missed: %w",
				w.namespace, apierrors.FromObject(event.Object))
		}
	}
	if w.err == nil && ctx.Err() == nil {
		w.err = fmt.Errorf("the watch of pods in namespace %s ended by itself: later events were missed", w.namespace)
	}
}

func (w *Watcher) add(eventType string, pod *corev1.Pod) error {
	if err := w.out.Encode(w.Ledger.Add(EventOf(eventType, pod, w.roleLabel, w.now()))); err != nil {
		return fmt.Errorf("write the event of pod %s: %w", pod.Name, err)
	}
	return nil
}

// Check lists the pods once more and compares: both ways of asking must give the same GPUs. It waits until the watch has
// caught up with the list, at most until the context ends.
func (w *Watcher) Check(ctx context.Context) error {
	for {
		list, err := w.client.CoreV1().Pods(w.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("list the pods of namespace %s: %w", w.namespace, err)
		}
		listed := 0
		for i := range list.Items {
			if stateOf("", &list.Items[i]).Holds() {
				listed += gpusOf(&list.Items[i])
			}
		}
		counted := w.Ledger.Totals(w.now()).Held
		if listed == counted {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a list of the pods of namespace %s shows %d GPUs and the watch has counted %d", w.namespace, listed, counted)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
