package workload

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Some kinds are looked at where a cluster has them: queues, other autoscalers.
// One that is not served is not asked for again for a while, since every such
// question makes the RESTMapper read the API server's whole discovery.

// getOptional reads one object; false where it, or its kind, is not there or
// may not be read.
func (w *Workload) getOptional(ctx context.Context, now time.Time, key client.ObjectKey, u *unstructured.Unstructured) (bool, error) {
	return w.optionally(u.GroupVersionKind(), now, func() error { return w.live.Get(ctx, key, u) })
}

// listOptional lists the objects of a namespace, in the same way.
func (w *Workload) listOptional(ctx context.Context, now time.Time, namespace string, list *unstructured.UnstructuredList) (bool, error) {
	return w.optionally(list.GroupVersionKind(), now, func() error { return w.live.List(ctx, list, client.InNamespace(namespace)) })
}

func (w *Workload) optionally(kind schema.GroupVersionKind, now time.Time, read func() error) (bool, error) {
	w.mu.Lock()
	since, absent := w.absent[kind]
	w.mu.Unlock()
	if absent && now.Sub(since) < servedAge && !now.Before(since) {
		return false, nil
	}
	err := read()
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && missesKind(err) {
		w.mu.Lock()
		w.absent[kind] = now
		w.mu.Unlock()
		return false, nil
	}
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return false, nil
	}
	return err == nil, err
}
