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

// A group is a RoleBasedGroup, read from whatever API version it has.
type group struct {
	obj   *unstructured.Unstructured
	roles []role // in the order of the specification
}

// A role of a group, with its templates resolved.
type role struct {
	name          string
	replicas      int64 // as on disk, until a bound adapter overrides it
	annotations   map[string]string
	dependencies  []string
	adapter       bool
	adapterLabels map[string]string
	pattern       pattern
	components    []component
}

// pattern says how the pods of one replica are named.
type pattern string

const (
	standalone       pattern = "PodTemplate"     // one pod, named as the replica
	leaderWorker     pattern = "LeaderWorkerSet" // numbered, the leader is 0
	customComponents pattern = "Components"      // named and numbered by component
)

// Components of a leader-worker replica.
const (
	leaderComponent = "leader"
	workerComponent = "worker"
)

// A component is a kind of pod, of which a replica has size.
type component struct {
	name     string
	size     int64
	template map[string]any // a PodTemplateSpec
}

func (g *group) role(name string) *role {
	for i := range g.roles {
		if g.roles[i].name == name {
			return &g.roles[i]
		}
	}
	return nil
}

// decodeGroup reads a RoleBasedGroup of v1alpha2.
func decodeGroup(obj *unstructured.Unstructured) (*group, error) {
	if version := obj.GroupVersionKind().Version; version != GroupVersion.Version {
		return nil, fieldError("apiVersion", "%s is not reproduced, only %s", obj.GetAPIVersion(), GroupVersion)
	}
	bases := map[string]map[string]any{}
	templates, _, err := unstructured.NestedSlice(obj.Object, "spec", "roleTemplates")
	if err != nil {
		return nil, err
	}
	for i, t := range templates {
		m, ok := t.(map[string]any)
		name, _, err := unstructured.NestedString(m, "name")
		template, found, err2 := unstructured.NestedMap(m, "template")
		if !ok || err != nil || err2 != nil || !found {
			return nil, fieldError(fmt.Sprintf("spec.roleTemplates[%d]", i), "want a name and a template")
		}
		bases[name] = template
	}
	roles, _, err := unstructured.NestedSlice(obj.Object, "spec", "roles")
	if err != nil {
		return nil, err
	}
	g := &group{obj: obj}
	for i, r := range roles {
		m, ok := r.(map[string]any)
		if !ok {
			return nil, fieldError(fmt.Sprintf("spec.roles[%d]", i), "want an object")
		}
		decoded, err := decodeRole(m, bases)
		if err != nil {
			return nil, fmt.Errorf("spec.roles[%d]: %w", i, err)
		}
		g.roles = append(g.roles, *decoded)
	}
	for _, r := range g.roles {
		for _, d := range r.dependencies {
			if g.role(d) == nil {
				return nil, fieldError("spec.roles["+r.name+"].dependencies", "there is no role %q", d)
			}
		}
	}
	return g, nil
}

func decodeRole(m map[string]any, bases map[string]map[string]any) (*role, error) {
	r := &role{replicas: 1}
	var err error
	if r.name, _, err = unstructured.NestedString(m, "name"); err != nil {
		return nil, err
	}
	if n, ok := nestedInt(m, "replicas"); ok {
		r.replicas = n
	}
	if r.annotations, _, err = unstructured.NestedStringMap(m, "annotations"); err != nil {
		return nil, err
	}
	if r.dependencies, _, err = unstructured.NestedStringSlice(m, "dependencies"); err != nil {
		return nil, err
	}
	if r.adapter, _, err = unstructured.NestedBool(m, "scalingAdapter", "enable"); err != nil {
		return nil, err
	}
	if r.adapterLabels, _, err = unstructured.NestedStringMap(m, "scalingAdapter", "labels"); err != nil {
		return nil, err
	}
	if kind := r.annotations[annotationWorkloadType]; kind != "" && kind != GroupVersion.String()+"/"+KindInstanceSet {
		return nil, fieldError("annotations["+annotationWorkloadType+"]", "%s is not reproduced", kind)
	}
	if p := r.annotations[annotationInstancePattern]; p != "" && p != "Stateful" {
		return nil, fieldError("annotations["+annotationInstancePattern+"]", "%s is not reproduced, only Stateful", p)
	}
	return r, r.decodePattern(m, bases)
}

func (r *role) decodePattern(m map[string]any, bases map[string]map[string]any) error {
	var patterns []string
	for _, p := range []string{"standalonePattern", "leaderWorkerPattern", "customComponentsPattern"} {
		if m[p] != nil {
			patterns = append(patterns, p)
		}
	}
	if len(patterns) != 1 {
		return fieldError(r.name, "want exactly one of standalonePattern, leaderWorkerPattern, customComponentsPattern, got %d", len(patterns))
	}
	body, ok := m[patterns[0]].(map[string]any)
	if !ok {
		return fieldError(patterns[0], "want an object")
	}
	switch patterns[0] {
	case "standalonePattern":
		r.pattern = standalone
		template, err := resolveTemplate(body, bases)
		if err != nil {
			return err
		}
		r.components = []component{{r.name, 1, template}}
	case "leaderWorkerPattern":
		r.pattern = leaderWorker
		template, err := resolveTemplate(body, bases)
		if err != nil {
			return err
		}
		leader, err := patchTemplate(template, body["leaderTemplatePatch"])
		if err != nil {
			return err
		}
		worker, err := patchTemplate(template, body["workerTemplatePatch"])
		if err != nil {
			return err
		}
		size := int64(1)
		if n, ok := nestedInt(body, "size"); ok {
			size = n
		}
		r.components = []component{{leaderComponent, 1, leader}}
		if size > 1 {
			r.components = append(r.components, component{workerComponent, size - 1, worker})
		}
	case "customComponentsPattern":
		r.pattern = customComponents
		list, _, err := unstructured.NestedSlice(body, "components")
		if err != nil {
			return err
		}
		for i, entry := range list {
			c, ok := entry.(map[string]any)
			name, _, err := unstructured.NestedString(c, "name")
			template, found, err2 := unstructured.NestedMap(c, "template")
			if !ok || err != nil || err2 != nil || !found || name == "" {
				return fieldError(fmt.Sprintf("components[%d]", i), "want a name and a template")
			}
			size := int64(1)
			if n, ok := nestedInt(c, "size"); ok {
				size = n
			}
			r.components = append(r.components, component{name, size, template})
		}
	}
	return nil
}

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
