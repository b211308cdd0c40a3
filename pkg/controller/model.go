package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Where a model's shape comes from, as status.model.source says it.
const (
	modelFromCatalogue = "catalogue"
	modelFromConfig    = "config.json"
)

// namedModel is a model's shape and where it comes from.
type namedModel struct {
	perfmodel.Model
	source string
}

// readModel returns the model that the spec names. An error that is no
// *refusalError means that the API server could not be asked.
func readModel(ctx context.Context, reader client.Reader, pda *v1alpha1.PDAutoscaler) (namedModel, error) {
	ref := pda.Spec.Model.ConfigMapRef
	switch {
	case ref == nil && pda.Spec.Model.Name == "":
		return namedModel{}, refuse(ReasonModelUnknown, "spec.model: exactly one of name and configMapRef must be set")
	case ref == nil:
		m, err := perfmodel.LookupModel(pda.Spec.Model.Name)
		if err != nil {
			return namedModel{}, refuse(ReasonModelUnknown, "spec.model.name: "+err.Error())
		}
		return namedModel{m, modelFromCatalogue}, nil
	case pda.Spec.Model.Name != "":
		return namedModel{}, refuse(ReasonModelUnknown, "spec.model: exactly one of name and configMapRef must be set")
	}

	var config corev1.ConfigMap
	err := reader.Get(ctx, client.ObjectKey{Namespace: pda.Namespace, Name: ref.Name}, &config)
	if apierrors.IsNotFound(err) {
		return namedModel{}, refuse(ReasonModelUnknown, fmt.Sprintf("spec.model.configMapRef: ConfigMap %s/%s does not exist", pda.Namespace, ref.Name))
	}
	if err != nil {
		return namedModel{}, fmt.Errorf("spec.model.configMapRef: ConfigMap %s/%s could not be read: %w", pda.Namespace, ref.Name, err)
	}
	text, found := config.Data[ref.Key]
	if !found {
		binary, found := config.BinaryData[ref.Key]
		if !found {
			return namedModel{}, refuse(ReasonModelUnknown, fmt.Sprintf("spec.model.configMapRef: ConfigMap %s/%s has no key %q", pda.Namespace, ref.Name, ref.Key))
		}
		text = string(binary)
	}
	m, err := perfmodel.ParseConfig([]byte(text))
	if err != nil {
		return namedModel{}, refuse(ReasonModelUnknown, fmt.Sprintf("spec.model.configMapRef: ConfigMap %s/%s: %s", pda.Namespace, ref.Name, err))
	}
	if m.Name == "" {
		m.Name = ref.Name
	}
	return namedModel{m, modelFromConfig}, nil
}
