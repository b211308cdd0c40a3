package rbgfake

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// writeStatus reports what the workloads say now, before this pass changes them.
func (r *groupReconciler) writeStatus(ctx context.Context, g *group) (map[string]counts, error) {
	old, _, err := unstructured.NestedSlice(g.obj.Object, "status", "roleStatuses")
	if err != nil {
		return nil, err
	}
	statuses := old
	ready := true
	seen := map[string]counts{}
	for i := range g.roles {
		role := &g.roles[i]
		at, found, err := r.countsOf(ctx, g, role)
		if err != nil {
			return nil, err
		}
		ready = ready && found && role.replicas == at.replicas && at.replicas == at.ready
		if !found {
			continue // no workload yet, no status
		}
		seen[role.name] = at
		statuses = withRoleStatus(statuses, map[string]any{
			"name": role.name, "replicas": at.replicas, "readyReplicas": at.ready, "updatedReplicas": at.updated,
		})
	}
	conditions := readyCondition(g.obj, ready)
	oldConditions, _, _ := unstructured.NestedSlice(g.obj.Object, "status", "conditions")
	fields := map[string]any{"roleStatuses": statuses, "conditions": conditions}
	observed, _ := nestedInt(g.obj.Object, "status", "observedGeneration")
	seenThis := observed == g.obj.GetGeneration()
	if g.api == V1Alpha2 {
		fields["observedGeneration"] = g.obj.GetGeneration()
	} else {
		seenThis = true // v0.6 did not write it
	}
	if seenThis && equality.Semantic.DeepEqual(conditions, oldConditions) && equality.Semantic.DeepEqual(old, statuses) {
		return seen, nil
	}
	return seen, patchStatus(ctx, r.client, g.obj, fields)
}

// withRoleStatus replaces or appends one role's status. One whose replicas and ready replicas are the same stays as it is, so
// that a change of updatedReplicas alone is never written. Roles that are gone keep theirs.
func withRoleStatus(statuses []any, status map[string]any) []any {
	out := slices.Clone(statuses)
	for i, s := range out {
		if m, ok := s.(map[string]any); ok && m["name"] == status["name"] {
			if m["replicas"] != status["replicas"] || m["readyReplicas"] != status["readyReplicas"] {
				out[i] = status
			}
			return out
		}
	}
	return append(out, status)
}

func readyCondition(obj *unstructured.Unstructured, ready bool) []any {
	status, reason := "False", "RoleNotReady"
	if ready {
		status, reason = "True", "AllRolesReady"
	}
	return conditionList(obj, "Ready", status, reason)
}

// conditionList is the status.conditions of an object with one condition, whose time changes only when its status does.
func conditionList(obj *unstructured.Unstructured, kind, status, reason string) []any {
	since := metav1.Now().UTC().Format(time.RFC3339)
	old, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range old {
		if m, ok := c.(map[string]any); ok && m["type"] == kind && m["status"] == status {
			since, _ = m["lastTransitionTime"].(string)
		}
	}
	return []any{map[string]any{"type": kind, "status": status, "reason": reason, "lastTransitionTime": since}}
}
