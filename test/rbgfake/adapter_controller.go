package rbgfake

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Phases of an adapter; a new one has none.
const (
	phaseNotBound = "NotBound"
	phaseBound    = "Bound"
)

// unboundRetry is how often an adapter looks for a role that it does not find.
const unboundRetry = 10 * time.Second

// heldRetry is how often an adapter that a test holds is looked at.
const heldRetry = 50 * time.Millisecond

// adapterReconciler carries what is written to an adapter's /scale into its group.
type adapterReconciler struct {
	client client.Client
	events events.EventRecorder
	opts   Options

	firstSeen sync.Map // of types.UID to time.Time, for BindDelay
	boundAt   sync.Map // of types.UID to time.Time, for SecondBinding
}

// An adapterTarget names the role that an adapter scales.
type adapterTarget struct{ group, role string }

func targetOf(adapter *unstructured.Unstructured) adapterTarget {
	name, _, _ := unstructured.NestedString(adapter.Object, "spec", "scaleTargetRef", "name")
	role, _, _ := unstructured.NestedString(adapter.Object, "spec", "scaleTargetRef", "role")
	return adapterTarget{name, role}
}

func phaseOf(adapter *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(adapter.Object, "status", "phase")
	return phase
}

// onSpecChange lets an adapter wake on its own creation, change and end, and not on writes of its status.
func onSpecChange() builder.ForOption {
	return builder.WithPredicates(predicate.GenerationChangedPredicate{})
}

// onRoleStatusChange is all that an adapter notices of its group: not its specification.
func onRoleStatusChange() builder.WatchesOption {
	statuses := func(obj client.Object) []any {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return nil
		}
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "roleStatuses")
		return list
	}
	return builder.WithPredicates(predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return !equality.Semantic.DeepEqual(statuses(e.ObjectOld), statuses(e.ObjectNew))
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
}

// adaptersOf returns the adapters that name a group.
func (r *adapterReconciler) adaptersOf(ctx context.Context, g client.Object) []reconcile.Request {
	list := r.opts.api().newList(KindAdapter)
	if err := r.client.List(ctx, list, client.InNamespace(g.GetNamespace())); err != nil {
		return nil // the next change of the group tries again
	}
	var out []reconcile.Request
	for _, adapter := range list.Items {
		if targetOf(&adapter).group == g.GetName() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&adapter)})
		}
	}
	return out
}

func (r *adapterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	adapter := r.opts.api().newObject(KindAdapter, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, adapter); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if adapter.GetDeletionTimestamp() != nil || !hasGroupOwner(adapter) {
		return ctrl.Result{}, nil // one without an owner is nobody's business, for ever
	}
	target := targetOf(adapter)
	g, role, err := r.find(ctx, adapter.GetNamespace(), target)
	if err != nil {
		return ctrl.Result{}, err
	}
	if g != nil && !ownedBy(adapter, g.obj) {
		return ctrl.Result{}, nil // that of a deleted namesake must not scale its successor
	}
	if role == nil {
		r.events.Eventf(adapter, nil, corev1.EventTypeWarning, "FailedGetRBGRole", "Bind", "there is no role %s in a RoleBasedGroup %s", target.role, target.group)
		if phaseOf(adapter) != phaseNotBound {
			if err := patchStatus(ctx, r.client, adapter, map[string]any{"phase": phaseNotBound}); err != nil {
				return ctrl.Result{}, err
			}
		}
		return ctrl.Result{RequeueAfter: unboundRetry}, nil
	}
	ready, _ := roleReadyReplicas(g.obj, role.name)
	if phaseOf(adapter) != phaseBound {
		if wait := r.untilBinding(adapter.GetUID()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		r.boundAt.Store(adapter.GetUID(), time.Now())
		return ctrl.Result{RequeueAfter: r.opts.SecondBinding}, r.bind(ctx, adapter, g, role, ready)
	}
	if first, ok := r.boundAt.Load(adapter.GetUID()); ok && r.opts.SecondBinding > 0 {
		wait := time.Until(first.(time.Time).Add(r.opts.SecondBinding))
		if r.opts.hold != nil && r.opts.hold(2) {
			wait = heldRetry
		}
		if wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
		r.boundAt.Delete(adapter.GetUID())
		return ctrl.Result{}, r.bind(ctx, adapter, g, role, ready)
	}
	if seen, ok := nestedInt(adapter.Object, "status", "readyReplicas"); r.opts.api() == V1Alpha2 && (!ok || seen != ready) {
		if err := patchStatus(ctx, r.client, adapter, map[string]any{"readyReplicas": ready}); err != nil {
			return ctrl.Result{}, err
		}
	}
	wanted, set := nestedInt(adapter.Object, "spec", "replicas")
	if !set || wanted == role.replicas {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.scale(ctx, adapter, target, role.replicas, wanted)
}

// find returns a role, or nil where there is none.
func (r *adapterReconciler) find(ctx context.Context, namespace string, target adapterTarget) (*group, *role, error) {
	obj := r.opts.api().newObject(KindGroup, "", "")
	err := r.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: target.group}, obj)
	if err != nil {
		return nil, nil, client.IgnoreNotFound(err)
	}
	g, err := decodeGroup(obj)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // a group that cannot be read has no roles; its own controller says why
	}
	return g, g.role(target.role), nil
}

// untilBinding is how long an adapter stays unbound yet.
func (r *adapterReconciler) untilBinding(uid types.UID) time.Duration {
	if r.opts.hold != nil && r.opts.hold(1) {
		return heldRetry
	}
	if r.opts.BindDelay == 0 {
		return 0
	}
	first, _ := r.firstSeen.LoadOrStore(uid, time.Now())
	return time.Until(first.(time.Time).Add(r.opts.BindDelay))
}

// bind makes the adapter's replicas those of the role, whatever was written to it before, and opens it for writers.
func (r *adapterReconciler) bind(ctx context.Context, adapter *unstructured.Unstructured, g *group, role *role, ready int64) error {
	before := adapter.DeepCopy()
	if err := unstructured.SetNestedField(adapter.Object, role.replicas, "spec", "replicas"); err != nil {
		return err
	}
	if err := r.client.Patch(ctx, adapter, client.MergeFrom(before)); err != nil {
		return err
	}
	status := map[string]any{"phase": phaseBound, "replicas": role.replicas, "selector": r.selector(g, role)}
	if g.api == V1Alpha2 { // new in v0.7
		status["readyReplicas"] = ready
	}
	if err := patchStatus(ctx, r.client, adapter, status); err != nil {
		return err
	}
	r.firstSeen.Delete(adapter.GetUID())
	r.events.Eventf(adapter, nil, corev1.EventTypeNormal, "SuccessfulBound", "Bind", "bound to role %s of %s", role.name, g.obj.GetName())
	return nil
}

func (r *adapterReconciler) selector(g *group, role *role) string {
	const leaders = LabelComponentIndex + "=0"
	switch {
	case r.opts.Selector == SelectorEmpty, role.workload.Kind != KindInstanceSet:
		return "" // other kinds have no status.labelSelector, where the original looks for it
	case r.opts.Selector == SelectorMalformed:
		return "," + leaders
	}
	selector := labels.SelectorFromSet(g.labels(role)).String()
	if role.pattern == leaderWorker {
		selector += "," + leaders
	}
	return selector
}

// scale writes the adapter's replicas into the group, all of which it updates.
func (r *adapterReconciler) scale(ctx context.Context, adapter *unstructured.Unstructured, target adapterTarget, from, to int64) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		obj := r.opts.api().newObject(KindGroup, "", "")
		if err := r.client.Get(ctx, client.ObjectKey{Namespace: adapter.GetNamespace(), Name: target.group}, obj); err != nil {
			return err
		}
		if !ownedBy(adapter, obj) {
			return nil // made again in the meantime
		}
		if err := setRoleReplicas(obj, target.role, to); err != nil {
			return err
		}
		return r.client.Update(ctx, obj)
	})
	if err != nil {
		r.events.Eventf(adapter, nil, corev1.EventTypeWarning, "FailedScale", "Scale", "role %s of %s from %d to %d replicas: %v", target.role, target.group, from, to, err)
		return err
	}
	err = patchStatus(ctx, r.client, adapter, map[string]any{"replicas": to, "lastScaleTime": metav1.Now().UTC().Format(time.RFC3339)})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		r.events.Eventf(adapter, nil, corev1.EventTypeNormal, "SuccessfulScale", "Scale", "role %s of %s from %d to %d replicas", target.role, target.group, from, to)
	}
	return err
}

func setRoleReplicas(obj *unstructured.Unstructured, name string, replicas int64) error {
	roles, _, err := unstructured.NestedSlice(obj.Object, "spec", "roles")
	if err != nil {
		return err
	}
	for _, r := range roles {
		if m, ok := r.(map[string]any); ok && m["name"] == name {
			m["replicas"] = replicas
			return unstructured.SetNestedSlice(obj.Object, roles, "spec", "roles")
		}
	}
	return fmt.Errorf("RoleBasedGroup %s has no role %s", obj.GetName(), name)
}

// roleReadyReplicas reads the group's status of a role, 0 where it has none yet.
func roleReadyReplicas(obj *unstructured.Unstructured, name string) (int64, bool) {
	statuses, _, _ := unstructured.NestedSlice(obj.Object, "status", "roleStatuses")
	for _, s := range statuses {
		if m, ok := s.(map[string]any); ok && m["name"] == name {
			return nestedInt(m, "readyReplicas")
		}
	}
	return 0, false
}

func hasGroupOwner(adapter *unstructured.Unstructured) bool {
	for _, ref := range adapter.GetOwnerReferences() {
		if ref.Kind == KindGroup {
			return true
		}
	}
	return false
}
