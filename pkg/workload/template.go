package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// GPUResource is the extended resource that a GPU is requested as.
const GPUResource corev1.ResourceName = "nvidia.com/gpu"

// Templates stay untyped until they are used: a role that cannot be
// understood must not hide the others.
type (
	roleTemplate struct {
		Name     string         `json:"name"`
		Template map[string]any `json:"template"`
	}
	templateSource struct {
		Template    map[string]any `json:"template"`
		TemplateRef *templateRef   `json:"templateRef"`
	}

	templateRef struct {
		Name  string         `json:"name"`
		Patch map[string]any `json:"patch"`
	}
	leaderWorker struct {
		Size           *int32 `json:"size"`
		templateSource `json:",inline"`
		LeaderPatch    map[string]any `json:"leaderTemplatePatch"`
		WorkerPatch    map[string]any `json:"workerTemplatePatch"`
	}
	customComponents struct {
		Components []component `json:"components"`
	}

	component struct {
		Name     string         `json:"name"`
		Size     *int32         `json:"size"`
		Template map[string]any `json:"template"`
	}
)

// shape is the pods that one replica of a role is made of.
type shape struct {
	// pods per replica.
	pods int
	// gpus per replica, over all its pods.
	gpus int
	// place is where the first pod that takes GPUs may run.
	place placement
	// graceSeconds is the longest that one of the pods may take to end.
	graceSeconds int64
	// volumes that may hold weights, see volumesOf.
	volumes []string
	// specs are those of the pods that take resource claims; see claims.go.
	specs []claimingPods
}

// claimingPods are pods of one template.
type claimingPods struct {
	pods int
	spec *corev1.PodSpec
}

// add counts n pods of one template.
func (s *shape) add(n int, spec *corev1.PodSpec) {
	if n < 1 {
		return
	}
	gpus := gpusOf(spec)
	if claims := len(spec.ResourceClaims) > 0; gpus > 0 || claims {
		if s.gpus == 0 && len(s.specs) == 0 {
			s.place = placementOf(spec)
		}
		if claims {
			s.specs = append(s.specs, claimingPods{n, spec})
		}
	}
	s.pods += n
	s.gpus += n * gpus
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if spec.TerminationGracePeriodSeconds != nil {
		grace = *spec.TerminationGracePeriodSeconds
	}
	s.graceSeconds = max(s.graceSeconds, grace)
	for _, v := range volumesOf(spec) {
		if !slices.Contains(s.volumes, v) {
			s.volumes = append(s.volumes, v)
		}
	}
}

// shapeOf resolves a role's pod templates.
func (g *group) shapeOf(r *role) (shape, error) {
	var s shape
	switch {
	case r.Standalone != nil:
		base, err := g.resolve(r.Standalone)
		if err != nil {
			return shape{}, fmt.Errorf("role %q: %w", r.Name, err)
		}
		spec, err := podSpec(base, nil)
		if err != nil {
			return shape{}, fmt.Errorf("role %q: %w", r.Name, err)
		}
		s.add(1, spec)
	case r.LeaderWorker != nil:
		base, err := g.resolve(&r.LeaderWorker.templateSource)
		if err != nil {
			return shape{}, fmt.Errorf("role %q: %w", r.Name, err)
		}
		leader, err := podSpec(base, r.LeaderWorker.LeaderPatch)
		if err != nil {
			return shape{}, fmt.Errorf("role %q, leader: %w", r.Name, err)
		}
		worker, err := podSpec(base, r.LeaderWorker.WorkerPatch)
		if err != nil {
			return shape{}, fmt.Errorf("role %q, worker: %w", r.Name, err)
		}
		size := sizeOf(r.LeaderWorker.Size)
		if size < 1 {
			return shape{}, fmt.Errorf("role %q: leaderWorkerPattern.size is %d, it must be at least 1", r.Name, size)
		}
		s.add(1, leader)
		s.add(size-1, worker)
	case r.CustomComponents != nil:
		for _, c := range r.CustomComponents.Components {
			spec, err := podSpec(c.Template, nil)
			if err != nil {
				return shape{}, fmt.Errorf("role %q, component %q: %w", r.Name, c.Name, err)
			}
			s.add(max(0, sizeOf(c.Size)), spec)
		}
	default:
		return shape{}, fmt.Errorf("role %q has none of standalonePattern, leaderWorkerPattern and customComponentsPattern", r.Name)
	}
	return s, nil
}

// resolve returns the template that a source holds or names, patched as it says.
func (g *group) resolve(source *templateSource) (map[string]any, error) {
	if source.TemplateRef == nil {
		if source.Template == nil {
			return nil, errors.New("neither template nor templateRef is set")
		}
		return source.Template, nil
	}
	for _, t := range g.Spec.RoleTemplates {
		if t.Name == source.TemplateRef.Name {
			return merge(t.Template, source.TemplateRef.Patch)
		}
	}
	return nil, fmt.Errorf("templateRef names %q, which spec.roleTemplates does not have", source.TemplateRef.Name)
}

// merge applies a strategic merge patch to a pod template.
func merge(template, patch map[string]any) (map[string]any, error) {
	if len(patch) == 0 {
		return template, nil
	}
	for what, tree := range map[string]any{"template": template, "patch": patch} {
		if path := nullItem(tree, ""); path != "" { // the merge would panic
			return nil, fmt.Errorf("the %s has an empty item at %s: want a value, or no item", what, path)
		}
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(
		runtime.DeepCopyJSON(template), runtime.DeepCopyJSON(patch), corev1.PodTemplateSpec{})
	if err != nil {
		return nil, fmt.Errorf("the template's patch cannot be applied: %w", err)
	}
	return merged, nil
}

// nullItem returns where a list in the tree has a null item, or "" where none has.
func nullItem(tree any, path string) string {
	switch v := tree.(type) {
	case map[string]any:
		for key, value := range v {
			if found := nullItem(value, path+"."+key); found != "" {
				return found
			}
		}
	case []any:
		for i, item := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			if item == nil {
				return strings.TrimPrefix(at, ".")
			}
			if found := nullItem(item, at); found != "" {
				return found
			}
		}
	}
	return ""
}

// podSpec returns the pod spec of a template after a patch.
func podSpec(template, patch map[string]any) (*corev1.PodSpec, error) {
	merged, err := merge(template, patch)
	if err != nil {
		return nil, err
	}
	var typed corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(merged, &typed); err != nil {
		return nil, fmt.Errorf("the pod template cannot be understood: %w", err)
	}
	return &typed.Spec, nil
}

// gpusOf returns the GPUs that a pod holds by the pod rule: those of all
// containers that run at once, or of one init container where that takes more.
func gpusOf(spec *corev1.PodSpec) int {
	running, peak := 0, 0
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			running += gpusOfContainer(c) // a sidecar keeps running
			peak = max(peak, running)
			continue
		}
		peak = max(peak, running+gpusOfContainer(c))
	}
	for i := range spec.Containers {
		running += gpusOfContainer(&spec.Containers[i])
	}
	return max(peak, running)
}

// maxGPUs is the most GPUs that are believed of one container: a typing error
// must not overflow a sum.
const maxGPUs = 1 << 16

func gpusOfContainer(c *corev1.Container) int {
	quantity, ok := c.Resources.Limits[GPUResource]
	if !ok {
		quantity = c.Resources.Requests[GPUResource]
	}
	return int(min(max(0, quantity.Value()), maxGPUs))
}

func sizeOf(size *int32) int {
	if size == nil {
		return 1
	}
	return int(*size)
}
