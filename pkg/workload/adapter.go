package workload

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// readAdapters returns the group's adapters by role. One that the group does
// not own is left out: RBG never looks at it, so that a role whose only adapter
// was made by hand is written in the group itself.
func (w *Workload) readAdapters(ctx context.Context, g *group) (map[string]*adapter, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(g.kinds.adapter())
	if err := w.live.List(ctx, list, client.InNamespace(g.Namespace)); err != nil {
		if meta.IsNoMatchError(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("list the scaling adapters of %s: %w", g.what(), err)
	}
	adapters := map[string]*adapter{}
	for i := range list.Items {
		a := &adapter{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, a); err != nil {
			return nil, fmt.Errorf("scaling adapter %s/%s cannot be understood: %w", g.Namespace, list.Items[i].GetName(), err)
		}
		if a.Spec.ScaleTargetRef.Name != g.Name || !ownedBy(a.OwnerReferences, g) || a.DeletionTimestamp != nil {
			continue
		}
		role := a.Spec.ScaleTargetRef.Role
		if !adapters[role].bound() {
			adapters[role] = a
		}
	}
	return adapters, nil
}

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
