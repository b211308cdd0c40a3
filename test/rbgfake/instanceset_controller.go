package rbgfake

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// instanceSetReconciler keeps as many RoleInstances as a set asks for: numbered from 0 (stateful.go), or without an identity
// (stateless.go).
type instanceSetReconciler struct{ client client.Client }

// A setPass is one look at a RoleInstanceSet.
type setPass struct {
	client    client.Client
	set       *unstructured.Unstructured
	replicas  int64
	strategy  updateStrategy
	revisions revisions
	instances []*unstructured.Unstructured // those that are there, in no order
	after     time.Duration                // when to look again, 0: when something changes
}

func (r *instanceSetReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	set := newObject(KindInstanceSet, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, set); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if set.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil
	}
	p := &setPass{client: r.client, set: set}
	p.replicas, _ = nestedInt(set.Object, "spec", "replicas")
	var err error
	if p.strategy, err = updateStrategyOf(set, p.replicas); err != nil {
		return ctrl.Result{}, err
	}
	if p.revisions, err = revisionsOf(ctx, r.client, set); err != nil {
		return ctrl.Result{}, err
	}
	list := newList(KindInstance)
	if err := r.client.List(ctx, list, client.InNamespace(set.GetNamespace()), client.MatchingLabels{LabelInstanceOwner: string(set.GetUID())}); err != nil {
		return ctrl.Result{}, err
	}
	for i := range list.Items {
		p.instances = append(p.instances, &list.Items[i])
	}
	if set.GetAnnotations()[annotationInstancePattern] == "Stateless" {
		err = p.stateless(ctx)
	} else {
		err = p.stateful(ctx)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: p.after}, p.writeStatus(ctx)
}

// remove deletes a RoleInstance; the garbage collector takes its pods.
func (p *setPass) remove(ctx context.Context, instance *unstructured.Unstructured) error {
	for i := range p.instances {
		if p.instances[i] == instance {
			p.instances = append(p.instances[:i:i], p.instances[i+1:]...)
			break
		}
	}
	return client.IgnoreNotFound(p.client.Delete(ctx, instance, client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

// create makes a RoleInstance of a revision.
func (p *setPass) create(ctx context.Context, name, revision string, identity map[string]string) error {
	instance := newObject(KindInstance, p.set.GetNamespace(), name)
	all := map[string]string{
		LabelGroupName:     p.set.GetLabels()[LabelGroupName],
		LabelGroupUID:      p.set.GetLabels()[LabelGroupUID],
		LabelRoleName:      p.set.GetLabels()[LabelRoleName],
		LabelRoleType:      p.set.GetLabels()[LabelRoleType],
		LabelInstanceName:  name,
		LabelInstanceOwner: string(p.set.GetUID()),
		labelRevision:      revision,
	}
	maps.Copy(all, identity)
	instance.SetLabels(all)
	instance.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(p.set, GroupVersion.WithKind(KindInstanceSet))})
	u := &unstructured.Unstructured{}
	content := fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Template", "template": %s}`, p.revisions.templates[revision])
	if err := u.UnmarshalJSON(content); err != nil { // whole numbers as int64, which plain JSON does not give
		return err
	}
	template, _, _ := unstructured.NestedMap(u.Object, "template")
	template["readyPolicy"] = "AllPodReady"
	instance.Object["spec"] = template
	if err := p.client.Create(ctx, instance); err != nil {
		return err
	}
	p.instances = append(p.instances, instance)
	return nil
}

// writeStatus counts RoleInstances, not pods, so it is ahead of those that still terminate.
func (p *setPass) writeStatus(ctx context.Context) error {
	matchLabels, _, _ := unstructured.NestedStringMap(p.set.Object, "spec", "selector", "matchLabels")
	var ready, current, updated, updatedReady int64
	for _, instance := range p.instances {
		isReady := instanceReady(instance)
		if isReady {
			ready++
		}
		if revisionOf(instance) == p.revisions.current {
			current++
		}
		if revisionOf(instance) == p.revisions.update {
			updated++
			if isReady {
				updatedReady++
			}
		}
	}
	status := map[string]any{
		"observedGeneration":   p.set.GetGeneration(),
		"replicas":             int64(len(p.instances)),
		"readyReplicas":        ready,
		"availableReplicas":    ready,
		"currentReplicas":      current,
		"updatedReplicas":      updated,
		"updatedReadyReplicas": updatedReady,
		"currentRevision":      p.revisions.current,
		"updateRevision":       p.revisions.update,
		"labelSelector":        labels.SelectorFromSet(matchLabels).String(),
	}
	if p.finished(updated, updatedReady) {
		status["currentRevision"] = p.revisions.update
	}
	if equality.Semantic.DeepEqual(p.set.Object["status"], status) {
		return nil
	}
	return patchStatus(ctx, p.client, p.set, status)
}

func ordinalOf(instance string) (int64, error) {
	_, digits, ok := cutLast(instance, "-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("RoleInstance %s: its name does not end in an ordinal", instance)
	}
	return n, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// instanceReady reads what the instance's own controller found.
func instanceReady(instance *unstructured.Unstructured) bool {
	if instance.GetDeletionTimestamp() != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(instance.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == conditionInstanceReady {
			return m["status"] == "True"
		}
	}
	return false
}
