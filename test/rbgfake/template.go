package rbgfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// resolveTemplate returns a pattern's own template, or the one it refers to with its patch.
func resolveTemplate(body map[string]any, bases map[string]map[string]any) (map[string]any, error) {
	template, found, err := unstructured.NestedMap(body, "template")
	if err != nil || found {
		return template, err
	}
	name, found, err := unstructured.NestedString(body, "templateRef", "name")
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fieldError("template", "want a template or a templateRef")
	}
	base, ok := bases[name]
	if !ok {
		return nil, fieldError("templateRef.name", "there is no role template %q", name)
	}
	ref, _ := body["templateRef"].(map[string]any)
	return patchTemplate(base, ref["patch"])
}

// patchTemplate applies a strategic merge patch to a pod template; a missing patch changes nothing.
func patchTemplate(template map[string]any, patch any) (map[string]any, error) {
	if patch == nil {
		return template, nil
	}
	// Both go through JSON because the patch library changes its arguments.
	base, err := json.Marshal(template)
	if err != nil {
		return nil, err
	}
	change, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergePatch(base, change, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("patch a pod template: %w", err)
	}
	var u unstructured.Unstructured // decodes whole numbers as int64, which plain JSON does not
	if err := u.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "PodTemplate", "template": %s}`, merged)); err != nil {
		return nil, err
	}
	out, _, err := unstructured.NestedMap(u.Object, "template")
	return out, err
}

// templateFor is a component's template as it goes into the RoleInstanceSet: with the labels by which everybody finds the
// pods, and with the role's annotations for the simulated kubelet, of which the template's own win.
func (r *role) templateFor(c component, labels map[string]string) map[string]any {
	u := (&unstructured.Unstructured{Object: c.template}).DeepCopy()
	all := map[string]string{}
	maps.Copy(all, u.GetLabels())
	maps.Copy(all, labels)
	u.SetLabels(all)
	annotations := map[string]string{}
	for key, value := range r.annotations {
		if strings.HasPrefix(key, controlplane.AnnotationPrefix) {
			annotations[key] = value
		}
	}
	maps.Copy(annotations, u.GetAnnotations())
	u.SetAnnotations(annotations)
	return u.Object
}
