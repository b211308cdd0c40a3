package rbgfake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// groupReconciler makes a RoleInstanceSet, a Service and perhaps an adapter of each role.
type groupReconciler struct {
	client client.Client
	events events.EventRecorder
}

// Reconcile goes the original's steps in its order, on which much of what an autoscaler sees depends: statuses are taken
// before the roles change, and a role that may not change ends the pass.
func (r *groupReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := newObject(KindGroup, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if obj.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil // the garbage collector takes the rest
	}
	g, err := decodeGroup(obj)
	if err != nil {
		r.events.Eventf(obj, nil, corev1.EventTypeWarning, "InvalidRoleTemplates", "Reconcile", "%v", err)
		return ctrl.Result{}, nil // nothing changes until the group does
	}
	if err := r.overrideReplicas(ctx, g); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.writeStatus(ctx, g); err != nil {
		return ctrl.Result{}, err
	}
	for _, role := range g.inDependencyOrder() {
		unmet, err := r.unmetDependency(ctx, g, role)
		if err != nil {
			return ctrl.Result{}, err
		}
		if unmet != "" {
			r.events.Eventf(obj, nil, corev1.EventTypeWarning, "DependencyNotMet", "Reconcile", "role %s waits for role %s", role.name, unmet)
			return ctrl.Result{RequeueAfter: time.Second}, nil
		}
		if err := r.reconcileRole(ctx, g, role); err != nil {
			return ctrl.Result{}, fmt.Errorf("role %s: %w", role.name, err)
		}
	}
	if err := r.removeOrphans(ctx, g); err != nil {
		return ctrl.Result{}, err
	}
	r.events.Eventf(obj, nil, corev1.EventTypeNormal, "Succeed", "Reconcile", "ReconcileSucceed")
	return ctrl.Result{}, nil
}

// overrideReplicas lets bound adapters decide, in memory only.
func (r *groupReconciler) overrideReplicas(ctx context.Context, g *group) error {
	adapters := newList(KindAdapter)
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

// writeStatus reports what the workloads say now, before this pass changes them.
func (r *groupReconciler) writeStatus(ctx context.Context, g *group) error {
	old, _, err := unstructured.NestedSlice(g.obj.Object, "status", "roleStatuses")
	if err != nil {
		return err
	}
	statuses := old
	ready := true
	for _, role := range g.roles {
		set := newObject(KindInstanceSet, "", "")
		err := r.client.Get(ctx, client.ObjectKey{Namespace: g.obj.GetNamespace(), Name: workloadName(g.obj.GetName(), role.name)}, set)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		replicas, _ := nestedInt(set.Object, "status", "replicas")
		readyReplicas, _ := nestedInt(set.Object, "status", "readyReplicas")
		updatedReplicas, _ := nestedInt(set.Object, "status", "updatedReplicas")
		ready = ready && err == nil && role.replicas == replicas && replicas == readyReplicas
		if err != nil {
			continue // no workload yet, no status
		}
		statuses = withRoleStatus(statuses, map[string]any{
			"name": role.name, "replicas": replicas, "readyReplicas": readyReplicas, "updatedReplicas": updatedReplicas,
		})
	}
	conditions := readyCondition(g.obj, ready)
	oldConditions, _, _ := unstructured.NestedSlice(g.obj.Object, "status", "conditions")
	observed, _ := nestedInt(g.obj.Object, "status", "observedGeneration")
	if observed == g.obj.GetGeneration() && equality.Semantic.DeepEqual(conditions, oldConditions) && sameCounts(old, statuses) {
		return nil
	}
	return patchStatus(ctx, r.client, g.obj, map[string]any{
		"observedGeneration": g.obj.GetGeneration(),
		"roleStatuses":       statuses,
		"conditions":         conditions,
	})
}

// withRoleStatus replaces or appends one role's status. Roles that are gone keep theirs.
func withRoleStatus(statuses []any, status map[string]any) []any {
	out := slices.Clone(statuses)
	for i, s := range out {
		if m, ok := s.(map[string]any); ok && m["name"] == status["name"] {
			out[i] = status
			return out
		}
	}
	return append(out, status)
}

// sameCounts compares two lists of role statuses as the original does: without updatedReplicas.
func sameCounts(a, b []any) bool {
	strip := func(list []any) []any {
		var out []any
		for _, s := range list {
			if m, ok := s.(map[string]any); ok {
				m = maps.Clone(m)
				delete(m, "updatedReplicas")
				out = append(out, m)
			}
		}
		return out
	}
	return equality.Semantic.DeepEqual(strip(a), strip(b))
}

func readyCondition(obj *unstructured.Unstructured, ready bool) []any {
	status, reason := "False", "RoleNotReady"
	if ready {
		status, reason = "True", "AllRolesReady"
	}
	return conditionList(obj, "Ready", status, reason)
}

// conditionList is the status.conditions of an object with one condition, whose time changes only when its status does.
func conditionList(obj *unstructured.Unstructured, kind, status, reason string) []any {
	since := metav1.Now().UTC().Format(time.RFC3339)
	old, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range old {
		if m, ok := c.(map[string]any); ok && m["type"] == kind && m["status"] == status {
			since, _ = m["lastTransitionTime"].(string)
		}
	}
	return []any{map[string]any{"type": kind, "status": status, "reason": reason, "lastTransitionTime": since}}
}

// inDependencyOrder returns the roles with every dependency before its dependents, else in their own order.
func (g *group) inDependencyOrder() []*role {
	var out []*role
	visited := map[string]bool{}
	var visit func(*role)
	visit = func(r *role) {
		if visited[r.name] {
			return // a cycle ends here too
		}
		visited[r.name] = true
		for _, d := range r.dependencies {
			visit(g.role(d))
		}
		out = append(out, r)
	}
	for i := range g.roles {
		visit(&g.roles[i])
	}
	return out
}

// unmetDependency returns the first role that this one has to wait for, at whatever stage of its life.
func (r *groupReconciler) unmetDependency(ctx context.Context, g *group, role *role) (string, error) {
	for _, name := range role.dependencies {
		set := newObject(KindInstanceSet, "", "")
		err := r.client.Get(ctx, client.ObjectKey{Namespace: g.obj.GetNamespace(), Name: workloadName(g.obj.GetName(), name)}, set)
		if apierrors.IsNotFound(err) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		wanted, _ := nestedInt(set.Object, "spec", "replicas")
		ready, _ := nestedInt(set.Object, "status", "readyReplicas")
		if ready != wanted {
			return name, nil
		}
	}
	return "", nil
}

// reconcileRole applies the role's workload and its adapter.
func (r *groupReconciler) reconcileRole(ctx context.Context, g *group, role *role) error {
	if err := r.reconcileService(ctx, g, role); err != nil {
		return err
	}
	set := newObject(KindInstanceSet, g.obj.GetNamespace(), workloadName(g.obj.GetName(), role.name))
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, set, func() error {
		labels := roleLabels(g, role)
		all := set.GetLabels()
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, labels)
		all[LabelRoleType] = string(role.pattern)
		set.SetLabels(all)
		set.Object["spec"] = instanceSetSpec(g, role, labels)
		return controllerutil.SetControllerReference(g.obj, set, r.client.Scheme())
	})
	if err != nil {
		return err
	}
	return r.reconcileAdapter(ctx, g, role)
}

func instanceSetSpec(g *group, role *role, labels map[string]string) map[string]any {
	matchLabels := map[string]any{}
	for key, value := range labels {
		matchLabels[key] = value
	}
	var components []any
	for _, c := range role.components {
		components = append(components, map[string]any{
			"name":        c.name,
			"size":        c.size,
			"serviceName": serviceName(g.obj.GetName(), role.name),
			"template":    role.templateFor(c, labels),
		})
	}
	return map[string]any{
		"replicas":             role.replicas,
		"selector":             map[string]any{"matchLabels": matchLabels},
		"podManagementPolicy":  "Parallel",
		"roleInstanceTemplate": map[string]any{"components": components},
	}
}

func (r *groupReconciler) reconcileService(ctx context.Context, g *group, role *role) error {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: g.obj.GetNamespace(), Name: serviceName(g.obj.GetName(), role.name)}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, service, func() error {
		service.Labels = roleLabels(g, role)
		service.Spec.ClusterIP = corev1.ClusterIPNone
		service.Spec.Selector = roleLabels(g, role)
		service.Spec.PublishNotReadyAddresses = true
		return controllerutil.SetControllerReference(g.obj, service, r.client.Scheme())
	})
	return err
}

// reconcileAdapter makes the role's adapter, without replicas, or removes it.
func (r *groupReconciler) reconcileAdapter(ctx context.Context, g *group, role *role) error {
	adapter := newObject(KindAdapter, g.obj.GetNamespace(), workloadName(g.obj.GetName(), role.name))
	err := r.client.Get(ctx, client.ObjectKeyFromObject(adapter), adapter)
	switch {
	case err == nil && !role.adapter && ownedBy(adapter, g.obj):
		return client.IgnoreNotFound(r.client.Delete(ctx, adapter))
	case err == nil || !role.adapter:
		return client.IgnoreNotFound(err)
	case !apierrors.IsNotFound(err):
		return err
	}
	labels := roleLabels(g, role)
	maps.Copy(labels, role.adapterLabels)
	adapter.SetLabels(labels)
	adapter.SetOwnerReferences([]metav1.OwnerReference{groupOwner(g.obj)})
	adapter.Object["spec"] = map[string]any{"scaleTargetRef": map[string]any{"name": g.obj.GetName(), "role": role.name}}
	return r.client.Create(ctx, adapter)
}

// removeOrphans deletes what belongs to roles that the group no longer has.
func (r *groupReconciler) removeOrphans(ctx context.Context, g *group) error {
	for _, kind := range []string{KindInstanceSet, KindAdapter} {
		list := newList(kind)
		if err := r.client.List(ctx, list, client.InNamespace(g.obj.GetNamespace()), client.MatchingLabels{LabelGroupName: g.obj.GetName()}); err != nil {
			return err
		}
		for _, item := range list.Items {
			if !ownedBy(&item, g.obj) || g.role(item.GetLabels()[LabelRoleName]) != nil {
				continue
			}
			if err := r.client.Delete(ctx, &item); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	return nil
}

func groupOwner(g *unstructured.Unstructured) metav1.OwnerReference {
	block := true
	return metav1.OwnerReference{
		APIVersion: GroupVersion.String(), Kind: KindGroup, Name: g.GetName(), UID: g.GetUID(), BlockOwnerDeletion: &block,
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
