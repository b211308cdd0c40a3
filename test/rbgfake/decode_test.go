package rbgfake

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

func parseGroup(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	content, err := yaml.YAMLToJSON([]byte("apiVersion: workloads.x-k8s.io/v1alpha2\nkind: RoleBasedGroup\nmetadata: {name: svc, namespace: ns}\nspec:\n" + spec))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(content); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestDecodeGroup(t *testing.T) {
	for name, tc := range map[string]struct {
		spec    string
		want    []string // role pattern replicas component*size ...
		wantErr string
	}{
		"standalone": {
			spec: "  roles: [{name: a, replicas: 3, standalonePattern: {template: {spec: {}}}}]",
			want: []string{"a PodTemplate 3 a*1"},
		},
		"replicas default to 1": {
			spec: "  roles: [{name: a, standalonePattern: {template: {spec: {}}}}]",
			want: []string{"a PodTemplate 1 a*1"},
		},
		"leader and workers": {
			spec: "  roles: [{name: a, replicas: 2, leaderWorkerPattern: {size: 4, template: {spec: {}}}}]",
			want: []string{"a LeaderWorkerSet 2 leader*1 worker*3"},
		},
		"a leader alone": {
			spec: "  roles: [{name: a, leaderWorkerPattern: {template: {spec: {}}}}]",
			want: []string{"a LeaderWorkerSet 1 leader*1"},
		},
		"custom components": {
			spec: "  roles: [{name: a, customComponentsPattern: {components: [{name: head, size: 2, template: {}}, {name: tail, template: {}}]}}]",
			want: []string{"a Components 1 head*2 tail*1"},
		},
		"no pattern":   {spec: "  roles: [{name: a}]", wantErr: "spec.roles[0]: a: want exactly one of standalonePattern"},
		"two patterns": {spec: "  roles: [{name: a, standalonePattern: {}, leaderWorkerPattern: {}}]", wantErr: "got 2"},
		"no template":  {spec: "  roles: [{name: a, standalonePattern: {}}]", wantErr: "want a template or a templateRef"},
		"unknown role template": {
			spec:    "  roles: [{name: a, standalonePattern: {templateRef: {name: base}}}]",
			wantErr: `there is no role template "base"`,
		},
		"unknown dependency": {
			spec:    "  roles: [{name: a, dependencies: [b], standalonePattern: {template: {}}}]",
			wantErr: `there is no role "b"`,
		},
		"stateless": {
			spec: "  roles: [{name: a, annotations: {rbg.workloads.x-k8s.io/role-instance-pattern: Stateless}, standalonePattern: {template: {}}}]",
			want: []string{"a PodTemplate 1 a*1"},
		},
		"neither stateful nor stateless": {
			spec:    "  roles: [{name: a, annotations: {rbg.workloads.x-k8s.io/role-instance-pattern: Other}, standalonePattern: {template: {}}}]",
			wantErr: "want Stateful or Stateless",
		},
		"a LeaderWorkerSet": {
			spec:    "  roles: [{name: a, annotations: {rbg.workloads.x-k8s.io/role-workload-type: leaderworkerset.x-k8s.io/v1/LeaderWorkerSet}, standalonePattern: {template: {}}}]",
			wantErr: "leaderworkerset.x-k8s.io/v1/LeaderWorkerSet is not reproduced",
		},
		"a StatefulSet of leaders and workers": {
			spec:    "  roles: [{name: a, annotations: {rbg.workloads.x-k8s.io/role-workload-type: apps/v1/StatefulSet}, leaderWorkerPattern: {template: {}}}]",
			wantErr: "a StatefulSet of several pods a replica is not reproduced",
		},
		"role that is no object": {spec: "  roles: [a]", wantErr: "spec.roles[0]: want an object"},
		"pattern that is no object": {
			spec: "  roles: [{name: a, standalonePattern: b}]", wantErr: "standalonePattern: want an object",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := decodeGroup(parseGroup(t, tc.spec))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range g.roles {
				got = append(got, r.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeResolvesTemplates(t *testing.T) {
	g, err := decodeGroup(parseGroup(t, `
  roleTemplates:
  - name: base
    template: {spec: {terminationGracePeriodSeconds: 60, containers: [{name: engine, image: a, resources: {limits: {nvidia.com/gpu: 1}}}]}}
  roles:
  - name: decode
    leaderWorkerPattern:
      size: 2
      templateRef: {name: base, patch: {spec: {containers: [{name: engine, resources: {limits: {nvidia.com/gpu: 4}}}]}}}
      workerTemplatePatch: {spec: {containers: [{name: engine, image: b}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	engine := func(image string) map[string]any {
		return map[string]any{"spec": map[string]any{
			"terminationGracePeriodSeconds": int64(60),
			"containers": []any{map[string]any{
				"name": "engine", "image": image, "resources": map[string]any{"limits": map[string]any{"nvidia.com/gpu": int64(4)}},
			}},
		}}
	}
	for i, want := range []map[string]any{engine("a"), engine("b")} {
		if diff := cmp.Diff(want, g.roles[0].components[i].template); diff != "" {
			t.Errorf("template of %s (-want +got):\n%s", g.roles[0].components[i].name, diff)
		}
	}
}

func TestDependencyOrder(t *testing.T) {
	g, err := decodeGroup(parseGroup(t, `
  roles:
  - {name: decode, dependencies: [prefill, router], standalonePattern: {template: {}}}
  - {name: prefill, dependencies: [router], standalonePattern: {template: {}}}
  - {name: other, standalonePattern: {template: {}}}
  - {name: router, standalonePattern: {template: {}}}
  - {name: after, dependencies: [other], standalonePattern: {template: {}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	roles, err := g.inDependencyOrder()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range roles {
		got = append(got, r.name)
	}
	if diff := cmp.Diff([]string{"other", "router", "after", "prefill", "decode"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}

	g, err = decodeGroup(parseGroup(t, `
  roles:
  - {name: one, dependencies: [two], standalonePattern: {template: {}}}
  - {name: two, dependencies: [one], standalonePattern: {template: {}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.inDependencyOrder(); err == nil || !strings.Contains(err.Error(), "depends on itself") {
		t.Errorf("roles in a circle: %v, want that one depends on itself", err)
	}
}

func TestTemplateForKubelet(t *testing.T) {
	r := &role{annotations: map[string]string{
		"example.com/note":                       "of the role",
		controlplane.AnnotationReadyAfterSeconds: "10",
		controlplane.AnnotationGoneAfterSeconds:  "20",
	}}
	c := component{template: map[string]any{"metadata": map[string]any{"annotations": map[string]any{controlplane.AnnotationGoneAfterSeconds: "5"}}}}
	got, _, err := unstructured.NestedStringMap(r.templateFor(c, map[string]string{LabelRoleName: "a"}), "metadata", "annotations")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{controlplane.AnnotationReadyAfterSeconds: "10", controlplane.AnnotationGoneAfterSeconds: "5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("annotations of the pods (-want +got):\n%s", diff)
	}
	if _, found, _ := unstructured.NestedMap(c.template, "metadata", "labels"); found {
		t.Error("the template itself was changed")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	for _, name := range []string{workloadName(long, "a"), serviceName(long, "a")} {
		if len(name) != 63 {
			t.Errorf("a name of %d characters, want it cut at 63", len(name))
		}
	}
	if got := workloadName("svc", "prefill"); got != "svc-prefill" {
		t.Errorf("workload %q", got)
	}
	if got := serviceName("svc", "prefill"); got != "s-svc-prefill" {
		t.Errorf("service %q", got)
	}
}

func TestExampleDecodes(t *testing.T) {
	for name, tc := range map[string]struct {
		example Example
		want    []string
	}{
		"default": {Example{}, []string{"processor PodTemplate 1 processor*1", "prefill PodTemplate 2 prefill*1", "decode PodTemplate 1 decode*1"}},
		"varied": {
			Example{PrefillReplicas: 4, DecodeReplicas: 3, NoAdapters: true, GoneAfter: 90500 * time.Millisecond},
			[]string{"processor PodTemplate 1 processor*1", "prefill PodTemplate 4 prefill*1", "decode PodTemplate 3 decode*1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := decodeGroup(DynamoPD(tc.example))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range g.roles {
				got = append(got, r.String())
				if want := r.name != RoleProcessor && !tc.example.NoAdapters; r.adapter != want {
					t.Errorf("role %s has an adapter: %t, want %t", r.name, r.adapter, want)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
			grace, _ := nestedInt(g.role(RoleDecode).components[0].template, "spec", "terminationGracePeriodSeconds")
			if want := max(30, int64(tc.example.GoneAfter.Seconds()+0.5)); grace != want {
				t.Errorf("grace period %d s, want %d s", grace, want)
			}
		})
	}
}

// String is one line for messages.
func (r role) String() string {
	var b strings.Builder
	b.WriteString(r.name + " " + string(r.pattern))
	b.WriteString(" " + itoa(r.replicas))
	for _, c := range r.components {
		b.WriteString(" " + c.name + "*" + itoa(c.size))
	}
	return b.String()
}
