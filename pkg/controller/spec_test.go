package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Every field of the resource arrives where the planner reads it, in its unit.
func TestPlannerSpec(t *testing.T) {
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		r := &p.Spec.Roles
		r.Prefill.Min, r.Prefill.Max = 2, 7
		r.Prefill.ScaleUp = v1alpha1.Scaling{MaxStep: 3, Period: v1alpha1.Every(20 * time.Second)}
		r.Decode.ScaleDown = v1alpha1.Scaling{Disabled: true}
		r.Decode.MaxSequences, r.Decode.LocalPrefillPercent = 64, 30
		r.Prefill.MaxBatchedTokens, r.Prefill.PadTokens, r.Prefill.TransferBlocks = 4096, 64, true
		r.Decode.GPUType = "H100"
		p.Spec.SLO.TTFTEndsAt = v1alpha1.TTFTEndsAtDecode
		p.Spec.SLO.TTFT = v1alpha1.Objective{Percentile: 99, Target: v1alpha1.Every(1500 * time.Millisecond)}
		p.Spec.Model.MemoryPercent = 80
		p.Spec.Model.KVCacheDtype, p.Spec.Model.WeightDtype = v1alpha1.DtypeFP8, v1alpha1.DtypeBF16
		r.Decode.Parallelism = &v1alpha1.Parallelism{Tensor: 2, Data: 1, Pipeline: 2}
		p.Spec.Model.KVTransfer = &v1alpha1.KVTransfer{GigabytesPerSecond: 25, Setup: v1alpha1.Every(3 * time.Millisecond)}
		p.Spec.Behavior.TolerancePercent = 15
		p.Spec.Rebalance.Enabled = new(false)
	})
	model, err := readModel(t.Context(), nil, pda)
	if err != nil {
		t.Fatal(err)
	}
	seen := gpuNames{}
	got, err := plannerSpec(pda, model, &planner.Pool{GPUsPerReplica: 2}, &planner.Pool{GPUsPerReplica: 4}, seen)
	if err != nil {
		t.Fatal(err)
	}
	replica := func(gpu string, tp, pp, batchedTokens int) perfmodel.Replica {
		g, err := perfmodel.LookupGPU(gpu)
		if err != nil {
			t.Fatal(err)
		}
		r, err := perfmodel.NewReplica(model.Model, g, perfmodel.Options{TP: tp, PP: pp, MemoryFraction: 0.8, TransferBytesPerSecond: 25e9, KVBytesPerElement: 1, WeightBytesPerElement: 2, MaxBatchedTokens: batchedTokens})
		if err != nil {
			t.Fatal(err)
		}
		r.Transfer.LatencyMs = 3
		return r
	}
	want := planner.Spec{
		Prefill: planner.RoleSpec{Min: 2, Max: 7, GPUsPerReplica: 2, Up: planner.StepSpec{MaxStep: 3, PeriodSeconds: 20}},
		Decode:  planner.RoleSpec{Min: 1, Max: 8, GPUsPerReplica: 4, Down: planner.StepSpec{Disabled: true}},
		Service: capacity.Service{Prefill: replica("H200", 2, 1, 4096), Decode: replica("H100", 2, 2, 0), TTFTEndsAt: capacity.EndsAtDecode, MaxSequences: 64,
			ChunkTokens: 4096, PadTokens: 64, TransferBlocksPrefill: true},
		TTFT: capacity.Objective{Quantile: 0.99, Ms: 1500}, TPOT: capacity.Objective{Quantile: 0.95, Ms: 50},
		BudgetGPUs: 12, LocalPrefillShare: 0.3,
		Behavior: planner.Behavior{IntervalSeconds: 10, DownWindowSeconds: 60, Headroom: 0.1, Tolerance: 0.15, MaxAgeSeconds: 60, StartupSeconds: 120,
			StartTimeoutSeconds: 900, BreachSeconds: 60},
		Rebalance: planner.Rebalance{WindowSeconds: 60, DrainTimeoutSeconds: 600, StartTimeoutSeconds: 900, CooldownSeconds: 600},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if seen[planner.Prefill] != catalogueName(t, "H200") || seen[planner.Decode] != catalogueName(t, "H100") {
		t.Errorf("the GPUs to remember are %v", seen)
	}
}

// The type of GPU: the role's, the resource's, the nodes', the last nodes'.
func TestGPUOf(t *testing.T) {
	for name, c := range map[string]struct {
		role, resource, nodes, last string
		want                        string
	}{
		"the role says":          {"H100", "H200", "NVIDIA-A100-SXM4-80GB", "H200", "H100"},
		"the resource says":      {"", "H200", "NVIDIA-H100-80GB-HBM3", "H100", "H200"},
		"the nodes say":          {"", "", "NVIDIA-H200", "H100", "H200"},
		"the nodes said":         {"", "", "", "H100", "H100"},
		"nobody says":            {"", "", "", "", ""},
		"the nodes say nonsense": {"", "", "NVIDIA-Quantum", "H100", ""},
	} {
		t.Run(name, func(t *testing.T) {
			pda := example(func(p *v1alpha1.PDAutoscaler) { p.Spec.GPU = c.resource })
			gpu, err := gpuOf(pda, planner.Decode, &v1alpha1.ScaledRole{GPUType: c.role}, &planner.Pool{GPUType: c.nodes}, gpuNames{planner.Decode: c.last})
			want := ""
			if c.want != "" {
				want = catalogueName(t, c.want)
			}
			if gpu.Name != want || (err != nil) != (want == "") {
				t.Errorf("got %q, %v; want %q", gpu.Name, err, want)
			}
		})
	}
}

// catalogueName is the whole name of a GPU: the catalogue knows H200 by more than one.
func catalogueName(t *testing.T, name string) string {
	t.Helper()
	gpu, err := perfmodel.LookupGPU(name)
	if err != nil {
		t.Fatal(err)
	}
	return gpu.Name
}

const qwenConfig = `{"model_type": "qwen3", "num_hidden_layers": 64, "hidden_size": 5120, "num_attention_heads": 64, "num_key_value_heads": 8,
	"head_dim": 128, "intermediate_size": 25600, "vocab_size": 151936, "torch_dtype": "bfloat16"}`

// A model from its config.json is the model, and what is wrong with it is said.
func TestModelFromConfigMap(t *testing.T) {
	ref := func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Model = v1alpha1.Model{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "model"}}
		p.Default()
	}
	for name, c := range map[string]struct {
		key, text string
		says      string
	}{
		"good":                 {"config.json", qwenConfig, ""},
		"another key":          {"config.yaml", qwenConfig, `ConfigMap default/model has no key "config.json"`},
		"not JSON":             {"config.json", "layers: 64", "not a JSON object"},
		"a mixture of experts": {"config.json", strings.Replace(qwenConfig, "{", `{"num_experts": 128,`, 1), "mixture of experts"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example(ref), configMap("model", c.key, c.text))
			w.rounds(1)
			status := w.resource().Status
			if c.says == "" {
				if status.Model.Source != modelFromConfig || status.Model.Name == "" || status.Model.Decode.KVTokens <= 0 {
					t.Errorf("the model is %+v; %s", status.Model, status.Message)
				}
				return
			}
			if !strings.Contains(status.Message, c.says) || status.Reason != string(ReasonModelUnknown) {
				t.Errorf("%s: %q, want %q", status.Reason, status.Message, c.says)
			}
		})
	}
}
