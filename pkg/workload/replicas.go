package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// member is one pod of the group that holds, or will hold, GPUs.
type member struct {
	*corev1.Pod
	role     string // name of the role in the group
	instance string
	// leaving: the pod is on its way out.
	leaving bool
	// claimed are the GPUs that it takes by resource claims.
	claimed int
}

// gpus are all that the pod holds.
func (m *member) gpus() int { return gpusOf(&m.Spec) + m.claimed }

// members lists the group's pods. The second result counts, per role, the pods
// that carry the labels and belong to something else.
func (w *Workload) members(ctx context.Context, g *group, state *state) ([]member, map[string]int, error) {
	var all []member
	foreigners := map[string]int{}
	seen := map[types.UID]bool{}
	next := ownerMemory{}
	for generation, key := range groupLabels {
		var pods corev1.PodList
		err := w.podReader(state).List(ctx, &pods, client.InNamespace(g.Namespace), client.MatchingLabels{key: g.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil, nil, fmt.Errorf("list the pods of %s: %w", g.what(), err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			role := pod.Labels[roleLabels[generation]]
			if role == "" || seen[pod.UID] || finished(pod) {
				continue
			}
			seen[pod.UID] = true
			belongs, err := w.belongs(ctx, pod, g.UID, ours, state.owners[g.UID], next)
			if err != nil {
				return nil, nil, err
			}
			if belongs == foreign {
				foreigners[role]++
				continue
			}
			all = append(all, member{
				Pod:      pod,
				role:     role,
				instance: instanceName(pod),
				leaving:  pod.DeletionTimestamp != nil || belongs == orphaned,
			})
		}
	}
	state.owners = map[types.UID]ownerMemory{g.UID: next}
	sortMembers(all)
	return all, foreigners, nil
}

func sortMembers(all []member) {
	slices.SortFunc(all, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
}

// finished reports whether a pod has ended and let go of its GPUs.
func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// replica is the pods of one role instance.
type replica struct {
	name string
	pods []member
}

// groupReplicas gathers the pods of one role into replicas.
func groupReplicas(pods []member) []replica {
	// An instance may be made again under its old name while pods of the old
	// one still terminate: the owner's UID keeps them apart. The pods of one
	// LeaderWorkerSet group have different owners, and share their name.
	type key struct {
		name  string
		owner types.UID
	}
	index := map[key]int{}
	var replicas []replica
	for _, pod := range pods {
		k := key{name: pod.instance}
		if ref := controllerOf(pod.OwnerReferences); ref != nil && pod.Labels[lwsNameLabel] == "" {
			k.owner = ref.UID
		}
		i, ok := index[k]
		if !ok {
			i = len(replicas)
			index[k] = i
			replicas = append(replicas, replica{name: pod.instance})
		}
		replicas[i].pods = append(replicas[i].pods, pod)
	}
	return replicas
}

// observe turns the pods of a replica into the planner's view of it. want is
// the shape that the role's template gives, desired the role's count.
func (r *replica) observe(want shape, rollout bool, desired int) planner.Replica {
	out := planner.Replica{Name: r.name, State: r.state(want, rollout, desired), Node: r.pods[0].Spec.NodeName}
	for i, pod := range r.pods {
		out.GPUs += pod.gpus()
		if pod.Spec.NodeName != r.pods[0].Spec.NodeName {
			out.Node = "" // it spans nodes
		}
		if reason := unschedulable(pod.Pod); reason != "" && out.Unschedulable == "" {
			out.Unschedulable = reason
		}
		since := r.since(&r.pods[i], out.State)
		if i == 0 || out.State != planner.Terminating && since.After(out.Since) || out.State == planner.Terminating && since.Before(out.Since) {
			out.Since = since
		}
	}
	if out.State == planner.Starting && len(r.pods) < want.pods && !rollout {
		out.GPUs = max(out.GPUs, want.gpus) // its other pods are still to come
	}
	return out
}

// state is where a replica is in its life. One pod that is not ready, or a pod
// that is missing, makes the whole replica not ready.
func (r *replica) state(want shape, rollout bool, desired int) planner.ReplicaState {
	leaving, ready := 0, 0
	for _, pod := range r.pods {
		switch {
		case pod.leaving:
			leaving++
		case podReady(pod.Pod):
			ready++
		}
	}
	switch {
	case leaving == len(r.pods) && !r.comesBack(desired):
		return planner.Terminating
	case leaving > 0 || ready < len(r.pods):
		return planner.Starting
	case len(r.pods) < want.pods && !rollout: // while a new revision is rolled out, old replicas may have another size
		return planner.Starting
	}
	return planner.Ready
}

// comesBack reports whether pods that terminate will be made again under the
// same identity, and cannot before these are gone: a StatefulSet never runs two
// pods of one name. Counting their GPUs twice would be wrong. Role instances
// give no such promise (an old pod was seen beside its ready successor).
func (r *replica) comesBack(desired int) bool {
	pod := r.pods[0]
	ref := controllerOf(pod.OwnerReferences)
	n := ordinal(r.name)
	return ref != nil && ref.Kind == "StatefulSet" && pod.Labels[lwsNameLabel] == "" && n >= 0 && n < desired
}

// since is when one pod of a replica entered the replica's state.
func (r *replica) since(pod *member, state planner.ReplicaState) time.Time {
	switch {
	case state == planner.Ready:
		return readySince(pod.Pod)
	case state == planner.Terminating && pod.DeletionTimestamp != nil:
		return leavingSince(pod.Pod)
	}
	// Not ready since it was made, or since it stopped being ready or began to go:
	// a pod that fails a probe after a week has not been starting for a week.
	since := pod.CreationTimestamp.Time
	if c := podCondition(pod.Pod, corev1.PodReady); c != nil && c.Status != corev1.ConditionTrue && c.LastTransitionTime.After(since) {
		since = c.LastTransitionTime.Time
	}
	if pod.DeletionTimestamp != nil && leavingSince(pod.Pod).After(since) {
		since = leavingSince(pod.Pod)
	}
	return since
}

// leavingSince is when a pod was asked to go: its deletion timestamp is the end
// of its grace period.
func leavingSince(pod *corev1.Pod) time.Time {
	grace := time.Duration(0)
	if pod.DeletionGracePeriodSeconds != nil {
		grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
	}
	return pod.DeletionTimestamp.Add(-grace)
}

// complete reports whether all pods of the replica are there and none is leaving.
func (r *replica) complete(want shape) bool {
	return len(r.pods) >= want.pods && !slices.ContainsFunc(r.pods, func(m member) bool { return m.leaving })
}

// removalOrder sorts replicas so that the last goes first: those that are
// going already at the end; then, of stateful roles, the highest ordinal; of
// stateless ones, the replicas that are not ready, those of the lowest deletion
// cost, and the newest.
func removalOrder(replicas []planner.Replica, created map[string]time.Time, cost map[string]int, stateless bool) {
	rank := func(r *planner.Replica) int {
		switch {
		case r.State == planner.Terminating:
			return 2
		case stateless && r.State == planner.Starting:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(replicas, func(a, b planner.Replica) int {
		if c := cmp.Compare(rank(&a), rank(&b)); c != 0 {
			return c
		}
		if stateless {
			return cmp.Or(-cmp.Compare(cost[a.Name], cost[b.Name]), created[a.Name].Compare(created[b.Name]), cmp.Compare(a.Name, b.Name))
		}
		return cmp.Or(cmp.Compare(ordinal(a.Name), ordinal(b.Name)), cmp.Compare(a.Name, b.Name))
	})
}

func podReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

func readySince(pod *corev1.Pod) time.Time {
	c := podCondition(pod, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

// unschedulable is the scheduler's reason for not placing a pod, or the gate
// that keeps it from the scheduler; empty when it was placed or was not tried yet.
func unschedulable(pod *corev1.Pod) string {
	c := podCondition(pod, corev1.PodScheduled)
	switch {
	case c == nil || c.Status != corev1.ConditionFalse:
		return ""
	case c.Reason == corev1.PodReasonUnschedulable:
		return c.Message
	case c.Reason == corev1.PodReasonSchedulingGated && len(pod.Spec.SchedulingGates) > 0:
		return "it waits at the scheduling gate " + pod.Spec.SchedulingGates[0].Name
	}
	return ""
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// firstCreated is when the first pod of a replica was made.
func (r *replica) firstCreated() metav1.Time {
	first := r.pods[0].CreationTimestamp
	for _, pod := range r.pods[1:] {
		if pod.CreationTimestamp.Before(&first) {
			first = pod.CreationTimestamp
		}
	}
	return first
}
