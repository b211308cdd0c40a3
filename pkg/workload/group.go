package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds of RBG that are read, besides those of versions.go. Their Go types
// cannot be imported (the module does not resolve, and pins other versions of
// Kubernetes), so small views of the fields in use stand in for them.
const (
	adapterKind = "RoleBasedGroupScalingAdapter"
	policyKind  = "CoordinatedPolicy" // v1alpha2 only; a field of the group before
)

var deploymentKind = schema.GroupKind{Group: "apps", Kind: "Deployment"}

// Annotations of a role.
const (
	workloadTypeAnnotation    = "rbg.workloads.x-k8s.io/role-workload-type"
	instancePatternAnnotation = "rbg.workloads.x-k8s.io/role-instance-pattern"
)

// group is a RoleBasedGroup, in the words of v1alpha2 whichever version was read.
type group struct {
	groupObject
	kinds kinds
}

// groupObject is what is read of a RoleBasedGroup.
type groupObject struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Roles         []role         `json:"roles"`
		RoleTemplates []roleTemplate `json:"roleTemplates"`
		// Coordination and PodGroupPolicy are v1alpha1's; v1alpha2 has an object
		// of its own for the one and annotations for the other.
		Coordination   []policyRule   `json:"coordination"`
		PodGroupPolicy map[string]any `json:"podGroupPolicy"`
	} `json:"spec"`
	Status struct {
		RoleStatuses []struct {
			Name          string `json:"name"`
			Replicas      int    `json:"replicas"`
			ReadyReplicas int    `json:"readyReplicas"`
		} `json:"roleStatuses"`
	} `json:"status"`
}

// role is what is read of one role of a group.
type role struct {
	Name           string            `json:"name"`
	Replicas       *int32            `json:"replicas"`
	Annotations    map[string]string `json:"annotations"`
	Dependencies   []string          `json:"dependencies"`
	ScalingAdapter struct {
		Enable bool `json:"enable"`
	} `json:"scalingAdapter"`

	Standalone       *templateSource   `json:"standalonePattern"`
	LeaderWorker     *leaderWorker     `json:"leaderWorkerPattern"`
	CustomComponents *customComponents `json:"customComponentsPattern"`
}

// readGroup reads the target. A group that is missing, or on its way out, is a *MissingError.
func (w *Workload) readGroup(ctx context.Context, t Target, now time.Time) (*group, error) {
	kinds, err := w.rbg(ctx, now)
	if errors.Is(err, errNotServed) {
		return nil, &MissingError{What: t.what(), Why: "cannot exist: " + err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.what(), err)
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kinds.group())
	err = w.live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Group}, u)
	switch {
	case apierrors.IsNotFound(err) && missesKind(err), meta.IsNoMatchError(err):
		w.forgetVersion()
		return nil, &MissingError{What: t.what(), Why: "cannot be read: the cluster no longer serves it in " + rbgGroup + "/" + kinds.version}
	case apierrors.IsNotFound(err):
		return nil, &MissingError{What: t.what(), Why: "does not exist"}
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", t.what(), err)
	}
	g, err := groupOf(u.Object, kinds)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be understood: %w", t.what(), err)
	}
	if g.DeletionTimestamp != nil {
		return nil, &MissingError{What: t.what(), Why: "is being deleted"}
	}
	return g, nil
}

// missesKind reports whether an API server's "not found" is about the kind and
// not about one object: it then names no object. A path that is not served is
// answered in plain text, into which the client itself puts the name asked for.
func missesKind(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) &&
		(status.Status().Details == nil || status.Status().Details.Name == "" || apierrors.IsUnexpectedServerError(err))
}

// groupOf takes a group as the API server has it.
func groupOf(object map[string]any, kinds kinds) (*group, error) {
	g := &group{kinds: kinds}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &g.groupObject); err != nil {
		return nil, err
	}
	if !kinds.legacy() {
		// An old field that someone left in a new group means nothing.
		g.Spec.Coordination, g.Spec.PodGroupPolicy = nil, nil
		return g, nil
	}
	var old struct {
		Spec struct {
			Roles []legacyRole `json:"roles"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, &old); err != nil {
		return nil, err
	}
	for i := range g.Spec.Roles {
		g.Spec.Roles[i].modernise(&old.Spec.Roles[i])
	}
	return g, nil
}

// role returns a role by name, nil where there is none.
func (g *group) role(name string) *role {
	for i := range g.Spec.Roles {
		if g.Spec.Roles[i].Name == name {
			return &g.Spec.Roles[i]
		}
	}
	return nil
}

// missingRole says that a role is not there, and which are.
func (g *group) missingRole(name string) string {
	names := make([]string, 0, len(g.Spec.Roles))
	for i := range g.Spec.Roles {
		names = append(names, g.Spec.Roles[i].Name)
	}
	return fmt.Sprintf("%s has no role %q; it has %s", g.what(), name, strings.Join(names, ", "))
}

// what names the group in a sentence.
func (g *group) what() string { return groupKind + " " + g.Namespace + "/" + g.Name }

// replicas is the role's own count; the API server's default is 1.
func (r *role) replicas() int {
	if r.Replicas == nil {
		return 1
	}
	return int(*r.Replicas)
}

// workloadKind is the kind of object that carries a role's pods.
func (g *group) workloadKind(r *role) schema.GroupVersionKind {
	value := r.Annotations[workloadTypeAnnotation]
	slash := strings.LastIndex(value, "/")
	if slash <= 0 {
		return g.kinds.defaultWorkload()
	}
	return schema.FromAPIVersionAndKind(value[:slash], value[slash+1:])
}

// stateless reports whether the role's replicas have no identity, so that any
// of them may go first. The annotation is RBG's own workloads' only: a StatefulSet
// takes the highest ordinal whatever it says.
func (g *group) stateless(r *role) bool {
	switch g.workloadKind(r).GroupKind() {
	case deploymentKind:
		return true
	case statefulSetKind, lwsKind:
		return false
	}
	return r.Annotations[instancePatternAnnotation] == "Stateless"
}

// workloadName is the name that RBG gives to the workload of a role.
func (g *group) workloadName(role string) string {
	name := g.Name + "-" + role
	return name[:min(len(name), 63)]
}
