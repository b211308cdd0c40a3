package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and names of the resource.
const (
	Group    = "pdautoscaler.io"
	Version  = "v1alpha1"
	Kind     = "PDAutoscaler"
	Resource = "pdautoscalers"
)

// GroupVersion identifies this version of the API.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// SchemeBuilder and AddToScheme register the types of this package.
var (
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	AddToScheme   = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &PDAutoscaler{}, &PDAutoscalerList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
