package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/klog/v2"
)

// placement is what a pod template asks of a node, besides resources. Only what
// is required counts: preferences and the spreading of pods do not rule out a node.
type placement struct {
	nodeSelector map[string]string
	affinity     *corev1.NodeSelector
	tolerations  []corev1.Toleration
}

func placementOf(spec *corev1.PodSpec) placement {
	p := placement{nodeSelector: spec.NodeSelector, tolerations: spec.Tolerations}
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		p.affinity = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return p
}

// allows reports whether the scheduler would consider a node.
func (p *placement) allows(node *corev1.Node) bool {
	for key, value := range p.nodeSelector {
		if got, ok := node.Labels[key]; !ok || got != value {
			return false
		}
	}
	return matchesAny(p.affinity, node) &&
		!slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return !p.tolerates(&t) })
}

func (p *placement) tolerates(taint *corev1.Taint) bool {
	if taint.Effect == corev1.TaintEffectPreferNoSchedule {
		return true
	}
	// The admission plugin ExtendedResourceToleration adds this one to every pod
	// that asks for GPUs; the template does not show it.
	if taint.Key == string(GPUResource) && taint.Effect == corev1.TaintEffectNoSchedule {
		return true
	}
	return slices.ContainsFunc(p.tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Background(), taint, true) })
}

// matchesAny reports whether one of the terms matches a node; no selector
// matches all, and a term without a condition none, as in the scheduler.
func matchesAny(s *corev1.NodeSelector, node *corev1.Node) bool {
	if s == nil {
		return true
	}
	return slices.ContainsFunc(s.NodeSelectorTerms, func(term corev1.NodeSelectorTerm) bool {
		return len(term.MatchExpressions)+len(term.MatchFields) > 0 &&
			matchesAll(term.MatchExpressions, node.Labels) && matchesAll(term.MatchFields, map[string]string{"metadata.name": node.Name})
	})
}

var operators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn,
	corev1.NodeSelectorOpExists: selection.Exists, corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func matchesAll(conditions []corev1.NodeSelectorRequirement, of labels.Set) bool {
	for _, c := range conditions {
		requirement, err := labels.NewRequirement(c.Key, operators[c.Operator], c.Values)
		if err != nil || !requirement.Matches(of) {
			return false // the scheduler matches no node by a condition that is wrong
		}
	}
	return true
}
