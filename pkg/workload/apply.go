package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// patchOp is one operation of a JSON patch (RFC 6902).
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Apply changes the replicas of one role from one count to another with one
// write: through the /scale of the role's bound adapter, else in the group. The
// write carries a test of the old count, so that it happens at once or not at
// all. It is a *ConflictError where the count is no longer from, a
// *NotBoundError where the role's adapter would overwrite it, a *MissingError
// where the group is gone, and does nothing where from equals to.
func (w *Workload) Apply(ctx context.Context, t Target, role planner.Role, from, to int) error {
	if from == to {
		return nil
	}
	name := t.Roles[role]
	if name == "" {
		return fmt.Errorf("target %s/%s has no role %q: it must be %s or %s", t.Namespace, t.Group, role, planner.Prefill, planner.Decode)
	}
	if to < 0 {
		return fmt.Errorf("role %s of RoleBasedGroup %s/%s: %d replicas were asked for, it must be 0 or more", name, t.Namespace, t.Group, to)
	}
	g, err := w.readGroup(ctx, t)
	if err != nil {
		return err
	}
	r := g.role(name)
	if r == nil {
		return &MissingError{t.Namespace, t.Group, fmt.Sprintf("has no role %q", name)}
	}
	adapters, err := w.readAdapters(ctx, g)
	if err != nil {
		return err
	}
	a := adapters[name]
	switch {
	case a.bound():
		return w.scaleAdapter(ctx, a, name, from, to)
	case a != nil:
		return &NotBoundError{Adapter: a.Namespace + "/" + a.Name, Role: name, Phase: a.Status.Phase}
	case r.ScalingAdapter.Enable:
		return &NotBoundError{Adapter: g.Namespace + "/" + g.workloadName(name), Role: name, Phase: "missing"}
	}
	return w.patchRole(ctx, g, r, from, to)
}

// scaleAdapter writes the scale subresource. It is never read as a Scale: its
// selector may be malformed.
func (w *Workload) scaleAdapter(ctx context.Context, a *adapter, role string, from, to int) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(AdapterKind)
	object.SetNamespace(a.Namespace)
	object.SetName(a.Name)
	patch, err := json.Marshal([]patchOp{
		{"test", "/metadata/uid", a.UID}, // an adapter of the same name made since may not be bound
		{"test", "/spec/replicas", from},
		{"replace", "/spec/replicas", to},
	})
	if err != nil {
		return err
	}
	what := "RoleBasedGroupScalingAdapter " + a.Namespace + "/" + a.Name
	err = w.writer.SubResource("scale").Patch(ctx, object, client.RawPatch(types.JSONPatchType, patch))
	return writeError(err, what, role, from)
}

// patchRole writes the role's own count in the group.
func (w *Workload) patchRole(ctx context.Context, g *group, r *role, from, to int) error {
	index := 0
	for i := range g.Spec.Roles {
		if g.Spec.Roles[i].Name == r.Name {
			index = i
		}
	}
	path := fmt.Sprintf("/spec/roles/%d", index)
	patch := []patchOp{
		{"test", "/metadata/uid", g.UID},
		{"test", path + "/name", r.Name}, // the list may have been reordered
	}
	what := "RoleBasedGroup " + g.Namespace + "/" + g.Name
	switch {
	case r.Replicas != nil:
		patch = append(patch, patchOp{"test", path + "/replicas", from})
	case from != r.replicas():
		return &ConflictError{What: what, Role: r.Name, From: from}
	default: // what is not there cannot be tested
		patch = append(patch, patchOp{"test", "/metadata/resourceVersion", g.ResourceVersion})
	}
	patch = append(patch, patchOp{"add", path + "/replicas", to})
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(GroupKind)
	object.SetNamespace(g.Namespace)
	object.SetName(g.Name)
	return writeError(w.writer.Patch(ctx, object, client.RawPatch(types.JSONPatchType, data)), what, r.Name, from)
}

// writeError says what an error of a write means.
func writeError(err error, what, role string, from int) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), testFailed(err):
		return &ConflictError{What: what, Role: role, From: from, Err: err}
	}
	return fmt.Errorf("write the replicas of role %s in %s: %w", role, what, err)
}

// testFailed reports whether a JSON patch was refused for one of its tests. The
// API server answers that as an invalid request, as it does a value that the
// object's schema refuses; only the latter names a field.
func testFailed(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
		return false
	}
	details := status.Status().Details
	return details == nil || !slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Field != "" })
}
