package rbgfake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API version of all kinds of this package, but for groups and adapters of V1Alpha1.
var GroupVersion = schema.GroupVersion{Group: "workloads.x-k8s.io", Version: "v1alpha2"}

// The kinds of this package.
const (
	KindGroup       = "RoleBasedGroup"
	KindAdapter     = "RoleBasedGroupScalingAdapter"
	KindInstanceSet = "RoleInstanceSet"
	KindInstance    = "RoleInstance"
	KindPolicy      = "CoordinatedPolicy"
)

// Kinds of others that carry roles or gangs.
var (
	statefulSetKind = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"}
	deploymentKind  = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	podGroupKind    = schema.GroupVersionKind{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Kind: "PodGroup"}
)

// Labels that identify a pod, as RBG v0.7 and later write them.
const (
	labelPrefix = "rbg.workloads.x-k8s.io/"

	LabelGroupName      = labelPrefix + "group-name"
	LabelGroupUID       = labelPrefix + "group-uid" // a hash of namespace and name
	LabelRoleName       = labelPrefix + "role-name"
	LabelRoleType       = labelPrefix + "role-type"
	LabelInstanceName   = labelPrefix + "role-instance-name"
	LabelInstanceOwner  = labelPrefix + "role-instance-owner"
	LabelInstanceID     = labelPrefix + "role-instance-id"     // of stateless roles
	LabelInstanceDelete = labelPrefix + "role-instance-delete" // "true": this one is to go
	LabelInstanceIndex  = labelPrefix + "role-instance-index"  // wrong, see doc.go
	LabelComponentName  = labelPrefix + "component-name"
	LabelComponentID    = labelPrefix + "component-id"
	LabelComponentIndex = labelPrefix + "component-index" // leader 0, workers from 1
	LabelComponentSize  = labelPrefix + "component-size"
)

// Annotations of a role.
const (
	annotationWorkloadType    = labelPrefix + "role-workload-type"
	annotationInstancePattern = labelPrefix + "role-instance-pattern"
)

// AnnotationDeletionCost of a RoleInstance makes it stay longer than those with a lower one, in stateless roles.
const AnnotationDeletionCost = "controller.kubernetes.io/instance-deletion-cost"

// Annotations of a group that ask for gangs; the second is meant for roles, and refused beside the first.
const (
	annotationGroupGang    = labelPrefix + "group-gang-scheduling"
	annotationInstanceGang = labelPrefix + "role-instance-gang-scheduling"
)

// maxName is the longest name of an object that appears in a label or a host name.
const maxName = 63

// workloadName is the name of a role's RoleInstanceSet and of its scaling adapter.
func workloadName(group, role string) string {
	name := group + "-" + role
	return name[:min(len(name), maxName)]
}

// serviceName is the name of a role's headless Service.
func serviceName(group, role string) string {
	name := "s-" + group + "-" + role
	return name[:min(len(name), maxName)]
}

// groupUID is the value of LabelGroupUID.
func groupUID(namespace, name string) string {
	sum := sha256.Sum256([]byte(namespace + "/" + name))
	return hex.EncodeToString(sum[:8])
}

// newObject is an empty object of one of this package's kinds.
func newObject(kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func newList(kind string) *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(GroupVersion.WithKind(kind + "List"))
	return l
}

// nestedInt reads a number that the API may have decoded as either type.
func nestedInt(obj map[string]any, fields ...string) (int64, bool) {
	value, found, err := unstructured.NestedFieldNoCopy(obj, fields...)
	if err != nil || !found {
		return 0, false
	}
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	}
	return 0, false
}

// fieldError says which field of which object is wrong.
func fieldError(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...))
}
