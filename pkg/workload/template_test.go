package workload

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

// parseGroup reads the spec of a group as the API server would give it.
func parseGroup(t testing.TB, spec string) *group {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	g, err := groupFromJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func groupFromJSON(spec []byte) (*group, error) {
	var object map[string]any
	if err := yaml.Unmarshal(spec, &object); err != nil { // keeps whole numbers whole
		return nil, err
	}
	return groupOf(map[string]any{"metadata": map[string]any{"name": "g", "namespace": "ns"}, "spec": object}, modern)
}

func TestShape(t *testing.T) {
	const templates = `
roleTemplates:
- name: base
  template:
    spec:
      nodeSelector: {pool: gpu}
      containers:
      - {name: engine, resources: {limits: {nvidia.com/gpu: "2", cpu: "8"}}}
`
	for name, tc := range map[string]struct {
		role       string // of the role r
		pods, gpus int
		wantErr    string
	}{
		"standalone": {
			role: `standalonePattern: {template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: 4}}}]}}}`,
			pods: 1, gpus: 4,
		},
		"requests where there is no limit": {
			role: `standalonePattern: {template: {spec: {containers: [{name: engine, resources: {requests: {nvidia.com/gpu: "1"}}}]}}}`,
			pods: 1, gpus: 1,
		},
		"a router has none": {
			role: `standalonePattern: {template: {spec: {containers: [{name: router}]}}}`,
			pods: 1, gpus: 0,
		},
		"all containers count": {
			role: `standalonePattern: {template: {spec: {containers: [{name: a, resources: {limits: {nvidia.com/gpu: 1}}}, {name: b, resources: {limits: {nvidia.com/gpu: 2}}}]}}}`,
			pods: 1, gpus: 3,
		},
		"template by name": {
			role: `standalonePattern: {templateRef: {name: base}}`,
			pods: 1, gpus: 2,
		},
		"template by name, patched": {
			role: `standalonePattern: {templateRef: {name: base, patch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: "8"}}}]}}}}`,
			pods: 1, gpus: 8,
		},
		"a patch adds a container": {
			role: `standalonePattern: {templateRef: {name: base, patch: {spec: {containers: [{name: helper, resources: {limits: {nvidia.com/gpu: "1"}}}]}}}}`,
			pods: 1, gpus: 3,
		},
		"a patch takes the GPUs away": {
			role: `standalonePattern: {templateRef: {name: base, patch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: null}}}]}}}}`,
			pods: 1, gpus: 0,
		},
		"leader and workers": {
			role: `leaderWorkerPattern: {size: 4, template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: 8}}}]}}}`,
			pods: 4, gpus: 32,
		},
		"leader-worker of one pod by default": {
			role: `leaderWorkerPattern: {templateRef: {name: base}}`,
			pods: 1, gpus: 2,
		},
		"leader and workers patched apart": {
			role: `
leaderWorkerPattern:
  size: 3
  templateRef: {name: base}
  leaderTemplatePatch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: "1"}}}]}}
  workerTemplatePatch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: "4"}}}]}}`,
			pods: 3, gpus: 9,
		},
		"custom components": {
			role: `
customComponentsPattern:
  components:
  - {name: a, size: 2, template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: 2}}}]}}}
  - {name: b, template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: 1}}}]}}}
  - {name: c, size: 3, template: {spec: {containers: [{name: proxy}]}}}`,
			pods: 6, gpus: 5,
		},
		"no pattern":         {role: `replicas: 1`, wantErr: "has none of standalonePattern, leaderWorkerPattern and customComponentsPattern"},
		"unknown template":   {role: `standalonePattern: {templateRef: {name: other}}`, wantErr: `templateRef names "other", which spec.roleTemplates does not have`},
		"no template at all": {role: `standalonePattern: {}`, wantErr: "neither template nor templateRef is set"},
		"not a quantity":     {role: `standalonePattern: {template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: two}}}]}}}`, wantErr: "the pod template cannot be understood"},
		"size of nothing":    {role: `leaderWorkerPattern: {size: 0, templateRef: {name: base}}`, wantErr: "leaderWorkerPattern.size is 0, it must be at least 1"},
		"an empty list item in a patch": {
			role: `
leaderWorkerPattern:
  template: {spec: {initContainers: []}}
  workerTemplatePatch: {spec: {initContainers: [null]}}`,
			wantErr: "the patch has an empty item at spec.initContainers[0]",
		},
		"containers by name": {role: `standalonePattern: {templateRef: {name: base, patch: {spec: {containers: {engine: 1}}}}}`, wantErr: "the pod template cannot be understood"},
	} {
		t.Run(name, func(t *testing.T) {
			g := parseGroup(t, templates+"roles:\n- name: r\n"+indent(tc.role))
			got, err := g.shapeOf(g.role("r"))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q in it", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.pods != tc.pods || got.gpus != tc.gpus {
				t.Errorf("%d pods with %d GPUs, want %d with %d", got.pods, got.gpus, tc.pods, tc.gpus)
			}
		})
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
}

// The same base template serves several roles: patching one must not change the next.
func TestShapeLeavesTemplatesAlone(t *testing.T) {
	g := parseGroup(t, `
roleTemplates: [{name: base, template: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: "2"}}}]}}}]
roles:
- {name: patched, standalonePattern: {templateRef: {name: base, patch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: "8"}}}]}}}}}
- {name: plain, standalonePattern: {templateRef: {name: base}}}
`)
	for range 2 {
		for name, want := range map[string]int{"patched": 8, "plain": 2} {
			if got, err := g.shapeOf(g.role(name)); err != nil || got.gpus != want {
				t.Errorf("role %s: %d GPUs, %v; want %d", name, got.gpus, err, want)
			}
		}
	}
}

func TestGPUsByThePodRule(t *testing.T) {
	for name, tc := range map[string]struct {
		spec string
		want int
	}{
		"containers run together":      {`containers: [{name: a, resources: {limits: {nvidia.com/gpu: 2}}}, {name: b, resources: {limits: {nvidia.com/gpu: 1}}}]`, 3},
		"an init container runs first": {`{initContainers: [{name: i, resources: {limits: {nvidia.com/gpu: 1}}}], containers: [{name: a, resources: {limits: {nvidia.com/gpu: 2}}}]}`, 2},
		"a bigger init container":      {`{initContainers: [{name: i, resources: {limits: {nvidia.com/gpu: 4}}}], containers: [{name: a, resources: {limits: {nvidia.com/gpu: 2}}}]}`, 4},
		"a sidecar keeps running":      {`{initContainers: [{name: s, restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}}}], containers: [{name: a, resources: {limits: {nvidia.com/gpu: 2}}}]}`, 3},
		"init beside a sidecar":        {`{initContainers: [{name: s, restartPolicy: Always, resources: {limits: {nvidia.com/gpu: 1}}}, {name: i, resources: {limits: {nvidia.com/gpu: 4}}}], containers: [{name: a, resources: {limits: {nvidia.com/gpu: 2}}}]}`, 5},
		"negative is none":             {`containers: [{name: a, resources: {limits: {nvidia.com/gpu: -2}}}]`, 0},
	} {
		var spec corev1.PodSpec
		if err := yaml.Unmarshal([]byte(tc.spec), &spec); err != nil {
			t.Fatal(err)
		}
		if got := gpusOf(&spec); got != tc.want {
			t.Errorf("%s: %d GPUs, want %d", name, got, tc.want)
		}
	}
}

// A group may hold anything below a role: RBG keeps fields that it does not
// know. (Not a native fuzz test: those compile all of Kubernetes anew.)
func TestAnyGroupIsReadOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := map[string]any{
			"roles":         rapid.SliceOfN(anyOf("role"), 0, 3).Draw(t, "roles"),
			"roleTemplates": rapid.SliceOfN(anyOf("roleTemplate"), 0, 2).Draw(t, "roleTemplates"),
		}
		data, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		g, err := groupFromJSON(data)
		if err != nil {
			return
		}
		for i := range g.Spec.Roles {
			r := &g.Spec.Roles[i]
			s, err := g.shapeOf(r)
			if err == nil && (s.gpus < 0 || s.pods < 0) {
				t.Errorf("a replica of role %q has %d pods and %d GPUs", r.Name, s.pods, s.gpus)
			}
			g.heldByDependency(r.Name, nil)
			g.workloadKind(r)
		}
	})
}

// fields are the fields of each thing in a group, and what they should hold.
var fields = map[string]map[string]string{
	"role": {
		"name": "name", "replicas": "count", "annotations": "annotations", "dependencies": "names", "scalingAdapter": "adapter",
		"standalonePattern": "source", "leaderWorkerPattern": "leaderWorker", "customComponentsPattern": "components",
	},
	"roleTemplate": {"name": "name", "template": "template"},
	"annotations":  {workloadTypeAnnotation: "name", instancePatternAnnotation: "name"},
	"adapter":      {"enable": "bool"},
	"source":       {"template": "template", "templateRef": "templateRef"},
	"templateRef":  {"name": "name", "patch": "template"},
	"leaderWorker": {"size": "count", "template": "template", "templateRef": "templateRef", "leaderTemplatePatch": "template", "workerTemplatePatch": "template"},
	"components":   {"components": "[]component"},
	"component":    {"name": "name", "size": "count", "template": "template"},
	"template":     {"spec": "pod"},
	"pod":          {"containers": "[]container", "initContainers": "[]container", "nodeSelector": "annotations"},
	"container":    {"name": "name", "restartPolicy": "name", "resources": "resources"},
	"resources":    {"limits": "quantities", "requests": "quantities"},
	"quantities":   {string(GPUResource): "count"},
}

// anyOf draws a value that is mostly what it should be, and now and then is not.
func anyOf(what string) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if rapid.IntRange(0, 19).Draw(t, "odd") == 0 {
			return rapid.SampledFrom([]any{nil, true, -1, 1.5, 1e300, "", "two", []any{}, []any{nil}, map[string]any{}, map[string]any{"$patch": "replace"}}).Draw(t, "value")
		}
		switch what {
		case "name":
			return rapid.SampledFrom([]any{"a", "b", "base", "Always", "Stateless", "apps/v1/StatefulSet", "/", ""}).Draw(t, "name")
		case "names":
			return rapid.SliceOfN(anyOf("name"), 0, 3).Draw(t, "names")
		case "count":
			return rapid.SampledFrom([]any{0, 1, 2, 8, "2", -1, 2147483647, "9e99"}).Draw(t, "count")
		case "bool":
			return rapid.Bool().Draw(t, "bool")
		}
		if element, ok := strings.CutPrefix(what, "[]"); ok {
			return rapid.SliceOfN(anyOf(element), 0, 2).Draw(t, element)
		}
		object := map[string]any{}
		for _, field := range slices.Sorted(maps.Keys(fields[what])) {
			if rapid.Bool().Draw(t, field) {
				object[field] = anyOf(fields[what][field]).Draw(t, field)
			}
		}
		return object
	})
}
