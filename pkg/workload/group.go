package workload

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds of RBG that are read. Their Go types cannot be imported (the module
// does not resolve, and pins other versions of Kubernetes), so small views of
// the fields in use stand in for them.
var (
	groupVersion   = schema.GroupVersion{Group: "workloads.x-k8s.io", Version: "v1alpha2"}
	GroupKind      = groupVersion.WithKind("RoleBasedGroup")
	AdapterKind    = groupVersion.WithKind("RoleBasedGroupScalingAdapter")
	policyKind     = groupVersion.WithKind("CoordinatedPolicy")
	roleSetKind    = groupVersion.WithKind("RoleInstanceSet")
	deploymentKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
)

// Annotations of a role.
const (
	workloadTypeAnnotation    = "rbg.workloads.x-k8s.io/role-workload-type"
	instancePatternAnnotation = "rbg.workloads.x-k8s.io/role-instance-pattern"
)

// group is what is read of a RoleBasedGroup.
type group struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Roles         []role         `json:"roles"`
		RoleTemplates []roleTemplate `json:"roleTemplates"`
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
func (w *Workload) readGroup(ctx context.Context, t Target) (*group, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(GroupKind)
	err := w.live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Group}, u)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &MissingError{t.Namespace, t.Group, "does not exist"}
	case meta.IsNoMatchError(err):
		return nil, &MissingError{t.Namespace, t.Group, "cannot exist: this cluster does not serve RoleBasedGroup of " + groupVersion.String() + " (RBG v0.7 or later)"}
	case err != nil:
		return nil, fmt.Errorf("read RoleBasedGroup %s/%s: %w", t.Namespace, t.Group, err)
	}
	g := &group{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, g); err != nil {
		return nil, fmt.Errorf("RoleBasedGroup %s/%s cannot be understood: %w", t.Namespace, t.Group, err)
	}
	if g.DeletionTimestamp != nil {
		return nil, &MissingError{t.Namespace, t.Group, "is being deleted"}
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
	return fmt.Sprintf("RoleBasedGroup %s/%s has no role %q; it has %s", g.Namespace, g.Name, name, strings.Join(names, ", "))
}

// replicas is the role's own count; the API server's default is 1.
func (r *role) replicas() int {
	if r.Replicas == nil {
		return 1
	}
	return int(*r.Replicas)
}

// workloadKind is the kind of object that carries the role's pods.
func (r *role) workloadKind() schema.GroupVersionKind {
	value := r.Annotations[workloadTypeAnnotation]
	slash := strings.LastIndex(value, "/")
	if slash <= 0 {
		return roleSetKind
	}
	return schema.FromAPIVersionAndKind(value[:slash], value[slash+1:])
}

// stateless reports whether the role's replicas have no identity, so that any
// of them may go first.
func (r *role) stateless() bool {
	return r.Annotations[instancePatternAnnotation] == "Stateless" || r.workloadKind().GroupKind() == deploymentKind.GroupKind()
}

// workloadName is the name that RBG gives to the workload and to the adapter of a role.
func (g *group) workloadName(role string) string {
	name := g.Name + "-" + role
	return name[:min(len(name), 63)]
}
