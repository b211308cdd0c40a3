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
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// writePath is where the count of one role is written: the /scale of an object,
// or a role inside its group.
type writePath struct {
	kind schema.GroupVersionKind
	key  client.ObjectKey
	uid  types.UID
	role string // as sentences name it
	// scale is true for /scale. Otherwise the role is the group's index-th, and
	// counted says that it has a count of its own; where not, it runs with the
	// default, which is current, at this version of the group.
	// unset: the /scale has no count yet.
	scale           bool
	unset           bool
	index           int
	counted         bool
	current         int
	resourceVersion string
	// refused is why nothing may be written.
	refused error
}

// Apply changes the replicas of one role from one count to another with one
// call of the API: through the /scale of the role's bound adapter or of the
// object that the target names, else in the group. It goes by what the last
// observation saw, and reads itself where there is none that was not used yet.
// The write carries a test of the old count and of the object's identity, so
// that it happens at once or not at all. It is a *ConflictError where the count
// is no longer from, a *NotBoundError where the role's adapter would overwrite
// it, a *MissingError where the target is gone, and does nothing where from
// equals to.
func (w *Workload) Apply(ctx context.Context, t Target, role planner.Role, from, to int) error {
	if from == to {
		return nil
	}
	name := t.RoleName(role)
	if role != planner.Prefill && role != planner.Decode || name == "" {
		return fmt.Errorf("%s has no role %q: it must be %s or %s", t.what(), role, planner.Prefill, planner.Decode)
	}
	if to < 0 {
		return fmt.Errorf("role %s of %s: %d replicas were asked for, it must be 0 or more", name, t.what(), to)
	}
	path := w.state(t).takePath(role)
	if path == nil {
		var err error
		if path, err = w.readPath(ctx, t, role); err != nil {
			return err
		}
	}
	if path.refused != nil {
		return path.refused
	}
	return w.write(ctx, path, from, to)
}

// takePath returns the path of the last observation, once.
func (s *state) takePath(role planner.Role) *writePath {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.paths[role]
	delete(s.paths, role)
	return path
}

// write sends the one patch.
func (w *Workload) write(ctx context.Context, p *writePath, from, to int) error {
	data, kind, err := p.patch(from, to)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(p.kind)
	object.SetNamespace(p.key.Namespace)
	object.SetName(p.key.Name)
	if p.scale {
		// It is never read as a Scale here: its selector may be malformed.
		err = w.writer.SubResource("scale").Patch(ctx, object, client.RawPatch(kind, data))
	} else {
		err = w.writer.Patch(ctx, object, client.RawPatch(kind, data))
	}
	return writeError(err, p.what(), p.role, from)
}

// what names the written object in a sentence.
func (p *writePath) what() string { return p.kind.Kind + " " + p.key.Namespace + "/" + p.key.Name }

// patch is the write with all that must still hold for it.
func (p *writePath) patch(from, to int) ([]byte, types.PatchType, error) {
	switch {
	case p.scale && (from == 0 || p.unset):
		// A Scale leaves a count of 0 out; null is what a test finds there.
		data, err := json.Marshal([]patchOp{
			{"test", "/metadata/uid", p.uid},
			{"test", "/spec/replicas", nil},
			{"add", "/spec/replicas", to},
		})
		return data, types.JSONPatchType, err
	case p.scale:
		data, err := json.Marshal([]patchOp{
			{"test", "/metadata/uid", p.uid}, // an adapter of the same name made since may not be bound
			{"test", "/spec/replicas", from},
			{"replace", "/spec/replicas", to},
		})
		return data, types.JSONPatchType, err
	}
	path := fmt.Sprintf("/spec/roles/%d", p.index)
	patch := []patchOp{
		{"test", "/metadata/uid", p.uid},
		{"test", path + "/name", p.role}, // the list may have been reordered
	}
	switch {
	case p.counted:
		patch = append(patch, patchOp{"test", path + "/replicas", from})
	case from != p.current:
		return nil, "", &ConflictError{What: p.what(), Role: p.role, From: from}
	default:
		patch = append(patch, patchOp{"test", "/metadata/resourceVersion", p.resourceVersion})
	}
	data, err := json.Marshal(append(patch, patchOp{"add", path + "/replicas", to}))
	return data, types.JSONPatchType, err
}

// readPath finds out where a role's count is written.
func (w *Workload) readPath(ctx context.Context, t Target, role planner.Role) (*writePath, error) {
	if t.Scales != nil {
		s, err := w.readScaled(ctx, t, t.Scales[role])
		if err != nil {
			return nil, err
		}
		return s.path(), nil
	}
	g, err := w.readGroup(ctx, t, w.clock())
	if err != nil {
		return nil, err
	}
	adapters, err := w.readAdapters(ctx, g, t.Roles)
	if err != nil {
		return nil, err
	}
	path := g.path(t.Roles[role], adapters[t.Roles[role]])
	if path == nil {
		return nil, &MissingError{What: t.what(), Why: fmt.Sprintf("has no role %q", t.Roles[role])}
	}
	return path, nil
}

// path is where the count of one of the group's roles is written, nil where the
// group has no such role.
func (g *group) path(name string, a *adapter) *writePath {
	index := slices.IndexFunc(g.Spec.Roles, func(r role) bool { return r.Name == name })
	if index < 0 {
		return nil
	}
	r := &g.Spec.Roles[index]
	switch {
	case a.bound():
		return &writePath{kind: g.kinds.adapter(), key: client.ObjectKey{Namespace: a.Namespace, Name: a.Name}, uid: a.UID, role: name, scale: true}
	case a != nil:
		return &writePath{refused: &NotBoundError{Adapter: a.Namespace + "/" + a.Name, Role: name, Phase: a.Status.Phase}}
	case r.ScalingAdapter.Enable:
		return &writePath{refused: &NotBoundError{Adapter: g.Namespace + "/" + g.adapterName(name), Role: name, Phase: "missing"}}
	}
	return &writePath{
		kind: g.kinds.group(), key: client.ObjectKey{Namespace: g.Namespace, Name: g.Name}, uid: g.UID, resourceVersion: g.ResourceVersion, role: name,
		index: index, counted: r.Replicas != nil, current: r.replicas(),
	}
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
