package workload

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// carrier is the workload object that carries a role's pods: a RoleInstanceSet,
// StatefulSet, Deployment or LeaderWorkerSet. They share these fields.
type carrier struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Replicas *int32 `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Replicas        int    `json:"replicas"`
		ReadyReplicas   int    `json:"readyReplicas"`
		UpdatedReplicas *int   `json:"updatedReplicas"`
		CurrentRevision string `json:"currentRevision"`
		UpdateRevision  string `json:"updateRevision"`
	} `json:"status"`
}

// asCached asks the API server for what it has in its own cache: as old as the
// pods that are seen, and half the work for it.
var asCached = &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: "0"}}

// readCarrier reads the workload object of a role. It is nil where there is
// none yet, or where its kind may not be read. No count is decided from it.
func (w *Workload) readCarrier(ctx context.Context, g *group, r *role) (*carrier, error) {
	u := &unstructured.Unstructured{}
	kind := g.workloadKind(r)
	u.SetGroupVersionKind(kind)
	name := g.workloadName(r.Name)
	err := w.live.Get(ctx, client.ObjectKey{Namespace: g.Namespace, Name: name}, u, asCached)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s/%s of role %s: %w", kind.Kind, g.Namespace, name, r.Name, err)
	}
	c := &carrier{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, c); err != nil {
		return nil, fmt.Errorf("%s %s/%s of role %s cannot be understood: %w", kind.Kind, g.Namespace, name, r.Name, err)
	}
	if !ownedBy(c.OwnerReferences, g) {
		return nil, nil
	}
	return c, nil
}

// rollingOut reports whether a new revision of the role is being rolled out.
// The group's own status is no help: RBG does not write a change of
// updatedReplicas alone.
func (c *carrier) rollingOut() bool {
	if c == nil {
		return false
	}
	if c.Status.UpdateRevision != "" && c.Status.CurrentRevision != "" && c.Status.UpdateRevision != c.Status.CurrentRevision {
		return true
	}
	if c.Status.UpdatedReplicas != nil {
		return *c.Status.UpdatedReplicas < c.Status.Replicas
	}
	return c.leavesZeroOut() && c.Status.Replicas > 0
}

// leavesZeroOut reports whether the kind, which has no revisions in its status,
// says by no count of updated replicas that none is: a new template of which no
// pod could be made yet. Of other kinds nothing is known without the count.
func (c *carrier) leavesZeroOut() bool {
	kind := c.GroupVersionKind().GroupKind()
	return kind == deploymentKind || kind == lwsKind
}
