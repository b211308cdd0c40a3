package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Annotations by which a role without identities takes the cheapest replica
// first: RBG's on the RoleInstance, Kubernetes' own on the pod of a ReplicaSet.
const (
	instanceCostAnnotation = "controller.kubernetes.io/instance-deletion-cost"
	podCostAnnotation      = corev1.PodDeletionCost
)

const roleInstanceKind = "RoleInstance"

// Victims names the replicas that go when a role goes down by n: the last of
// its order of removal.
func Victims(p *planner.Pool, n int) []string {
	var names []string
	for i := len(p.Replicas) - 1; i >= 0 && len(names) < n; i-- {
		if p.Replicas[i].State != planner.Terminating {
			names = append(names, p.Replicas[i].Name)
		}
	}
	return names
}

// OrderByLoad puts the replicas of a role without identities into the order in
// which they are to go: those in first, then those that are not ready, then the
// least loaded. A replica whose load is not known is taken for the most loaded.
// What is decided for the order is then carried out by Choose.
func OrderByLoad(p *planner.Pool, first []string, load map[string]float64) {
	rank := func(r *planner.Replica) int {
		switch {
		case r.State == planner.Terminating:
			return 3
		case slices.Contains(first, r.Name):
			return 2
		case r.State == planner.Starting:
			return 1
		}
		return 0
	}
	of := func(r *planner.Replica) float64 {
		if l, known := load[r.Name]; known && rank(r) == 0 {
			return l
		}
		return math.Inf(1)
	}
	slices.SortStableFunc(p.Replicas, func(a, b planner.Replica) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), -cmp.Compare(of(&a), of(&b)))
	})
}

// Choose makes the named replicas of a role without identities the first to go,
// with one write for each that is not yet: their deletion cost becomes lower
// than that of all others. Of a role with identities the highest ordinals go,
// and nothing is written.
func (w *Workload) Choose(ctx context.Context, t Target, role planner.Role, victims []string) error {
	candidates, annotation, err := w.candidates(ctx, t, role)
	if err != nil {
		return err
	}
	least := int64(0)
	found := false
	for i := range candidates {
		if c := &candidates[i]; !slices.Contains(victims, c.replica) {
			if cost := costOf(c.annotations, annotation); !found || cost < least {
				least, found = cost, true
			}
		}
	}
	if !found {
		return nil // none would stay, or none can be chosen
	}
	for i := range candidates {
		c := &candidates[i]
		if !slices.Contains(victims, c.replica) || costOf(c.annotations, annotation) < least {
			continue
		}
		if least == math.MinInt32 {
			return fmt.Errorf("%s %s cannot be chosen to go: another replica has the lowest cost there is in %s", c.kind.Kind, c.key, annotation)
		}
		if err := w.annotate(ctx, c, annotation, strconv.FormatInt(least-1, 10)); err != nil {
			return err
		}
	}
	return nil
}

// candidate is an object whose deletion cost decides.
type candidate struct {
	kind        schema.GroupVersionKind
	key         client.ObjectKey
	uid         types.UID
	replica     string
	annotations map[string]string
}

// candidates lists the objects of a role that may be chosen from; none where
// the role has identities, or goes in an order that cannot be changed.
func (w *Workload) candidates(ctx context.Context, t Target, role planner.Role) ([]candidate, string, error) {
	name := t.RoleName(role)
	if t.Scales != nil {
		if ref := t.Scales[role]; ref.gvk().GroupKind() != deploymentKind && ref.gvk().GroupKind() != replicaSetKind {
			return nil, "", nil
		}
		return w.state(t).podsOf(role), podCostAnnotation, nil
	}
	g, err := w.readGroup(ctx, t, w.clock())
	if err != nil {
		return nil, "", err
	}
	r := g.role(name)
	switch {
	case r == nil || !g.stateless(r):
		return nil, "", nil
	case g.workloadKind(r).GroupKind() == deploymentKind:
		return w.state(t).podsOf(role), podCostAnnotation, nil
	case g.workloadKind(r) != g.kinds.of("RoleInstanceSet"):
		return nil, "", nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(g.kinds.of(roleInstanceKind + "List"))
	err = w.live.List(ctx, list, client.InNamespace(t.Namespace), client.MatchingLabels{groupLabels[0]: g.Name, roleLabels[0]: name})
	if err != nil {
		return nil, "", fmt.Errorf("list the RoleInstances of role %s of %s: %w", name, g.what(), err)
	}
	var all []candidate
	for i := range list.Items {
		u := &list.Items[i]
		if u.GetDeletionTimestamp() == nil {
			all = append(all, candidate{g.kinds.of(roleInstanceKind), client.ObjectKeyFromObject(u), u.GetUID(), u.GetName(), u.GetAnnotations()})
		}
	}
	return all, instanceCostAnnotation, nil
}

// podsOf returns the pods of a role that the last observation saw.
func (s *state) podsOf(role planner.Role) []candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pods[role]
}

// candidates of a role are its pods that are not on their way out.
func (v *roleView) candidates() []candidate {
	var all []candidate
	for i := range v.replicas {
		for _, pod := range v.replicas[i].pods {
			if !pod.leaving {
				all = append(all, candidate{corev1.SchemeGroupVersion.WithKind("Pod"), client.ObjectKeyFromObject(pod.Pod), pod.UID, pod.instance, pod.Annotations})
			}
		}
	}
	return all
}

// costOf reads a deletion cost as RBG and Kubernetes do: what is no number of 32
// bits in its plain form counts as 0.
func costOf(annotations map[string]string, key string) int64 {
	text := annotations[key]
	cost, err := strconv.ParseInt(text, 10, 32)
	if err != nil || strconv.FormatInt(cost, 10) != text {
		return 0
	}
	return cost
}

// podDeletionCost of a replica is the least of its pods'.
func (r *replica) podDeletionCost() int {
	least := costOf(r.pods[0].Annotations, podCostAnnotation)
	for _, pod := range r.pods[1:] {
		least = min(least, costOf(pod.Annotations, podCostAnnotation))
	}
	return int(least)
}

// annotate writes one annotation of one object, if it is still the same object.
func (w *Workload) annotate(ctx context.Context, c *candidate, key, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": c.uid, "annotations": map[string]any{key: value}}})
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(c.kind)
	u.SetNamespace(c.key.Namespace)
	u.SetName(c.key.Name)
	if err := w.writer.Patch(ctx, u, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("write %s of %s %s: %w", key, c.kind.Kind, c.key, err)
	}
	return nil
}
