package rbgfake

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A group is a RoleBasedGroup, read from whatever API version it has.
type group struct {
	obj   *unstructured.Unstructured
	api   API
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
	workload      schema.GroupVersionKind // what carries it
	stateless     bool
	ordered       bool // one replica after the other
	rollingUpdate map[string]any
	instanceGang  bool
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

// decodeGroup reads a RoleBasedGroup.
func decodeGroup(obj *unstructured.Unstructured) (*group, error) {
	api := API(obj.GroupVersionKind().Version)
	if api != V1Alpha1 && api != V1Alpha2 {
		return nil, fieldError("apiVersion", "%s is not reproduced, only %s and %s", obj.GetAPIVersion(), V1Alpha1, V1Alpha2)
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
	g := &group{obj: obj, api: api}
	for i, r := range roles {
		m, ok := r.(map[string]any)
		if !ok {
			return nil, fieldError(fmt.Sprintf("spec.roles[%d]", i), "want an object")
		}
		if api == V1Alpha1 {
			m = modernise(m)
		}
		decoded, err := decodeRole(m, bases, api)
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

func decodeRole(m map[string]any, bases map[string]map[string]any, api API) (*role, error) {
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
	if r.workload, err = decodeWorkload(r.annotations[annotationWorkloadType], api); err != nil {
		return nil, err
	}
	switch p := r.annotations[annotationInstancePattern]; p {
	case "", "Stateful":
	case "Stateless":
		r.stateless = true
	default:
		return nil, fieldError("annotations["+annotationInstancePattern+"]", "%s: want Stateful or Stateless", p)
	}
	policy, _, err := unstructured.NestedString(m, "podManagementPolicy")
	if err != nil {
		return nil, err
	}
	r.ordered = policy == "OrderedReady"
	r.instanceGang = r.annotations[annotationInstanceGang] == "true"
	if r.rollingUpdate, _, err = unstructured.NestedMap(m, "rolloutStrategy", "rollingUpdate"); err != nil {
		return nil, err
	}
	if err := r.decodePattern(m, bases); err != nil {
		return nil, err
	}
	if r.workload.Kind != KindInstanceSet && r.pattern != standalone {
		return nil, fieldError(r.name, "a %s of several pods a replica is not reproduced", r.workload.Kind)
	}
	return r, nil
}

// decodeWorkload reads "apiVersion/kind", cut at the last slash.
func decodeWorkload(text string, api API) (schema.GroupVersionKind, error) {
	if text == "" {
		return api.defaultWorkload(), nil
	}
	version, kind, _ := cutLast(text, "/")
	gvk := schema.FromAPIVersionAndKind(version, kind)
	for _, known := range []schema.GroupVersionKind{GroupVersion.WithKind(KindInstanceSet), statefulSetKind, deploymentKind} {
		if gvk == known && (api == V1Alpha2 || kind != KindInstanceSet) {
			return gvk, nil
		}
	}
	return gvk, fieldError("annotations["+annotationWorkloadType+"]", "%s is not reproduced", text)
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
