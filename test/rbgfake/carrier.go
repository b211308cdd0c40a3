package rbgfake

import (
	"context"
	"maps"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// counts are what a role's workload says of itself. All kinds that carry roles have these fields.
type counts struct {
	wanted                   int64 // its specification's
	replicas, ready, updated int64
	rollingOut               bool
}

// countsOf reads a role's workload; false where there is none yet.
func (r *groupReconciler) countsOf(ctx context.Context, g *group, role *role) (counts, bool, error) {
	w := g.workload(role)
	err := r.client.Get(ctx, client.ObjectKeyFromObject(w), w)
	if apierrors.IsNotFound(err) {
		return counts{}, false, nil
	}
	if err != nil {
		return counts{}, false, err
	}
	var c counts
	c.wanted, _ = nestedInt(w.Object, "spec", "replicas")
	c.replicas, _ = nestedInt(w.Object, "status", "replicas")
	c.ready, _ = nestedInt(w.Object, "status", "readyReplicas")
	c.updated, _ = nestedInt(w.Object, "status", "updatedReplicas")
	current, _, _ := unstructured.NestedString(w.Object, "status", "currentRevision")
	update, _, _ := unstructured.NestedString(w.Object, "status", "updateRevision")
	c.rollingOut = current != update
	return c, true, nil
}

// workload is the empty object that carries a role.
func (g *group) workload(r *role) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(r.workload)
	u.SetNamespace(g.obj.GetNamespace())
	u.SetName(workloadName(g.obj.GetName(), r.name))
	return u
}

// workloads are the kinds that may carry roles.
func (a API) workloads() []schema.GroupVersionKind {
	kinds := []schema.GroupVersionKind{statefulSetKind, deploymentKind}
	if a == V1Alpha2 {
		kinds = append(kinds, GroupVersion.WithKind(KindInstanceSet))
	}
	return kinds
}

// labels are on everything that belongs to a role.
func (g *group) labels(r *role) map[string]string {
	return g.api.roleLabels(g.obj.GetNamespace(), g.obj.GetName(), r.name)
}

func (r *groupReconciler) reconcileWorkload(ctx context.Context, g *group, role *role) error {
	if role.workload.Kind == KindInstanceSet {
		return r.reconcileInstanceSet(ctx, g, role)
	}
	return r.applyWorkload(ctx, g, role)
}

// applyWorkload makes the StatefulSet or the Deployment of a role, by server-side apply: it has many fields that others fill.
func (r *groupReconciler) applyWorkload(ctx context.Context, g *group, role *role) error {
	labels := g.labels(role)
	template := role.templateFor(role.components[0], maps.Clone(labels))
	if err := injectEnv(template, g.api.identityEnv(g.obj.GetName(), role.name)); err != nil {
		return err
	}
	g.joinGang(template)
	spec := map[string]any{
		"replicas": role.replicas,
		"selector": map[string]any{"matchLabels": toAnyMap(labels)},
		"template": template,
	}
	if role.workload == statefulSetKind {
		spec["serviceName"] = serviceName(g.obj.GetName(), role.name)
		spec["podManagementPolicy"] = "Parallel"
		if partition, ok := nestedInt(role.rollingUpdate, "partition"); ok {
			spec["updateStrategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"partition": partition}}
		}
	}
	w := g.workload(role)
	w.SetLabels(labels)
	w.SetAnnotations(map[string]string{labelPrefix + "role-size": strconv.FormatInt(role.replicas, 10)})
	w.Object["spec"] = spec
	if err := controllerutil.SetControllerReference(g.obj, w, r.client.Scheme()); err != nil {
		return err
	}
	return r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(w), client.FieldOwner("rbg"), client.ForceOwnership)
}

// reconcileInstanceSet makes the RoleInstanceSet of a role. Which replicas are to go is for others to say, and is kept.
func (r *groupReconciler) reconcileInstanceSet(ctx context.Context, g *group, role *role) error {
	set := newObject(KindInstanceSet, g.obj.GetNamespace(), workloadName(g.obj.GetName(), role.name))
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, set, func() error {
		labels := g.labels(role)
		all := set.GetLabels()
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, labels)
		all[LabelRoleType] = string(role.pattern)
		set.SetLabels(all)
		pattern := "Stateful"
		if role.stateless {
			pattern = "Stateless"
		}
		annotations := set.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotationInstancePattern] = pattern
		set.SetAnnotations(annotations)
		spec := instanceSetSpec(g, role, labels)
		if strategy, found, _ := unstructured.NestedMap(set.Object, "spec", "scaleStrategy"); found {
			spec["scaleStrategy"] = strategy
		}
		set.Object["spec"] = spec
		return controllerutil.SetControllerReference(g.obj, set, r.client.Scheme())
	})
	return err
}

func instanceSetSpec(g *group, role *role, labels map[string]string) map[string]any {
	var components []any
	for _, c := range role.components {
		template := role.templateFor(c, labels)
		g.joinGang(template)
		components = append(components, map[string]any{
			"name":        c.name,
			"size":        c.size,
			"serviceName": serviceName(g.obj.GetName(), role.name),
			"template":    template,
		})
	}
	spec := map[string]any{
		"replicas":             role.replicas,
		"selector":             map[string]any{"matchLabels": toAnyMap(labels)},
		"podManagementPolicy":  "Parallel",
		"roleInstanceTemplate": map[string]any{"components": components},
	}
	if role.ordered {
		spec["podManagementPolicy"] = "OrderedReady"
	}
	if len(role.rollingUpdate) > 0 {
		spec["updateStrategy"] = role.rollingUpdate
	}
	return spec
}

func toAnyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for key, value := range m {
		out[key] = value
	}
	return out
}
