package workload

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// phaseBound is the adapter's phase in which its count is the role's.
const phaseBound = "Bound"

// adapter is what is read of a RoleBasedGroupScalingAdapter.
type adapter struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Replicas       *int32 `json:"replicas"`
		ScaleTargetRef struct {
			Name string `json:"name"`
			Role string `json:"role"`
		} `json:"scaleTargetRef"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// bound reports whether the adapter's count is the role's.
func (a *adapter) bound() bool {
	return a != nil && a.Status.Phase == phaseBound && a.Spec.Replicas != nil
}

// readAdapters returns the group's adapters of the named roles, by role. Each is
// read by the name that RBG gives it: a list would be of all services of the
// namespace, in every round. One that the group does not own is left out: RBG
// never looks at it, so that a role whose only adapter was made by hand is
// written in the group itself.
func (w *Workload) readAdapters(ctx context.Context, g *group, roles map[planner.Role]string) (map[string]*adapter, error) {
	adapters := map[string]*adapter{}
	for _, r := range scaledRoles {
		a, err := w.readAdapter(ctx, g, roles[r])
		if err != nil {
			return nil, err
		}
		if a != nil {
			adapters[roles[r]] = a
		}
	}
	return adapters, nil
}

// readAdapter returns the adapter of one role, nil where it has none.
func (w *Workload) readAdapter(ctx context.Context, g *group, role string) (*adapter, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(g.kinds.adapter())
	name := g.adapterName(role)
	err := w.live.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: name}, u)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the scaling adapter %s of role %s of %s: %w", name, role, g.what(), err)
	}
	a := &adapter{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, a); err != nil {
		return nil, fmt.Errorf("scaling adapter %s/%s cannot be understood: %w", g.Namespace, name, err)
	}
	if t := a.Spec.ScaleTargetRef; t.Name != g.Name || t.Role != role || !ownedBy(a.OwnerReferences, g) || a.DeletionTimestamp != nil {
		return nil, nil
	}
	return a, nil
}

// adapterName is the name that RBG gives to the adapter of a role, in all its
// versions; it is not cut as that of a workload is.
func (g *group) adapterName(role string) string { return g.Name + "-" + role }

func ownedBy(refs []metav1.OwnerReference, g *group) bool {
	for i := range refs {
		if refs[i].UID == g.UID {
			return true
		}
	}
	return false
}

// desired is the count that the role runs with, and what would keep a new one
// from being taken over; empty when nothing would.
func desired(r *role, a *adapter) (int, string) {
	switch {
	case a.bound():
		return int(*a.Spec.Replicas), ""
	case a != nil, r.ScalingAdapter.Enable:
		return r.replicas(), fmt.Sprintf("the scaling adapter of role %s is not bound yet: it would overwrite a new count", r.Name)
	}
	return r.replicas(), ""
}
