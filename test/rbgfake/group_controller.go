package rbgfake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// groupReconciler makes a workload, a Service and perhaps an adapter of each role.
type groupReconciler struct {
	client client.Client
	events events.EventRecorder
	opts   Options
}

// blockedRetry is how soon a pass that was ended early is tried again; the original backs off from a few milliseconds.
const blockedRetry = time.Second

// Reconcile goes the original's steps in its order, on which much of what an autoscaler sees depends: statuses are taken
// before the roles change, and a role that may not change ends the pass.
func (r *groupReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := r.opts.api().newObject(KindGroup, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if obj.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil // the garbage collector takes the rest
	}
	g, err := decodeGroup(obj)
	if err != nil {
		r.warn(obj, "InvalidRoleTemplates", "%v", err)
		return ctrl.Result{}, nil // nothing changes until the group does
	}
	if r.opts.override() == OverrideInMemory {
		if err := r.overrideReplicas(ctx, g); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := g.checkGangs(); err != nil {
		r.warn(obj, "InvalidGangSchedulingAnnotations", "%v", err)
		return ctrl.Result{RequeueAfter: blockedRetry}, nil
	}
	statuses, err := r.writeStatus(ctx, g)
	if err != nil {
		return ctrl.Result{}, err
	}
	plan, err := r.coordinate(ctx, g, statuses)
	if err != nil {
		r.warn(obj, "FailedCalculateScaling", "%v", err)
		return ctrl.Result{RequeueAfter: blockedRetry}, nil
	}
	if err := r.reconcileGang(ctx, g); err != nil {
		r.warn(obj, "FailedReconcilePodGroup", "%v", err)
		return ctrl.Result{RequeueAfter: blockedRetry}, nil
	}
	roles, err := g.inDependencyOrder()
	if err != nil {
		r.warn(obj, "InvalidRoleDependency", "%v", err)
		return ctrl.Result{}, nil
	}
	for _, role := range roles {
		unmet, err := r.unmetDependency(ctx, g, role)
		if err != nil {
			return ctrl.Result{}, err
		}
		if unmet != "" {
			r.warn(obj, "DependencyNotMet", "role %s waits for role %s", role.name, unmet)
			return ctrl.Result{RequeueAfter: blockedRetry}, nil
		}
		if err := r.reconcileRole(ctx, g, role, plan); err != nil {
			return ctrl.Result{}, fmt.Errorf("role %s: %w", role.name, err)
		}
	}
	if err := r.removeOrphans(ctx, g); err != nil {
		return ctrl.Result{}, err
	}
	r.events.Eventf(obj, nil, corev1.EventTypeNormal, "Succeed", "Reconcile", "ReconcileSucceed")
	return ctrl.Result{}, nil
}

func (r *groupReconciler) warn(obj *unstructured.Unstructured, reason, format string, args ...any) {
	r.events.Eventf(obj, nil, corev1.EventTypeWarning, reason, "Reconcile", format, args...)
}

// overrideReplicas lets bound adapters decide, in memory only.
func (r *groupReconciler) overrideReplicas(ctx context.Context, g *group) error {
	adapters := g.api.newList(KindAdapter)
	if err := r.client.List(ctx, adapters, client.InNamespace(g.obj.GetNamespace())); err != nil {
		return err
	}
	for _, adapter := range adapters.Items {
		target := targetOf(&adapter)
		role := g.role(target.role)
		wanted, set := nestedInt(adapter.Object, "spec", "replicas")
		if target.group != g.obj.GetName() || role == nil || !ownedBy(&adapter, g.obj) || phaseOf(&adapter) != phaseBound || !set || wanted == role.replicas {
			continue
		}
		r.events.Eventf(g.obj, nil, corev1.EventTypeWarning, "ReplicasOverriddenByAdapter", "Reconcile",
			"role %s: the bound scaling adapter %s asks for %d replicas, the group for %d", role.name, adapter.GetName(), wanted, role.replicas)
		role.replicas = wanted
	}
	return nil
}

// reconcileRole applies the role's workload and its adapter.
func (r *groupReconciler) reconcileRole(ctx context.Context, g *group, role *role, plan plan) error {
	if err := r.reconcileService(ctx, g, role); err != nil {
		return err
	}
	changed := plan.of(role) // the adapter is that of the role as it is
	if err := r.reconcileWorkload(ctx, g, &changed); err != nil {
		return err
	}
	return r.reconcileAdapter(ctx, g, role)
}

func (r *groupReconciler) reconcileService(ctx context.Context, g *group, role *role) error {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: g.obj.GetNamespace(), Name: serviceName(g.obj.GetName(), role.name)}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, service, func() error {
		service.Labels = g.labels(role)
		service.Spec.ClusterIP = corev1.ClusterIPNone
		service.Spec.Selector = g.labels(role)
		service.Spec.PublishNotReadyAddresses = true
		return controllerutil.SetControllerReference(g.obj, service, r.client.Scheme())
	})
	return err
}

// reconcileAdapter makes the role's adapter, without replicas, or removes it.
func (r *groupReconciler) reconcileAdapter(ctx context.Context, g *group, role *role) error {
	adapter := g.api.newObject(KindAdapter, g.obj.GetNamespace(), g.obj.GetName()+"-"+role.name) // never cut
	err := r.client.Get(ctx, client.ObjectKeyFromObject(adapter), adapter)
	switch {
	case err == nil && !role.adapter && ownedBy(adapter, g.obj):
		return client.IgnoreNotFound(r.client.Delete(ctx, adapter))
	case err == nil || !role.adapter:
		return client.IgnoreNotFound(err)
	case !apierrors.IsNotFound(err):
		return err
	}
	labels := g.labels(role)
	maps.Copy(labels, role.adapterLabels)
	adapter.SetLabels(labels)
	adapter.SetOwnerReferences([]metav1.OwnerReference{groupOwner(g.obj)})
	adapter.Object["spec"] = map[string]any{"scaleTargetRef": map[string]any{"name": g.obj.GetName(), "role": role.name}}
	return r.client.Create(ctx, adapter)
}

// removeOrphans deletes what belongs to roles that the group no longer has, or that another kind carries now.
func (r *groupReconciler) removeOrphans(ctx context.Context, g *group) error {
	for _, kind := range append(g.api.workloads(), g.api.kind(KindAdapter)) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := r.client.List(ctx, list, client.InNamespace(g.obj.GetNamespace()), client.MatchingLabels{g.api.groupLabel(): g.obj.GetName()}); err != nil {
			return err
		}
		for _, item := range list.Items {
			role := g.role(item.GetLabels()[g.api.roleLabel()])
			if !ownedBy(&item, g.obj) || role != nil && (kind.Kind == KindAdapter || kind == role.workload) {
				continue
			}
			if err := r.client.Delete(ctx, &item, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	return nil
}

func groupOwner(g *unstructured.Unstructured) metav1.OwnerReference {
	block := true
	return metav1.OwnerReference{
		APIVersion: g.GetAPIVersion(), Kind: KindGroup, Name: g.GetName(), UID: g.GetUID(), BlockOwnerDeletion: &block,
	}
}

func ownedBy(obj, owner client.Object) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() })
}

// patchStatus writes some fields of an object's status.
func patchStatus(ctx context.Context, c client.Client, obj *unstructured.Unstructured, fields map[string]any) error {
	before := obj.DeepCopy()
	status, ok := obj.Object["status"].(map[string]any)
	if !ok {
		status = map[string]any{}
	}
	maps.Copy(status, fields)
	obj.Object["status"] = status
	return c.Status().Patch(ctx, obj, client.MergeFrom(before))
}
