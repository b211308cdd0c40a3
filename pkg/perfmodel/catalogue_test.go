package perfmodel

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogueHoldsWholeEntriesWithSources(t *testing.T) {
	if len(GPUs()) < 11 || len(Models()) < 36 {
		t.Fatalf("%d GPUs and %d models: the catalogue lost entries", len(GPUs()), len(Models()))
	}
	for _, e := range gpuCatalogue() {
		if err := e.GPU.validate(); err != nil {
			t.Error(err)
		}
		if e.Source == "" || len(e.Products) == 0 {
			t.Errorf("GPU %s lacks its source or its product names", e.Name)
		}
		if got, err := LookupGPU(e.Name); err != nil || got != e.GPU {
			t.Errorf("LookupGPU(%q) = %v, %v", e.Name, got, err)
		}
		// Dense fp8 is twice bf16 (within rounding of the tables): a sparse figure in one column would be seen here.
		if e.FP8FLOPs != 0 && math.Abs(e.FP8FLOPs/e.Bf16FLOPs-2) > 0.05 {
			t.Errorf("GPU %s: fp8 is %.2f times bf16, want 2", e.Name, e.FP8FLOPs/e.Bf16FLOPs)
		}
	}
	for _, e := range modelCatalogue() {
		if err := e.Model.validate(); err != nil {
			t.Error(err)
		}
		if e.Source == "" {
			t.Errorf("model %s lacks its source", e.Name)
		}
		if got, err := LookupModel("owner/" + strings.ToLower(e.Name)); err != nil || got != e.Model {
			t.Errorf("LookupModel of %q = %v, %v", e.Name, got, err)
		}
	}
}

// The published sizes: all parameters, those that one token goes through, and 16-bit KV bytes per token of context.
func TestCatalogueModelsHaveTheirPublishedSizes(t *testing.T) {
	for name, want := range map[string]struct{ billions, active, kvBytes float64 }{
		"Qwen2.5-7B":              {7.62, 7.62, 57344},
		"Qwen2.5-32B":             {32.76, 32.76, 262144},
		"Qwen2.5-72B-Instruct":    {72.7, 72.7, 327680},
		"Qwen3-0.6B":              {0.60, 0.60, 114688},
		"Qwen3-8B":                {8.19, 8.19, 147456},
		"Qwen3-14B":               {14.77, 14.77, 163840},
		"Qwen3-32B":               {32.76, 32.76, 262144},
		"Qwen3-30B-A3B":           {30.5, 3.3, 98304},
		"Qwen3-235B-A22B":         {235, 22, 192512},
		"Qwen3-Coder-480B-A35B":   {480, 35.4, 253952},
		"Meta-Llama-3.1-8B":       {8.03, 8.03, 131072},
		"Llama-3.1-70B-Instruct":  {70.6, 70.6, 327680},
		"Llama-3.1-405B":          {405.9, 405.9, 516096},
		"Llama-3.3-70B-Instruct":  {70.6, 70.6, 327680},
		"Mistral-7B":              {7.25, 7.25, 131072},
		"Mistral-Large":           {122.6, 122.6, 360448},
		"Mixtral-8x7B":            {46.7, 12.9, 131072},
		"Mixtral-8x22B":           {140.6, 39.1, 229376},
		"DeepSeek-V3":             {671, 37.5, 70272}, // 61 layers of a latent of 512 and one key of 64
		"deepseek-ai/DeepSeek-R1": {671, 37.5, 70272},
		"DeepSeek-V2-Lite":        {15.7, 2.66, 31104},
		"gpt-oss-20b":             {20.9, 4.19, 24576}, // every other layer grows; 3.6 active without the embedding
		"gpt-oss-120b":            {116.8, 5.71, 36864},
	} {
		m, err := LookupModel(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := m.HeldParameters() / 1e9; math.Abs(got-want.billions) > 0.01*want.billions {
			t.Errorf("%s has %.3fe9 parameters, want %.2fe9", name, got, want.billions)
		}
		if got := m.ActiveParameters() / 1e9; math.Abs(got-want.active) > 0.02*want.active {
			t.Errorf("%s has %.3fe9 active parameters, want %.2fe9", name, got, want.active)
		}
		if got := m.KVElementsPerToken() * 2; got != want.kvBytes {
			t.Errorf("%s has %.0f KV bytes per token, want %.0f", name, got, want.kvBytes)
		}
	}
}

// The sizes of published checkpoints with quantised weights.
func TestQuantisedCheckpointsHaveTheirPublishedSizes(t *testing.T) {
	for name, gb := range map[string]float64{"gpt-oss-120b": 65.3, "gpt-oss-20b": 13.8, "DeepSeek-V3": 673, "Qwen3-32B-FP8": 34.3} {
		m, err := LookupModel(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.WeightBytes() / 1e9; math.Abs(got-gb) > 0.015*gb {
			t.Errorf("%s weighs %.1f GB, its checkpoint %.1f GB", name, got, gb)
		}
	}
}

func TestMatchGPUKnowsDriverAndLabelNames(t *testing.T) {
	for product, want := range map[string]string{
		"NVIDIA H200":                  "H200-SXM",
		"NVIDIA-H200":                  "H200-SXM",
		"NVIDIA H100 80GB HBM3":        "H100-SXM",
		"NVIDIA-H100-80GB-HBM3":        "H100-SXM",
		"NVIDIA-H100-PCIe":             "H100-PCIe",
		"NVIDIA-A100-SXM4-80GB":        "A100-SXM-80",
		"NVIDIA-L40S":                  "L40S",
		"NVIDIA-H200-MIG-1g.18gb":      "is a part of a H200-SXM",
		"NVIDIA-H100-80GB-HBM3-SHARED": "is a part of a H100-SXM",
		"NVIDIA-A100-SXM4-40GB":        "unknown",
		"NVIDIA H200 NVL":              "unknown",
		"NVIDIA L4":                    "unknown",
		"":                             "unknown",
		"Tesla T4":                     "known are NVIDIA A100-SXM4-80GB",
		"NVIDIA-H20":                   "H20",
		"NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX-PRO-6000-Server",
	} {
		g, err := MatchGPU(product)
		switch {
		case err == nil && g.Name != want:
			t.Errorf("MatchGPU(%q) = %s, want %s", product, g.Name, want)
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("MatchGPU(%q): %v, want it to say %q", product, err, want)
		}
	}
}

func TestUnknownNamesAreRefusedWithTheAllowedOnes(t *testing.T) {
	if _, err := LookupGPU("L4"); err == nil || !strings.Contains(err.Error(), `"L4"`) || !strings.Contains(err.Error(), "L40S") {
		t.Errorf("LookupGPU(L4): %v", err)
	}
	if _, err := LookupModel("GPT-9"); err == nil || !strings.Contains(err.Error(), `"GPT-9"`) || !strings.Contains(err.Error(), "Qwen3-32B") {
		t.Errorf("LookupModel(GPT-9): %v", err)
	}
}

func TestPriorsLieInTheirRangesAndNameTheirSource(t *testing.T) {
	for name, p := range mustRead[map[string]prior]("data/priors.json") {
		if !(p.Low <= p.Mean && p.Mean <= p.High) || p.Source == "" {
			t.Errorf("prior %s is %+v", name, p)
		}
	}
	if diff := cmp.Diff(defaultPriors(), mustRead[priors]("data/priors.json")); diff != "" {
		t.Error(diff)
	}
	if p := defaultPriors(); p.GEMMFP8.Mean == 0 || p.TensorCycles.Mean == 0 || p.TransferNIC.Mean == 0 || p.ReserveBytes.Mean == 0 {
		t.Errorf("a prior is missing from the file: %+v", p)
	}
}
