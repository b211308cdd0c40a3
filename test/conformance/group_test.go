package conformance

import (
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// groupName is what every group of the suite is called.
const groupName = "svc"

// Annotations of RBG, and those by which simulated kubelets are told how long a pod takes to end.
const (
	annotationWorkload = "rbg.workloads.x-k8s.io/role-workload-type"
	annotationPattern  = "rbg.workloads.x-k8s.io/role-instance-pattern"
	annotationGang     = "rbg.workloads.x-k8s.io/group-gang-scheduling"

	annotationGoneAfter = "kubelet.pdautoscaler.io/gone-after-seconds" // test/controlplane
	annotationKwokDelay = "pod-delete.stage.kwok.x-k8s.io/delay"       // kwok's general stages
)

// role says what a role of a group is to be; the zero value is one standalone replica without GPUs.
type role struct {
	name     string
	replicas int
	gpus     int // per pod
	// adapter asks RBG for a scaling adapter.
	adapter   bool
	dependsOn []string
	stateless bool
	// ordered is the pod management policy OrderedReady.
	ordered bool
	// size makes it a leader-worker role of so many pods a replica.
	size int
	// workersNowhere: the workers of a leader-worker role find no node.
	workersNowhere bool
	// components makes it a role of custom components, one pod each.
	components []string
	// nowhere: the pods find no node.
	nowhere bool
	// drains is how many seconds its pods take to end.
	drains int
	// version is an environment variable of the container: another one is another revision.
	version string
	// rollingUpdate is the strategy's body.
	rollingUpdate map[string]any
	// workload is the kind that carries the role where it is not the default: "apps/v1/StatefulSet".
	workload string
}

// group builds a RoleBasedGroup in the trial's API version.
func (t *trial) group(roles ...role) *unstructured.Unstructured {
	g := object(rbg(t.api, kindGroup), t.ns, groupName)
	var list []any
	for _, r := range roles {
		list = append(list, t.encode(r))
	}
	g.Object["spec"] = map[string]any{"roles": list}
	return g
}

// create makes a group.
func (t *trial) create(roles ...role) *unstructured.Unstructured {
	t.Helper()
	g := t.group(roles...)
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	return g
}

func (t *trial) encode(r role) map[string]any {
	m := map[string]any{"name": r.name, "replicas": int64(r.replicas)}
	if r.adapter {
		m["scalingAdapter"] = map[string]any{"enable": true}
	}
	if len(r.dependsOn) > 0 {
		m["dependencies"] = toAny(r.dependsOn)
	}
	if r.rollingUpdate != nil {
		m["rolloutStrategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": r.rollingUpdate}
	}
	template := t.template(r, r.nowhere)
	if t.api == v1alpha1 {
		m["template"] = template
		return m
	}
	annotations := map[string]any{}
	if r.stateless {
		annotations[annotationPattern] = "Stateless"
	}
	if r.workload != "" {
		annotations[annotationWorkload] = r.workload
	}
	if len(annotations) > 0 {
		m["annotations"] = annotations
	}
	if r.ordered {
		m["podManagementPolicy"] = "OrderedReady"
	}
	switch {
	case r.size > 0:
		pattern := map[string]any{"size": int64(r.size), "template": template}
		if r.workersNowhere {
			pattern["workerTemplatePatch"] = map[string]any{"spec": map[string]any{"nodeSelector": nowhere()}}
		}
		m["leaderWorkerPattern"] = pattern
	case len(r.components) > 0:
		var components []any
		for _, name := range r.components {
			components = append(components, map[string]any{"name": name, "size": int64(1), "template": template})
		}
		m["customComponentsPattern"] = map[string]any{"components": components}
	default:
		m["standalonePattern"] = map[string]any{"template": template}
	}
	return m
}

// nowhere selects no node of any cluster.
func nowhere() map[string]any {
	return map[string]any{"conformance.pdautoscaler.io/no-node-has-this": "true"}
}

func (t *trial) template(r role, unplaceable bool) map[string]any {
	spec := podSpec(t.image, t.place, int64(r.gpus), int64(r.drains))
	body, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	t.must("encode a pod template", err)
	container := body["containers"].([]any)[0].(map[string]any)
	if !t.preStopSleeps {
		delete(container, "lifecycle")
	}
	if r.version != "" {
		container["env"] = []any{map[string]any{"name": "VERSION", "value": r.version}}
	}
	if unplaceable {
		body["nodeSelector"] = nowhere()
	}
	template := map[string]any{"spec": body}
	if r.drains > 0 {
		template["metadata"] = map[string]any{"annotations": map[string]any{
			annotationGoneAfter: strconv.Itoa(r.drains), annotationKwokDelay: fmt.Sprintf("%ds", r.drains),
		}}
	}
	return template
}

// edit changes the group on disk, as a person with kubectl would.
func (t *trial) edit(change func(g *unstructured.Unstructured)) {
	t.Helper()
	often := retry.DefaultRetry // where the controller is at work on the same group
	often.Steps = 50
	t.must("edit the RoleBasedGroup", retry.RetryOnConflict(often, func() error {
		g := object(rbg(t.api, kindGroup), t.ns, groupName)
		if err := t.client.Get(t.Context(), client.ObjectKeyFromObject(g), g); err != nil {
			return err
		}
		change(g)
		return t.client.Update(t.Context(), g)
	}))
}

// editRole replaces one role of the group, keeping its replicas.
func (t *trial) editRole(r role) {
	t.Helper()
	t.edit(func(g *unstructured.Unstructured) {
		list, _, _ := unstructured.NestedSlice(g.Object, "spec", "roles")
		for i := range list {
			if old := list[i].(map[string]any); old["name"] == r.name {
				encoded := t.encode(r)
				encoded["replicas"] = old["replicas"]
				list[i] = encoded
			}
		}
		_ = unstructured.SetNestedSlice(g.Object, list, "spec", "roles")
	})
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
