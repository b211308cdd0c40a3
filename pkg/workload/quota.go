package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// A quota that has no GPUs left stops a new replica as surely as a budget does,
// only later: its pods are refused, or wait in a queue, with the donor's GPUs
// gone. What quotas leave is observed so that it can count as a budget; a move
// within one quota stays possible, since it takes no more than it gives.

const quotaResource = corev1.ResourceName("requests." + string(GPUResource))

// Kueue's group, the versions of it that are understood, and the label by which
// a pod asks for one of its queues.
const (
	kueueGroup = "kueue.x-k8s.io"
	queueLabel = "kueue.x-k8s.io/queue-name"
)

var kueueVersions = []string{"v1beta1", "v1beta2"}

// readQuotas returns what the tightest quota leaves, nil where none limits GPUs.
func (w *Workload) readQuotas(ctx context.Context, t Target, now time.Time, s *sight) (*Allowance, error) {
	var least *Allowance
	take := func(a *Allowance) {
		if a != nil && (least == nil || a.GPUs < least.GPUs) {
			least = a
		}
	}
	allowed, err := w.mayWatch(ctx, now, "resourcequotas")
	if err != nil {
		return nil, err
	}
	if allowed {
		var quotas corev1.ResourceQuotaList
		if err := w.reader.List(ctx, &quotas, client.InNamespace(t.Namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list the ResourceQuotas of namespace %s: %w", t.Namespace, err)
		}
		for i := range quotas.Items {
			take(leftOf(&quotas.Items[i], s.members))
		}
	}
	for _, queue := range queuesOf(s.members) {
		a, err := w.readQueue(ctx, t.Namespace, queue, now)
		if err != nil {
			return nil, err
		}
		take(a)
	}
	return least, nil
}

// leftOf is what a ResourceQuota leaves for the service's pods, nil where it
// does not limit their GPUs. The quota's status is a moment older than its use.
func leftOf(q *corev1.ResourceQuota, members []member) *Allowance {
	hard, limited := q.Status.Hard[quotaResource]
	if !limited {
		if hard, limited = q.Spec.Hard[quotaResource]; !limited {
			return nil
		}
	}
	if !slices.ContainsFunc(members, func(m member) bool { return gpusOf(&m.Spec) > 0 && inScope(q, m.Pod) }) && (len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil) {
		return nil // of pods of another kind than any that is known here
	}
	used := q.Status.Used[quotaResource]
	return &Allowance{GPUs: count(hard) - count(used), From: "ResourceQuota " + q.Namespace + "/" + q.Name}
}

// inScope reports whether a quota counts a pod that takes GPUs, which is never
// a pod of the class BestEffort.
func inScope(q *corev1.ResourceQuota, pod *corev1.Pod) bool {
	in := func(scope corev1.ResourceQuotaScope, operator corev1.ScopeSelectorOperator, values []string) bool {
		switch scope {
		case corev1.ResourceQuotaScopeTerminating:
			return pod.Spec.ActiveDeadlineSeconds != nil
		case corev1.ResourceQuotaScopeNotTerminating:
			return pod.Spec.ActiveDeadlineSeconds == nil
		case corev1.ResourceQuotaScopeNotBestEffort:
			return true
		case corev1.ResourceQuotaScopePriorityClass:
			class := pod.Spec.PriorityClassName
			switch operator {
			case corev1.ScopeSelectorOpIn:
				return slices.Contains(values, class)
			case corev1.ScopeSelectorOpNotIn:
				return !slices.Contains(values, class)
			case corev1.ScopeSelectorOpDoesNotExist:
				return class == ""
			}
			return class != ""
		}
		return false
	}
	for _, scope := range q.Spec.Scopes {
		if !in(scope, corev1.ScopeSelectorOpExists, nil) {
			return false
		}
	}
	if q.Spec.ScopeSelector != nil {
		for _, e := range q.Spec.ScopeSelector.MatchExpressions {
			if !in(e.ScopeName, e.Operator, e.Values) {
				return false
			}
		}
	}
	return true
}

// queuesOf lists the queues of Kueue that pods of the scaled roles are admitted by.
func queuesOf(members []member) []string {
	var queues []string
	for _, m := range members {
		if name := m.Labels[queueLabel]; name != "" && gpusOf(&m.Spec) > 0 && !slices.Contains(queues, name) {
			queues = append(queues, name)
		}
	}
	return queues
}

// readQueue is what the ClusterQueue behind a LocalQueue leaves. It is not known,
// and nil, where that queue may borrow from others: then Kueue alone can tell,
// and pods that wait for it show it.
func (w *Workload) readQueue(ctx context.Context, namespace, name string, now time.Time) (*Allowance, error) {
	local, err := w.getKueue(ctx, now, "LocalQueue", client.ObjectKey{Namespace: namespace, Name: name})
	if err != nil || local == nil {
		return nil, err
	}
	clusterName, _, _ := unstructured.NestedString(local.Object, "spec", "clusterQueue")
	if clusterName == "" {
		return nil, nil
	}
	cluster, err := w.getKueue(ctx, now, "ClusterQueue", client.ObjectKey{Name: clusterName})
	if err != nil || cluster == nil {
		return nil, err
	}
	return queueOf(cluster).left("Kueue's ClusterQueue " + clusterName), nil
}

// getKueue reads an object of Kueue in a version that is served, nil where it is
// not there or may not be read.
func (w *Workload) getKueue(ctx context.Context, now time.Time, kind string, key client.ObjectKey) (*unstructured.Unstructured, error) {
	for _, version := range kueueVersions {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: kueueGroup, Version: version, Kind: kind})
		switch found, err := w.getOptional(ctx, now, key, u); {
		case err != nil:
			return nil, fmt.Errorf("read %s %s: %w", kind, key, err)
		case found:
			return u, nil
		}
	}
	return nil, nil
}

// queueOf is nil where the object has another shape than is understood.
func queueOf(u *unstructured.Unstructured) *clusterQueue {
	queue := &clusterQueue{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, queue) != nil {
		return nil
	}
	return queue
}

// clusterQueue is what is read of a ClusterQueue of Kueue.
type clusterQueue struct {
	Spec struct {
		Cohort         string `json:"cohort"`
		CohortName     string `json:"cohortName"`
		ResourceGroups []struct {
			Flavors []struct {
				Resources []struct {
					Name         string            `json:"name"`
					NominalQuota resource.Quantity `json:"nominalQuota"`
				} `json:"resources"`
			} `json:"flavors"`
		} `json:"resourceGroups"`
	} `json:"spec"`
	Status struct {
		FlavorsReservation []struct {
			Resources []struct {
				Name  string            `json:"name"`
				Total resource.Quantity `json:"total"`
			} `json:"resources"`
		} `json:"flavorsReservation"`
	} `json:"status"`
}

// left is what the queue leaves, nil where it is not known.
func (q *clusterQueue) left(what string) *Allowance {
	if q == nil || q.Spec.Cohort != "" || q.Spec.CohortName != "" {
		return nil
	}
	nominal, limited := 0, false
	for _, group := range q.Spec.ResourceGroups {
		for _, flavor := range group.Flavors {
			for _, r := range flavor.Resources {
				if r.Name == string(GPUResource) {
					nominal, limited = nominal+count(r.NominalQuota), true
				}
			}
		}
	}
	if !limited {
		return nil
	}
	for _, flavor := range q.Status.FlavorsReservation {
		for _, r := range flavor.Resources {
			if r.Name == string(GPUResource) {
				nominal -= count(r.Total)
			}
		}
	}
	return &Allowance{GPUs: nominal, From: what}
}

// count is a quantity of whole GPUs, within what is believed.
func count(q resource.Quantity) int { return int(min(max(0, q.Value()), 1<<30)) }

// heldByPods are the GPUs of the scaled roles' pods that exist: what quotas have
// counted already.
func (o *Observation) heldByPods() int {
	held := 0
	for i := range o.Pods {
		if o.Pods[i].Role != FrontendRole {
			held += o.Pods[i].GPUs
		}
	}
	return held
}

// BudgetGPUs is the most GPUs that the service may hold where quotas limit it:
// what its pods hold and what the tightest quota leaves. It is never less than
// what is held: a quota takes nothing back. limited is false where none limits it.
func (o *Observation) BudgetGPUs() (gpus int, from string, limited bool) {
	if o.QuotaGPUs == nil {
		return 0, "", false
	}
	held := 0
	for _, p := range []*planner.Pool{&o.Prefill, &o.Decode} {
		held += p.HeldGPUs()
	}
	return max(held, o.heldByPods()+max(0, o.QuotaGPUs.GPUs)), o.QuotaGPUs.From, true
}
