package workload

import "maps"

// legacyRole is what v1alpha1 has in other places than v1alpha2: the carrier's
// kind in a field, and templates that lie open in the role.
type legacyRole struct {
	Workload struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	} `json:"workload"`
	Template    map[string]any `json:"template"`
	TemplateRef *struct {
		Name string `json:"name"`
	} `json:"templateRef"`
	TemplatePatch   map[string]any `json:"templatePatch"`
	LeaderWorkerSet *struct {
		Size        *int32         `json:"size"`
		LeaderPatch map[string]any `json:"patchLeaderTemplate"`
		WorkerPatch map[string]any `json:"patchWorkerTemplate"`
	} `json:"leaderWorkerSet"`
	Components []component `json:"components"`
}

// modernise says a role of v1alpha1 in the words of v1alpha2, as RBG's own
// conversion does: leaderWorkerSet comes before components, and the carrier's
// kind becomes the annotation.
func (r *role) modernise(old *legacyRole) {
	source := templateSource{Template: old.Template}
	if ref := old.TemplateRef; ref != nil && old.Template == nil {
		source.TemplateRef = &templateRef{Name: ref.Name, Patch: old.TemplatePatch}
	}
	r.Standalone, r.LeaderWorker, r.CustomComponents = nil, nil, nil
	switch lws := old.LeaderWorkerSet; {
	case lws != nil:
		r.LeaderWorker = &leaderWorker{Size: lws.Size, templateSource: source, LeaderPatch: lws.LeaderPatch, WorkerPatch: lws.WorkerPatch}
	case len(old.Components) > 0:
		r.CustomComponents = &customComponents{Components: old.Components}
	case source.Template != nil || source.TemplateRef != nil:
		r.Standalone = &source
	}
	if old.Workload.APIVersion != "" && old.Workload.Kind != "" {
		annotations := map[string]string{}
		maps.Copy(annotations, r.Annotations)
		annotations[workloadTypeAnnotation] = old.Workload.APIVersion + "/" + old.Workload.Kind
		r.Annotations = annotations
	}
}
