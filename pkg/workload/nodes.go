package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gpuProductLabel is the type of GPU as the GPU feature discovery labels nodes.
const gpuProductLabel = "nvidia.com/gpu.product"

// permissionAge is how long an answer about permissions is believed.
const permissionAge = 5 * time.Minute

// permission remembers whether something may be listed and watched. It must be
// asked for: a cache without permission does not fail, it waits for ever.
type permission struct {
	allowed bool
	asked   time.Time
}

// mayWatch reports whether all of the resources of the core group may be listed
// and watched in all namespaces.
func (w *Workload) mayWatch(ctx context.Context, now time.Time, resources ...string) (bool, error) {
	for _, resource := range resources {
		allowed, err := w.mayWatchOne(ctx, now, resource)
		if err != nil || !allowed {
			return false, err
		}
	}
	return true, nil
}

func (w *Workload) mayWatchOne(ctx context.Context, now time.Time, resource string) (bool, error) {
	w.mu.Lock()
	known := w.may[resource]
	w.mu.Unlock()
	if !known.asked.IsZero() && now.Sub(known.asked) < permissionAge && !now.Before(known.asked) {
		return known.allowed, nil
	}
	allowed := true
	for _, verb := range []string{"list", "watch"} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource},
		}}
		if err := w.writer.Create(ctx, review); err != nil && !apierrors.IsForbidden(err) {
			return false, fmt.Errorf("ask whether %s may be read: %w", resource, err)
		}
		allowed = allowed && review.Status.Allowed
	}
	w.mu.Lock()
	w.may[resource] = permission{allowed, now}
	w.mu.Unlock()
	return allowed, nil
}

// nodeView is what the nodes say.
type nodeView struct {
	free    map[string]int    // GPUs that no pod has, of nodes where the service may run; nil where not known
	product map[string]string // type of GPU, of every node that names it
	nodes   map[string]*corev1.Node
}

// readNodes counts the free GPUs of the nodes that one of the shapes may run on:
// of those that nodes count or, where the service claims its GPUs, of those that
// drivers offer to claims. It is nil where nodes may not be read, and what is
// free is nil where claims may not.
func (w *Workload) readNodes(ctx context.Context, now time.Time, shapes []shape, claims bool) (*nodeView, error) {
	allowed, err := w.mayWatch(ctx, now, "nodes", "pods")
	if err != nil || !allowed {
		return nil, err
	}
	all, err := w.nodes.read(ctx, w.reader, w.clock())
	if err != nil {
		return nil, err
	}
	view := &nodeView{product: all.product, nodes: all.nodes}
	free := all.free
	if claims {
		if free, err = w.freeDevices(ctx, now); err != nil || free == nil {
			return view, err
		}
	}
	view.free = make(map[string]int, len(free))
	for name, n := range free {
		if node := all.nodes[name]; node != nil && takesPods(node) && suits(node, shapes) {
			view.free[name] = n
		}
	}
	return view, nil
}

// allNodes is one look at all nodes and pods of the cluster. It does for all
// services for a while: each would go through thousands of pods for itself.
type allNodes struct {
	mu   sync.Mutex
	does time.Duration // for how long; 0 is once
	at   time.Time
	last *nodeView // of all nodes, whatever may run there; never changed
}

// WithNodesFor lets one look at all nodes and pods do for so long.
func WithNodesFor(d time.Duration) Option { return func(w *Workload) { w.nodes.does = d } }

func (a *allNodes) read(ctx context.Context, reader client.Reader, now time.Time) (*nodeView, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := now.Sub(a.at); a.last != nil && age >= 0 && age < a.does {
		return a.last, nil
	}
	var nodes corev1.NodeList
	if err := reader.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the pods of all namespaces: %w", err)
	}
	claimed := map[string]int{}
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Spec.NodeName != "" && !finished(pod) {
			claimed[pod.Spec.NodeName] += gpusOf(&pod.Spec)
		}
	}
	view := &nodeView{free: map[string]int{}, product: map[string]string{}, nodes: map[string]*corev1.Node{}}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		view.nodes[node.Name] = node
		if product := node.Labels[gpuProductLabel]; product != "" {
			view.product[node.Name] = product
		}
		if quantity, ok := node.Status.Allocatable[GPUResource]; ok {
			view.free[node.Name] = max(0, int(quantity.Value())-claimed[node.Name])
		}
	}
	a.last, a.at = view, now
	return view, nil
}

// takesPods reports whether a node is ready and not cordoned. Taints of the
// cluster's own making say the same, and are tolerated for a while only.
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

// suits reports whether pods of one of the shapes may run on the node.
func suits(node *corev1.Node, shapes []shape) bool {
	return slices.ContainsFunc(shapes, func(s shape) bool { return s.gpus > 0 && s.place.allows(node) })
}

// unfit lists those nodes with free GPUs, or with pods of the service, on which
// pods of a shape cannot run.
func (v *nodeView) unfit(s shape, ofService []string) []string {
	if v == nil || s.gpus == 0 {
		return nil
	}
	var unfit []string
	look := func(name string) {
		// A node that is not in the cache yet is not known to be unfit.
		if node := v.nodes[name]; node != nil && !(takesPods(node) && s.place.allows(node)) {
			unfit = append(unfit, name)
		}
	}
	for _, name := range ofService {
		look(name)
	}
	for name := range v.free {
		look(name)
	}
	slices.Sort(unfit)
	return slices.Compact(unfit)
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
	if product := s.place.nodeSelector[gpuProductLabel]; product != "" || v == nil {
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
