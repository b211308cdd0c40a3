package rbgfake

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// modernise says a role of v1alpha1 in the words of v1alpha2, in which all else is written.
func modernise(m map[string]any) map[string]any {
	out := maps.Clone(m)
	body := map[string]any{}
	if template, ok := m["template"]; ok {
		body["template"] = template
	} else if ref, ok := m["templateRef"].(map[string]any); ok {
		ref = maps.Clone(ref)
		if patch, ok := m["templatePatch"]; ok {
			ref["patch"] = patch
		}
		body["templateRef"] = ref
	}
	components, hasComponents := m["components"].([]any)
	switch lws, isLWS := m["leaderWorkerSet"].(map[string]any); {
	case isLWS:
		for from, to := range map[string]string{"size": "size", "patchLeaderTemplate": "leaderTemplatePatch", "patchWorkerTemplate": "workerTemplatePatch"} {
			if value, ok := lws[from]; ok {
				body[to] = value
			}
		}
		out["leaderWorkerPattern"] = body
	case hasComponents && len(components) > 0:
		out["customComponentsPattern"] = map[string]any{"components": components}
	default:
		out["standalonePattern"] = body
	}
	if kind, _, _ := unstructured.NestedString(m, "workload", "kind"); kind != "" {
		version, _, _ := unstructured.NestedString(m, "workload", "apiVersion")
		annotations := map[string]any{}
		if old, ok := m["annotations"].(map[string]any); ok {
			maps.Copy(annotations, old)
		}
		annotations[annotationWorkloadType] = version + "/" + kind
		out["annotations"] = annotations
	}
	return out
}
