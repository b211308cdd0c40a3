package rbgfake

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// instanceSetReconciler keeps as many RoleInstances as a set asks for, numbered from 0.
type instanceSetReconciler struct{ client client.Client }

func (r *instanceSetReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	set := newObject(KindInstanceSet, "", "")
	if err := r.client.Get(ctx, req.NamespacedName, set); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if set.GetDeletionTimestamp() != nil {
		return ctrl.Result{}, nil
	}
	replicas, _ := nestedInt(set.Object, "spec", "replicas")
	list := newList(KindInstance)
	if err := r.client.List(ctx, list, client.InNamespace(set.GetNamespace()), client.MatchingLabels{LabelInstanceOwner: string(set.GetUID())}); err != nil {
		return ctrl.Result{}, err
	}
	byOrdinal := map[int64]*unstructured.Unstructured{}
	var total, ready int64
	for i := range list.Items {
		instance := &list.Items[i]
		n, err := ordinalOf(instance.GetName())
		if err != nil {
			return ctrl.Result{}, err
		}
		byOrdinal[n] = instance
		if n >= replicas { // all at once, the garbage collector takes their pods
			if err := r.client.Delete(ctx, instance); client.IgnoreNotFound(err) != nil {
				return ctrl.Result{}, err
			}
			continue
		}
		total++
		if instanceReady(instance) {
			ready++
		}
	}
	for n := range replicas {
		if byOrdinal[n] != nil {
			continue
		}
		err := r.client.Create(ctx, r.newInstance(set, n, replicas))
		if apierrors.IsAlreadyExists(err) {
			return ctrl.Result{}, fmt.Errorf("RoleInstance %s-%d belongs to somebody else: %w", set.GetName(), n, err)
		}
		if err != nil {
			return ctrl.Result{}, err
		}
		total++
	}
	return ctrl.Result{}, r.writeStatus(ctx, set, total, ready)
}

// newInstance makes the RoleInstance of an ordinal. Its index label is that of the last one: the original makes one map of
// labels for all instances of a pass and changes it as it goes.
func (r *instanceSetReconciler) newInstance(set *unstructured.Unstructured, ordinal, replicas int64) *unstructured.Unstructured {
	instance := newObject(KindInstance, set.GetNamespace(), fmt.Sprintf("%s-%d", set.GetName(), ordinal))
	instance.SetLabels(map[string]string{
		LabelGroupName:     set.GetLabels()[LabelGroupName],
		LabelGroupUID:      set.GetLabels()[LabelGroupUID],
		LabelRoleName:      set.GetLabels()[LabelRoleName],
		LabelRoleType:      set.GetLabels()[LabelRoleType],
		LabelInstanceName:  instance.GetName(),
		LabelInstanceOwner: string(set.GetUID()),
		LabelInstanceIndex: strconv.FormatInt(replicas-1, 10),
	})
	instance.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(set, GroupVersion.WithKind(KindInstanceSet))})
	template, _, _ := unstructured.NestedMap(set.Object, "spec", "roleInstanceTemplate")
	template["readyPolicy"] = "AllPodReady"
	instance.Object["spec"] = template
	return instance
}

// writeStatus counts RoleInstances, not pods, so it is ahead of those that still terminate.
func (r *instanceSetReconciler) writeStatus(ctx context.Context, set *unstructured.Unstructured, total, ready int64) error {
	matchLabels, _, _ := unstructured.NestedStringMap(set.Object, "spec", "selector", "matchLabels")
	status := map[string]any{
		"observedGeneration":   set.GetGeneration(),
		"replicas":             total,
		"readyReplicas":        ready,
		"availableReplicas":    ready,
		"currentReplicas":      total,
		"updatedReplicas":      total, // no rollouts, see doc.go
		"updatedReadyReplicas": ready,
		"labelSelector":        labels.SelectorFromSet(matchLabels).String(),
	}
	if equality.Semantic.DeepEqual(set.Object["status"], status) {
		return nil
	}
	return patchStatus(ctx, r.client, set, status)
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
