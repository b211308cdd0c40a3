package workload

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gpuProductLabel is the type of GPU as the GPU feature discovery labels nodes.
const gpuProductLabel = "nvidia.com/gpu.product"

// permissionAge is how long an answer about permissions is believed.
const permissionAge = 5 * time.Minute

// permission remembers whether nodes and all pods may be read. It must be asked
// for: a cache without permission does not fail, it waits for ever.
type permission struct {
	allowed bool
	asked   time.Time
}

// mayReadNodes reports whether nodes, and pods of all namespaces, may be listed and watched.
func (w *Workload) mayReadNodes(ctx context.Context, now time.Time) (bool, error) {
	w.mu.Lock()
	known := w.nodes
	w.mu.Unlock()
	if !known.asked.IsZero() && now.Sub(known.asked) < permissionAge && !now.Before(known.asked) {
		return known.allowed, nil
	}
	allowed := true
	for _, resource := range []string{"nodes", "pods"} {
		for _, verb := range []string{"list", "watch"} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource},
			}}
			if err := w.writer.Create(ctx, review); err != nil && !apierrors.IsForbidden(err) {
				return false, fmt.Errorf("ask whether %s may be read: %w", resource, err)
			}
			allowed = allowed && review.Status.Allowed
		}
	}
	w.mu.Lock()
	w.nodes = permission{allowed, now}
	w.mu.Unlock()
	return allowed, nil
}

// nodeView is what the nodes say.
type nodeView struct {
	free    map[string]int    // GPUs that no pod has claimed, of nodes where the service may run
	product map[string]string // type of GPU, of every node that names it
}

// readNodes counts the free GPUs of the nodes that one of the shapes may run on.
// It is nil where nodes may not be read.
func (w *Workload) readNodes(ctx context.Context, now time.Time, shapes []shape) (*nodeView, error) {
	allowed, err := w.mayReadNodes(ctx, now)
	if err != nil || !allowed {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := w.reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var pods corev1.PodList
	if err := w.reader.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the pods of all namespaces: %w", err)
	}
	claimed := map[string]int{}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Spec.NodeName != "" && !finished(pod) {
			claimed[pod.Spec.NodeName] += gpusOf(&pod.Spec)
		}
	}
	view := &nodeView{free: map[string]int{}, product: map[string]string{}}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if product := node.Labels[gpuProductLabel]; product != "" {
			view.product[node.Name] = product
		}
		quantity, ok := node.Status.Allocatable[GPUResource]
		if !ok || !takesPods(node) || !suits(node, shapes) {
			continue
		}
		view.free[node.Name] = max(0, int(quantity.Value())-claimed[node.Name])
	}
	return view, nil
}

// takesPods reports whether a node is ready and not cordoned. Taints of the
// cluster's own making, which no service tolerates, rule a node out; others,
// such as those that keep GPU nodes for GPU pods, do not.
func takesPods(node *corev1.Node) bool {
	if node.Spec.Unschedulable || node.DeletionTimestamp != nil {
		return false
	}
	for _, taint := range node.Spec.Taints {
		if strings.HasPrefix(taint.Key, "node.kubernetes.io/") && taint.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// suits reports whether one of the shapes' node selectors matches the node.
func suits(node *corev1.Node, shapes []shape) bool {
	for _, s := range shapes {
		if s.gpus > 0 && labels.SelectorFromSet(s.nodeSelector).Matches(labels.Set(node.Labels)) {
			return true
		}
	}
	return false
}

// productOf is the type of GPU of a role: that of the nodes of its pods, else
// what its template selects, else that of all nodes where they agree.
func (v *nodeView) productOf(nodes []string, s shape) string {
	if v != nil {
		for _, node := range nodes {
			if product := v.product[node]; product != "" {
				return product
			}
		}
	}
	if product := s.nodeSelector[gpuProductLabel]; product != "" || v == nil {
		return product
	}
	only := ""
	for node := range v.free {
		product := v.product[node]
		if product == "" || only != "" && only != product {
			return ""
		}
		only = product
	}
	return only
}
