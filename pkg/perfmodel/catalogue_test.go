package perfmodel

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogueHoldsWholeEntriesWithSources(t *testing.T) {
	if len(GPUs()) < 11 || len(Models()) < 5 {
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

// The published sizes: parameters without the input embedding, and bf16 KV bytes per token.
func TestCatalogueModelsHaveTheirPublishedSizes(t *testing.T) {
	for name, want := range map[string]struct{ billions, kvBytes float64 }{
		"Qwen3-8B":      {7.57, 147456},
		"Qwen3-14B":     {13.99, 163840},
		"Qwen3-32B":     {31.98, 262144},
		"Llama-3.1-8B":  {7.50, 131072},
		"Llama-3.1-70B": {69.5, 327680},
	} {
		m, err := LookupModel(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.ReadParameters() / 1e9; math.Abs(got-want.billions) > 0.006*want.billions {
			t.Errorf("%s reads %.3fe9 parameters, want %.2fe9", name, got, want.billions)
		}
		if got := m.KVElementsPerToken() * 2; got != want.kvBytes {
			t.Errorf("%s has %.0f KV bytes per token, want %.0f", name, got, want.kvBytes)
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
	if _, err := LookupModel("DeepSeek-R1"); err == nil || !strings.Contains(err.Error(), `"DeepSeek-R1"`) || !strings.Contains(err.Error(), "Qwen3-32B") {
		t.Errorf("LookupModel(DeepSeek-R1): %v", err)
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
