package rbgfake

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// labelPodGroup is how scheduler-plugins finds the pods of a gang.
const labelPodGroup = "pod-group.scheduling.sigs.k8s.io/name"

// gangTimeoutSeconds is how long a gang may wait for its last pod.
const gangTimeoutSeconds = 60

// gang reports whether all pods of the group are to be placed together.
func (g *group) gang() bool {
	policy, found, _ := unstructured.NestedMap(g.obj.Object, "spec", "podGroupPolicy")
	return g.obj.GetAnnotations()[annotationGroupGang] == "true" || found && len(policy) > 0
}

// checkGangs refuses a group that asks for both kinds of gang.
func (g *group) checkGangs() error {
	if a := g.obj.GetAnnotations(); a[annotationGroupGang] == "true" && a[annotationInstanceGang] == "true" {
		return fmt.Errorf("annotations %s and %s: only one of them is allowed", annotationGroupGang, annotationInstanceGang)
	}
	return nil
}

// joinGang labels a pod template as one of the gang's.
func (g *group) joinGang(template map[string]any) {
	if !g.gang() {
		return
	}
	u := unstructured.Unstructured{Object: template}
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelPodGroup] = g.obj.GetName()
	u.SetLabels(labels)
}

// size is how many pods the group has. A replica of custom components counts as one, as in the original.
func (g *group) size() int64 {
	total := int64(0)
	for i := range g.roles {
		pods := int64(0)
		for _, c := range g.roles[i].components {
			pods += c.size
		}
		if g.roles[i].pattern == customComponents {
			pods = 1
		}
		total += g.roles[i].replicas * pods
	}
	return total
}

// reconcileGang keeps the PodGroup at the size of the group, which every change of a count changes.
func (r *groupReconciler) reconcileGang(ctx context.Context, g *group) error {
	p := &unstructured.Unstructured{}
	p.SetGroupVersionKind(podGroupKind)
	p.SetNamespace(g.obj.GetNamespace())
	p.SetName(g.obj.GetName())
	if !g.gang() {
		if err := r.client.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil || !metav1.IsControlledBy(p, g.obj) {
			if meta.IsNoMatchError(err) {
				return nil
			}
			return client.IgnoreNotFound(err)
		}
		return client.IgnoreNotFound(r.client.Delete(ctx, p))
	}
	_, err := controllerutil.CreateOrUpdate(ctx, r.client, p, func() error {
		p.Object["spec"] = map[string]any{"minMember": g.size(), "scheduleTimeoutSeconds": int64(gangTimeoutSeconds)}
		return controllerutil.SetControllerReference(g.obj, p, r.client.Scheme())
	})
	return err
}
