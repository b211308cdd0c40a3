package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// writers are the autoscalers of a namespace that may write replicas.
type writers struct {
	// scalers are those that name an object with a /scale: HorizontalPodAutoscalers
	// and KEDA's ScaledObjects.
	scalers []scaler
	// groups are those that name a RoleBasedGroup.
	groups []groupScaler
	pdas   []v1alpha1.PDAutoscaler
}

// scaler is an autoscaler of one object with a /scale.
type scaler struct {
	what string // kind, namespace and name
	ref  ScaleRef
}

// groupScaler is an autoscaler of roles of one group; no roles are all of them.
type groupScaler struct {
	what  string
	group string
	roles []string
}

// rivals are the autoscalers of kinds that a cluster may do without, as they
// were found a moment ago.
type rivals struct {
	scalers []scaler
	groups  []groupScaler
	asked   time.Time
}

// rivalsAge is how long they are believed: each namespace costs one list per kind.
const rivalsAge = 30 * time.Second

func (w *Workload) readWriters(ctx context.Context, t Target, now time.Time) (*writers, error) {
	var hpas autoscalingv2.HorizontalPodAutoscalerList
	if err := w.reader.List(ctx, &hpas, client.InNamespace(t.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the HorizontalPodAutoscalers of namespace %s: %w", t.Namespace, err)
	}
	found := &writers{}
	for i := range hpas.Items {
		hpa := &hpas.Items[i]
		if ref := hpa.Spec.ScaleTargetRef; hpa.DeletionTimestamp == nil {
			found.scalers = append(found.scalers, scaler{
				what: fmt.Sprintf("HorizontalPodAutoscaler %s/%s (%s %s)", hpa.Namespace, hpa.Name, ref.Kind, ref.Name),
				ref:  ScaleRef{ref.APIVersion, ref.Kind, ref.Name},
			})
		}
	}
	others, err := w.readRivals(ctx, t.Namespace, now)
	if err != nil {
		return nil, err
	}
	found.scalers, found.groups = append(found.scalers, others.scalers...), others.groups
	if t.Autoscaler == "" {
		return found, nil
	}
	var pdas v1alpha1.PDAutoscalerList
	if err := w.reader.List(ctx, &pdas, client.InNamespace(t.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the PDAutoscalers of namespace %s: %w", t.Namespace, err)
	}
	found.pdas = pdas.Items
	return found, nil
}

// readRivals lists KEDA's ScaledObjects, which write even where their HPA is
// still to be made, and AutoScalers of the planner for RBG.
func (w *Workload) readRivals(ctx context.Context, namespace string, now time.Time) (rivals, error) {
	w.mu.Lock()
	known := w.rivals[namespace]
	w.mu.Unlock()
	if !known.asked.IsZero() && now.Sub(known.asked) < rivalsAge && !now.Before(known.asked) {
		return known, nil
	}
	fresh := rivals{asked: now}
	for _, kind := range []schema.GroupVersionKind{scaledObjectKind, autoScalerKind} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if _, err := w.listOptional(ctx, now, namespace, list); err != nil {
			return rivals{}, fmt.Errorf("list the %ss of namespace %s: %w", kind.Kind, namespace, err)
		}
		for i := range list.Items {
			if u := &list.Items[i]; u.GetDeletionTimestamp() == nil {
				fresh.add(kind, u)
			}
		}
	}
	w.mu.Lock()
	// Those of namespaces that nobody asks about any more, or that are gone, are not kept.
	maps.DeleteFunc(w.rivals, func(_ string, r rivals) bool { return now.Sub(r.asked) >= rivalsAge })
	w.rivals[namespace] = fresh
	w.mu.Unlock()
	return fresh, nil
}

// The kinds of such autoscalers.
var (
	scaledObjectKind = schema.GroupVersionKind{Group: "keda.sh", Version: "v1alpha1", Kind: "ScaledObject"}
	autoScalerKind   = schema.GroupVersionKind{Group: "inference-extension.rolebasedgroup.io", Version: "v1alpha1", Kind: "AutoScaler"}
)

func (r *rivals) add(kind schema.GroupVersionKind, u *unstructured.Unstructured) {
	what := fmt.Sprintf("%s %s/%s", kind.Kind, u.GetNamespace(), u.GetName())
	text := func(otherwise string, fields ...string) string {
		if value, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, fields...)...); value != "" {
			return value
		}
		return otherwise
	}
	if kind == scaledObjectKind {
		if paused(u) {
			return
		}
		ref := ScaleRef{text("apps/v1", "scaleTargetRef", "apiVersion"), text("Deployment", "scaleTargetRef", "kind"), text("", "scaleTargetRef", "name")}
		r.scalers = append(r.scalers, scaler{what: fmt.Sprintf("%s (%s %s)", what, ref.Kind, ref.Name), ref: ref})
		return
	}
	if dry, _, _ := unstructured.NestedBool(u.Object, "spec", "implementation", "DynamoPlanner", "dryRun"); dry {
		return
	}
	// The planner for RBG writes the group of its own name.
	s := groupScaler{what: what, group: u.GetName()}
	for _, side := range []string{"prefill", "decode"} {
		if role := text("", "pattern", "PDDisaggregated", side, "roleName"); role != "" {
			s.roles = append(s.roles, role)
		}
	}
	r.groups = append(r.groups, s)
}

// paused reports whether a ScaledObject leaves its target alone.
func paused(u *unstructured.Unstructured) bool {
	return u.GetAnnotations()["autoscaling.keda.sh/paused"] == "true"
}

// ofRole names another autoscaler that writes the replicas of a group's role;
// empty when there is none. An autoscaler writes a role through its adapter,
// through the workload that carries its pods, or through the group.
func (f *writers) ofRole(t Target, g *group, r *role, a *adapter) string {
	objects := []ScaleRef{
		{g.kinds.adapter().GroupVersion().String(), adapterKind, g.adapterName(r.Name)},
		{g.kinds.group().GroupVersion().String(), groupKind, g.Name},
	}
	if a != nil {
		objects[0].Name = a.Name
	}
	workload := g.workloadKind(r)
	objects = append(objects, ScaleRef{workload.GroupVersion().String(), workload.Kind, g.workloadName(r.Name)})
	if what := f.scaling(objects); what != "" {
		return what
	}
	for i := range f.groups {
		if s := &f.groups[i]; s.group == g.Name && (len(s.roles) == 0 || slices.Contains(s.roles, r.Name)) {
			return s.what
		}
	}
	return f.otherPDA(t, func(other *v1alpha1.PDAutoscaler) bool {
		if other.Spec.Target.Name == g.Name {
			return other.Spec.Roles.Prefill.Name == r.Name || other.Spec.Roles.Decode.Name == r.Name
		}
		return slices.ContainsFunc(objects, func(o ScaleRef) bool { return scalesOf(other, o) })
	})
}

// ofScale is the same for an object that is scaled by reference. One that a group
// made for a role, its adapter or its workload, is written by whoever scales that
// role of the group, who sees the reference in turn; see ofRole.
func (f *writers) ofScale(t Target, s *scaled) string {
	if what := f.scaling([]ScaleRef{s.ref}); what != "" {
		return what
	}
	for i := range f.groups {
		if g := &f.groups[i]; s.madeBy(g.group, g.roles...) {
			return g.what
		}
	}
	return f.otherPDA(t, func(other *v1alpha1.PDAutoscaler) bool {
		roles := &other.Spec.Roles
		return scalesOf(other, s.ref) || s.madeBy(other.Spec.Target.Name, roles.Prefill.Name, roles.Decode.Name)
	})
}

// madeBy reports whether a RoleBasedGroup of that name made the object for one of
// the roles, or for any where none is named.
func (s *scaled) madeBy(name string, roles ...string) bool {
	if !slices.ContainsFunc(s.object.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
		return kind == schema.GroupKind{Group: rbgGroup, Kind: groupKind} && ref.Name == name
	}) {
		return false
	}
	g := &group{}
	g.Name = name
	return len(roles) == 0 || slices.ContainsFunc(roles, func(role string) bool {
		return s.ref.Name == g.adapterName(role) || s.ref.Name == g.workloadName(role)
	})
}

func (f *writers) scaling(objects []ScaleRef) string {
	for i := range f.scalers {
		if slices.ContainsFunc(objects, f.scalers[i].ref.same) {
			return f.scalers[i].what
		}
	}
	return ""
}

// scalesOf reports whether a PDAutoscaler names an object by reference.
func scalesOf(pda *v1alpha1.PDAutoscaler, o ScaleRef) bool {
	refs := pda.Spec.Target.ScaleTargetRefs
	return refs != nil && (o.same(ScaleRef(refs.Prefill)) || o.same(ScaleRef(refs.Decode)))
}

// otherPDA names a PDAutoscaler in mode Auto that writes the same and has the
// right to it.
func (f *writers) otherPDA(t Target, writes func(*v1alpha1.PDAutoscaler) bool) string {
	var self *v1alpha1.PDAutoscaler
	for i := range f.pdas {
		if f.pdas[i].UID == t.Autoscaler {
			self = &f.pdas[i]
		}
	}
	for i := range f.pdas {
		other := &f.pdas[i]
		if other.UID != t.Autoscaler && other.DeletionTimestamp == nil && other.Spec.Mode == v1alpha1.ModeAuto && writes(other) && comesFirst(other, self) {
			return fmt.Sprintf("PDAutoscaler %s/%s", other.Namespace, other.Name)
		}
	}
	return ""
}

// comesFirst reports whether another PDAutoscaler has the right to the role:
// the one that was created first does. One that is not in mode Auto makes way.
func comesFirst(other, self *v1alpha1.PDAutoscaler) bool {
	switch {
	case self == nil || self.Spec.Mode != v1alpha1.ModeAuto:
		return true
	case !other.CreationTimestamp.Equal(&self.CreationTimestamp):
		return other.CreationTimestamp.Before(&self.CreationTimestamp)
	}
	return other.UID < self.UID
}
