package workload

import (
	"context"
	"fmt"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Kinds of which more is known than that they have a /scale.
var (
	lwsKind         = schema.GroupKind{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet"}
	statefulSetKind = schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
	replicaSetKind  = schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}
	roleScalerKind  = schema.GroupKind{Group: "disaggregatedset.x-k8s.io", Kind: "DisaggregatedSetRoleScaler"}
)

// Labels of the pods of a DisaggregatedSet; its role scalers carry the first two.
var roleScalerLabels = []string{"disaggregatedset.x-k8s.io/name", "disaggregatedset.x-k8s.io/role"}

const revisionLabel = "disaggregatedset.x-k8s.io/revision"

// scaled is one object with a /scale, as a role of the service.
type scaled struct {
	ref      ScaleRef
	object   *unstructured.Unstructured
	scale    autoscalingv1.Scale
	carrier  *carrier
	selector labels.Selector // nil where the scale has none that can be used
	// unset: the object has no count yet; it keeps what it has until one is written.
	unset bool
}

// readScaled reads an object and its scale. The two are read one after the
// other; the count is the scale's, and a write tests it.
func (w *Workload) readScaled(ctx context.Context, t Target, ref ScaleRef) (*scaled, error) {
	what := ref.Kind + " " + t.Namespace + "/" + ref.Name
	s := &scaled{ref: ref, object: &unstructured.Unstructured{}}
	s.object.SetGroupVersionKind(ref.gvk())
	err := w.live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: ref.Name}, s.object)
	switch {
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err) && missesKind(err):
		return nil, &MissingError{What: what, Why: "cannot exist: this cluster does not serve " + ref.Kind + " of " + ref.APIVersion}
	case apierrors.IsNotFound(err):
		return nil, &MissingError{What: what, Why: "does not exist"}
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	case s.object.GetDeletionTimestamp() != nil:
		return nil, &MissingError{What: what, Why: "is being deleted"}
	}
	// A client of untyped objects takes an untyped Scale only.
	scale := &unstructured.Unstructured{}
	scale.SetGroupVersionKind(autoscalingv1.SchemeGroupVersion.WithKind("Scale"))
	err = w.writer.SubResource("scale").Get(ctx, s.object.DeepCopy(), scale)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(scale.Object, &s.scale)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, &MissingError{What: what, Why: "has no /scale: allowed are kinds that have one, such as Deployment, StatefulSet and LeaderWorkerSet"}
	case err != nil:
		return nil, fmt.Errorf("read the scale of %s: %w", what, err)
	}
	s.carrier = &carrier{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(s.object.Object, s.carrier); err != nil {
		s.carrier = nil // another kind of status: its rollouts are not known
	}
	_, counted, _ := unstructured.NestedFieldNoCopy(s.object.Object, "spec", "replicas")
	s.unset = !counted && s.scale.Spec.Replicas == 0
	s.selector = s.selects()
	return s, nil
}

// selects is the selector of the object's pods, nil where there is none that
// can be used. A role scaler of a DisaggregatedSet may select the pods of the
// newest revision only, while those of older ones hold GPUs too.
func (s *scaled) selects() labels.Selector {
	if s.ref.gvk().GroupKind() == roleScalerKind {
		of := labels.Set{}
		for _, key := range roleScalerLabels {
			if value := s.object.GetLabels()[key]; value != "" {
				of[key] = value
			}
		}
		if len(of) == len(roleScalerLabels) {
			return labels.SelectorFromSet(of)
		}
	}
	selector, err := labels.Parse(strings.TrimSpace(s.scale.Status.Selector))
	if err != nil || selector.Empty() {
		return nil
	}
	return selector
}

// severalRevisions reports whether pods of more than one revision of a
// DisaggregatedSet are there.
func severalRevisions(members []member) bool {
	first := ""
	for _, m := range members {
		revision := m.Labels[revisionLabel]
		if first != "" && revision != "" && revision != first && !m.leaving {
			return true
		}
		if !m.leaving && revision != "" {
			first = revision
		}
	}
	return false
}

// path is where the object's count is written.
func (s *scaled) path() *writePath {
	return &writePath{
		kind: s.ref.gvk(), key: client.ObjectKey{Namespace: s.object.GetNamespace(), Name: s.ref.Name}, uid: s.object.GetUID(),
		role: s.ref.String(), scale: true, unset: s.unset,
	}
}

// ownsPods reports whether pods of the object have it at the end of their chain
// of owners. Adapters, such as Dynamo's, scale pods of something else.
func (s *scaled) ownsPods() bool {
	switch s.ref.gvk().GroupKind() {
	case deploymentKind, statefulSetKind, replicaSetKind, lwsKind:
		return true
	}
	return false
}

// members picks the object's pods from those of its namespace: by its scale's
// selector, with the other pods of their replicas (selectors of leader-worker
// kinds match leaders only); without a selector that can be used, by the chain
// of owners. known is false where neither way can tell.
func (w *Workload) membersOfScale(ctx context.Context, s *scaled, role string, all []corev1.Pod, owners, next ownerMemory) (members []member, foreigners int, known bool, err error) {
	matched := map[string]bool{} // replicas of which a pod was matched
	for i := range all {
		if s.matches(&all[i]) {
			matched[replicaIdentity(&all[i])] = true
		}
	}
	for i := range all {
		pod := &all[i]
		if finished(pod) || s.selector != nil && !matched[replicaIdentity(pod)] {
			continue
		}
		leaving := pod.DeletionTimestamp != nil
		if s.selector == nil || s.ownsPods() {
			unread := ours
			if s.selector == nil {
				unread = foreign
			}
			belongs, err := w.belongs(ctx, pod, s.object.GetUID(), unread, owners, next)
			if err != nil {
				return nil, 0, false, err
			}
			switch {
			case belongs == foreign:
				if s.selector != nil {
					foreigners++
				}
				continue
			case belongs == orphaned && s.selector == nil:
				continue // whose it was is not known
			}
			leaving = leaving || belongs == orphaned
		}
		members = append(members, member{Pod: pod, role: role, instance: instanceName(pod), leaving: leaving})
	}
	return members, foreigners, s.selector != nil || s.ownsPods() || len(members) > 0 || s.scale.Spec.Replicas == 0, nil
}

// matches reports whether the scale's selector picks a pod. A LeaderWorkerSet's
// own label picks the workers too.
func (s *scaled) matches(pod *corev1.Pod) bool {
	if s.ref.gvk().GroupKind() == lwsKind && pod.Labels[lwsNameLabel] == s.ref.Name {
		return true
	}
	return s.selector != nil && s.selector.Matches(labels.Set(pod.Labels))
}

// replicaIdentity is equal for pods of one replica.
func replicaIdentity(pod *corev1.Pod) string {
	if name := instanceName(pod); name != pod.Name {
		return "replica " + name
	}
	return "pod " + pod.Name
}

// shape is the pods of one replica by the object's template; known is false
// where the kind has none that is understood.
func (s *scaled) shape() (shape shape, known bool, err error) {
	spec, _, _ := unstructured.NestedMap(s.object.Object, "spec")
	if lws, ok := spec["leaderWorkerTemplate"].(map[string]any); ok && s.ref.gvk().GroupKind() == lwsKind {
		return lwsShape(lws)
	}
	template, ok := spec["template"].(map[string]any)
	if !ok {
		return shape, false, nil
	}
	if _, ok := template["spec"].(map[string]any); !ok {
		return shape, false, nil // something else is called a template there
	}
	pod, err := podSpec(template, nil)
	if err != nil {
		return shape, true, fmt.Errorf("%s: %w", s.ref, err)
	}
	shape.add(1, pod)
	return shape, true, nil
}

// lwsShape is the pods of one group of a LeaderWorkerSet: a leader, by its own
// template where it has one, and size-1 workers.
func lwsShape(spec map[string]any) (shape, bool, error) {
	var (
		out  shape
		view struct {
			Size           *int32         `json:"size"`
			LeaderTemplate map[string]any `json:"leaderTemplate"`
			WorkerTemplate map[string]any `json:"workerTemplate"`
		}
	)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &view); err != nil {
		return out, true, fmt.Errorf("spec.leaderWorkerTemplate cannot be understood: %w", err)
	}
	size := sizeOf(view.Size)
	if size < 1 {
		return out, true, fmt.Errorf("spec.leaderWorkerTemplate.size is %d, it must be at least 1", size)
	}
	worker, err := podSpec(view.WorkerTemplate, nil)
	if err != nil {
		return out, true, err
	}
	leader := worker
	if view.LeaderTemplate != nil {
		if leader, err = podSpec(view.LeaderTemplate, nil); err != nil {
			return out, true, err
		}
	}
	out.add(1, leader)
	out.add(size-1, worker)
	return out, true, nil
}

// stateless reports whether any replica may go first.
func (s *scaled) stateless() bool {
	kind := s.ref.gvk().GroupKind()
	return kind == deploymentKind || kind == replicaSetKind
}

// uidOf joins the identities of the objects behind the two roles: either of
// them made again is another service.
func uidOf(scales map[planner.Role]*scaled) types.UID {
	var parts []string
	for _, r := range scaledRoles {
		if s := scales[r]; s != nil {
			parts = append(parts, string(s.object.GetUID()))
		}
	}
	return types.UID(strings.Join(parts, "+"))
}
