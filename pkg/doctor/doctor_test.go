package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

var update = flag.Bool("update", false, "write the expected reports anew")

var now = time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)

// healthy is the running example with nothing wrong.
func healthy() Patient {
	pda := &v1alpha1.PDAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "qwen3", Generation: 3},
		Spec: v1alpha1.PDAutoscalerSpec{
			Mode: v1alpha1.ModeAuto, Target: v1alpha1.TargetReference{Name: "dynamo-pd"}, GPU: "H200", Budget: &v1alpha1.Budget{GPUs: 12},
			Roles: v1alpha1.Roles{Prefill: v1alpha1.PrefillRole{ScaledRole: v1alpha1.ScaledRole{Max: 8}}, Decode: v1alpha1.DecodeRole{ScaledRole: v1alpha1.ScaledRole{Max: 8}}},
		},
	}
	pda.Default()
	pda.Status.ObservedGeneration = 3
	pda.Status.Signals.Sources = []v1alpha1.SourceStatus{{Kind: "frontend", Read: 1, Engine: "dynamo-vllm"}, {Kind: "decode", Read: 1}}
	pda.Status.Conditions = []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "the resource, its model and its target are understood"},
		{Type: v1alpha1.ConditionSignalsKnown, Status: metav1.ConditionTrue, Reason: "Known", Message: "the demand is known from fresh readings"},
		{Type: v1alpha1.ConditionActive, Status: metav1.ConditionTrue, Reason: "Active", Message: "decisions are written"},
	}
	pool := func(n int) planner.Pool {
		p := planner.Pool{Desired: n, GPUsPerReplica: 2, GPUType: "NVIDIA-H200"}
		for range n {
			p.Replicas = append(p.Replicas, planner.Replica{Name: "r", State: planner.Ready, GPUs: 2, Node: "gpu-0"})
		}
		return p
	}
	role := func(r planner.Role) workload.RoleInspection {
		name := "dynamo-pd-" + string(r)
		return workload.RoleInspection{Role: r, Name: string(r), Carrier: "RoleInstanceSet/" + name, AdapterAsked: true,
			WrittenAt: "/scale of RoleBasedGroupScalingAdapter default/" + name,
			Adapters:  []workload.AdapterInspection{{Name: name, Phase: "Bound", Selector: "app=x", Owned: true, SelectorUsable: true}}}
	}
	return Patient{
		Resource: pda, Now: now,
		Seen: &workload.Observation{Prefill: pool(2), Decode: pool(1), FreeGPUsByNode: map[string]int{"gpu-0": 2},
			GraceSeconds: map[planner.Role]int64{planner.Prefill: 120, planner.Decode: 120}},
		Built: &workload.Inspection{Version: "v1alpha2", Roles: []workload.RoleInspection{role(planner.Prefill), role(planner.Decode)}},
		Probes: []Probe{{Role: workload.FrontendRole, Pod: "dynamo-pd-processor-0", Port: 8000, Samples: 120}, {Role: planner.Prefill, Pod: "dynamo-pd-prefill-0", Port: 8000, Samples: 310},
			{Role: planner.Decode, Pod: "dynamo-pd-decode-0", Port: 8000, Samples: 1}},
	}
}

// cases are services with one kind of trouble each, by the name of their golden files.
var cases = map[string]struct {
	change  func(*Patient)
	healthy bool
}{
	"healthy": {func(*Patient) {}, true},
	"missing-target": {func(p *Patient) {
		p.Seen, p.Built, p.Probes = nil, nil, nil
		p.Unread = &workload.MissingError{What: "RoleBasedGroup default/dynamo-pd", Why: "does not exist"}
		p.Resource.Status.Conditions = nil
		p.Resource.Status.Signals.Sources = nil
	}, false},
	"forbidden": {func(p *Patient) {
		p.Seen, p.Built, p.Probes = nil, nil, nil
		p.Unread = errors.New(`read RoleBasedGroup default/dynamo-pd: rolebasedgroups is forbidden: User "mira" cannot get it`)
	}, true},
	"adapters": {func(p *Patient) {
		p.Seen.Prefill.Held = "the scaling adapter of role prefill is not bound yet: it would overwrite a new count"
		p.Built.Roles[0].WrittenAt = ""
		p.Built.Roles[0].Refused = "scaling adapter default/dynamo-pd-prefill of role prefill is not bound (phase NotBound): nothing is written until its phase is Bound"
		p.Built.Roles[0].Adapters = append(p.Built.Roles[0].Adapters, workload.AdapterInspection{Name: "by-hand"})
		p.Built.Roles[1].Adapters[0].Selector, p.Built.Roles[1].Adapters[0].SelectorUsable = ",rbg.workloads.x-k8s.io/component-index=0", false
	}, false},
	"deadlocks": {func(p *Patient) {
		p.Seen.Decode.Held = "role decode depends on role prefill, and 1 of 2 replicas of prefill are ready: RBG changes nothing until all are"
		p.Seen.Prefill.HeldUp = "the group is scheduled as a gang and pod x of role prefill has no place (0/1 nodes are available): no new pod of role prefill would get one"
		p.Seen.Prefill.Replicas[1] = planner.Replica{Name: "dynamo-pd-prefill-1", State: planner.Starting, GPUs: 2, Unschedulable: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}
		p.Built.Gang = true
		p.Built.Roles[1].Dependencies = []string{"prefill"}
		p.Built.Roles[0].Coordinated = "OrderScheduled of prefill, decode"
		p.Seen.Prefill.Rollout = true
	}, false},
	"other-writers": {func(p *Patient) {
		p.Seen.Decode.Writer = "HorizontalPodAutoscaler default/hpa (RoleBasedGroupScalingAdapter dynamo-pd-decode)"
	}, false},
	"writers-in-mode-metrics": {func(p *Patient) {
		p.Resource.Spec.Mode = v1alpha1.ModeMetrics
		p.Seen.Decode.Writer = "HorizontalPodAutoscaler default/hpa (RoleBasedGroupScalingAdapter dynamo-pd-decode)"
	}, true},
	"gpus": {func(p *Patient) {
		p.Seen.Prefill.GPUsPerReplica = 0
		p.Resource.Spec.GPU, p.Seen.Prefill.GPUType = "", ""
		p.Resource.Spec.Roles.Decode.Parallelism = &v1alpha1.Parallelism{Tensor: 4}
		p.Seen.Problems = []workload.Problem{{Role: planner.Decode, Reason: workload.ProblemGPUsDiffer, Message: "replica dynamo-pd-decode-0 of role decode holds 1 GPUs, its template says 2"}}
		p.Seen.Decode.NotOn = []string{"gpu-0"}
	}, false},
	"budget": {func(p *Patient) {
		p.Resource.Spec.Budget.GPUs = 4
		p.Resource.Spec.Roles.Prefill.Min = 2
		p.Seen.QuotaGPUs = &workload.Allowance{GPUs: -2, From: "ResourceQuota default/gpus"}
		p.Seen.FreeGPUsByNode = nil
		p.Resource.Spec.Behavior.Drain = &v1alpha1.Drain{Deadline: v1alpha1.Every(9 * time.Minute)}
	}, false},
	"metrics": {func(p *Patient) {
		p.Resource.Status.Signals.Sources = []v1alpha1.SourceStatus{{Kind: "frontend", Failed: 1, Message: "connection refused"}, {Kind: "decode", Read: 3, Failed: 1, Message: "dynamo-pd-decode-3: 404"}}
		p.Resource.Status.Conditions[1].Status, p.Resource.Status.Conditions[1].Reason, p.Resource.Status.Conditions[1].Message = metav1.ConditionFalse, "DemandUnknown", "no frontend answered"
		p.Probes[0].Samples, p.Probes[0].Error = 0, "503 Service Unavailable"
		p.Probes[1].Samples = 0
	}, false},
	"not-acting": {func(p *Patient) {
		p.Resource.Spec.Mode = v1alpha1.ModeRecommend
		p.Resource.Annotations = map[string]string{v1alpha1.PausedAnnotation: "maintenance"}
		p.Resource.Status.Conditions[2] = metav1.Condition{Type: v1alpha1.ConditionObjectivesReachable, Status: metav1.ConditionUnknown, Reason: "DemandUnknown", Message: "nothing is known yet"}
		p.Probes[1].Denied = true
	}, true},
	"no-controller": {func(p *Patient) {
		p.Resource.Generation = 4
		p.Probes, p.NotProbed = nil, "no pod is ready to be asked"
	}, false},
	"by-reference": {func(p *Patient) {
		p.Resource.Spec.Target = v1alpha1.TargetReference{ScaleTargetRefs: &v1alpha1.ScaleTargetReferences{
			Prefill: v1alpha1.ScaleTargetReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "p"}, Decode: v1alpha1.ScaleTargetReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "d"}}}
		p.Built = &workload.Inspection{Roles: []workload.RoleInspection{
			{Role: planner.Prefill, Name: "Deployment/p", WrittenAt: "/scale of Deployment default/p", Selector: "app=p", SelectorUsable: true},
			{Role: planner.Decode, Name: "StatefulSet/d", WrittenAt: "/scale of StatefulSet default/d"},
		}}
		p.Resource.Spec.Budget = nil
	}, true},
}

func TestReports(t *testing.T) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := healthy()
			tc.change(&p)
			r := Examine(p)
			if r.Healthy != tc.healthy {
				t.Errorf("healthy %v, want %v", r.Healthy, tc.healthy)
			}
			var text, data bytes.Buffer
			if err := r.Text(&text); err != nil {
				t.Fatal(err)
			}
			encoder := json.NewEncoder(&data)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(&r); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", text.Bytes())
			golden(t, name+".json", data.Bytes())
			for _, c := range r.Checks {
				if c.State == Fault && c.Fix == "" || c.Message == "" || strings.Contains(c.Message, "%!") {
					t.Errorf("a fault must say what to change, and every check what it found: %+v", c)
				}
			}
		})
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
