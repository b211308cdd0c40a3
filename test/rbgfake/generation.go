package rbgfake

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// API is an API version of groups and adapters, and with it an age of RBG.
type API string

// The two ages. V1Alpha2 is RBG v0.7 and later, with RoleInstanceSets and labels under rbg.workloads.x-k8s.io; V1Alpha1 is v0.6
// and earlier, with StatefulSets and labels under rolebasedgroup.workloads.x-k8s.io.
const (
	V1Alpha2 API = "v1alpha2"
	V1Alpha1 API = "v1alpha1"
)

// Override says who wins when the replicas of a role are edited in the group while an adapter is bound.
type Override int

const (
	// OverrideOfVersion is what the age of the controller does: OverrideInMemory with V1Alpha2, OverrideNone with V1Alpha1.
	OverrideOfVersion Override = iota
	// OverrideInMemory is RBG v0.8: the adapter, at every reconcile and with a Warning; the group on disk may stay different.
	OverrideInMemory
	// OverrideWriteBack is RBG v0.7: the edit, until roleStatuses change and the adapter writes its own count back.
	OverrideWriteBack
	// OverrideNone is RBG v0.6: the edit, until the adapter itself is written.
	OverrideNone
)

func (o Options) api() API {
	if o.API == V1Alpha1 {
		return V1Alpha1
	}
	return V1Alpha2
}

func (o Options) override() Override {
	switch {
	case o.Override != OverrideOfVersion:
		return o.Override
	case o.api() == V1Alpha1:
		return OverrideNone
	}
	return OverrideInMemory
}

// newObject is an empty group or adapter of this version.
func (a API) newObject(kind, namespace, name string) *unstructured.Unstructured {
	u := newObject(kind, namespace, name)
	u.SetGroupVersionKind(a.kind(kind))
	return u
}

func (a API) newList(kind string) *unstructured.UnstructuredList {
	l := newList(kind)
	l.SetGroupVersionKind(a.kind(kind + "List"))
	return l
}

func (a API) kind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: GroupVersion.Group, Version: string(a), Kind: kind}
}

// defaultWorkload is the kind that carries a role which names none.
func (a API) defaultWorkload() schema.GroupVersionKind {
	if a == V1Alpha1 {
		return statefulSetKind
	}
	return GroupVersion.WithKind(KindInstanceSet)
}

// Labels of RBG v0.6 and earlier.
const (
	oldLabelPrefix = "rolebasedgroup.workloads.x-k8s.io/"

	oldLabelGroupName = oldLabelPrefix + "name"
	oldLabelGroupUID  = oldLabelPrefix + "group-unique-key"
	oldLabelRoleName  = oldLabelPrefix + "role"
)

// roleLabels are on everything that belongs to a role.
func (a API) roleLabels(namespace, group, role string) map[string]string {
	uid := groupUID(namespace, group)
	if a == V1Alpha1 {
		return map[string]string{oldLabelGroupName: group, oldLabelGroupUID: uid, oldLabelRoleName: role}
	}
	return map[string]string{LabelGroupName: group, LabelGroupUID: uid, LabelRoleName: role}
}

// groupLabel and roleLabel are the keys by which what belongs to a group is listed.
func (a API) groupLabel() string {
	if a == V1Alpha1 {
		return oldLabelGroupName
	}
	return LabelGroupName
}

func (a API) roleLabel() string {
	if a == V1Alpha1 {
		return oldLabelRoleName
	}
	return LabelRoleName
}

// identityEnv tells a container its group and role.
func (a API) identityEnv(group, role string) []corev1.EnvVar {
	prefix := "RBG_"
	if a == V1Alpha1 {
		prefix = ""
	}
	return []corev1.EnvVar{{Name: prefix + "GROUP_NAME", Value: group}, {Name: prefix + "ROLE_NAME", Value: role}}
}
