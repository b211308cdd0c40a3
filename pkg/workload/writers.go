package workload

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// writers are the autoscalers of a namespace that may write replicas.
type writers struct {
	hpas []autoscalingv2.HorizontalPodAutoscaler
	pdas []v1alpha1.PDAutoscaler
}

func (w *Workload) readWriters(ctx context.Context, t Target) (*writers, error) {
	var hpas autoscalingv2.HorizontalPodAutoscalerList
	if err := w.reader.List(ctx, &hpas, client.InNamespace(t.Namespace)); err != nil {
		return nil, fmt.Errorf("list the HorizontalPodAutoscalers of namespace %s: %w", t.Namespace, err)
	}
	found := &writers{hpas: hpas.Items}
	if t.Autoscaler == "" {
		return found, nil
	}
	var pdas v1alpha1.PDAutoscalerList
	if err := w.reader.List(ctx, &pdas, client.InNamespace(t.Namespace)); err != nil {
		return nil, fmt.Errorf("list the PDAutoscalers of namespace %s: %w", t.Namespace, err)
	}
	found.pdas = pdas.Items
	return found, nil
}

// of names another autoscaler that writes a role's replicas; empty when there is none.
func (f *writers) of(t Target, g *group, r *role, a *adapter) string {
	for i := range f.hpas {
		if hpa := &f.hpas[i]; hpaWrites(hpa, g, r, a) {
			return fmt.Sprintf("HorizontalPodAutoscaler %s/%s (%s %s)", hpa.Namespace, hpa.Name, hpa.Spec.ScaleTargetRef.Kind, hpa.Spec.ScaleTargetRef.Name)
		}
	}
	var self *v1alpha1.PDAutoscaler
	for i := range f.pdas {
		if f.pdas[i].UID == t.Autoscaler {
			self = &f.pdas[i]
		}
	}
	for i := range f.pdas {
		if other := &f.pdas[i]; other.UID != t.Autoscaler && pdaWrites(other, g, r) && comesFirst(other, self) {
			return fmt.Sprintf("PDAutoscaler %s/%s", other.Namespace, other.Name)
		}
	}
	return ""
}

// hpaWrites reports whether an HPA, by hand or of a KEDA ScaledObject, aims at
// the role: at its adapter, at the workload that carries its pods, or at the group.
func hpaWrites(hpa *autoscalingv2.HorizontalPodAutoscaler, g *group, r *role, a *adapter) bool {
	if hpa.DeletionTimestamp != nil {
		return false
	}
	ref := hpa.Spec.ScaleTargetRef
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	switch kind {
	case AdapterKind.GroupKind():
		return a != nil && ref.Name == a.Name || a == nil && ref.Name == g.workloadName(r.Name)
	case r.workloadKind().GroupKind():
		return ref.Name == g.workloadName(r.Name)
	case GroupKind.GroupKind():
		return ref.Name == g.Name
	}
	return false
}

func pdaWrites(pda *v1alpha1.PDAutoscaler, g *group, r *role) bool {
	return pda.DeletionTimestamp == nil && pda.Spec.Mode == v1alpha1.ModeAuto && pda.Spec.Target.Name == g.Name &&
		(pda.Spec.Roles.Prefill.Name == r.Name || pda.Spec.Roles.Decode.Name == r.Name)
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
