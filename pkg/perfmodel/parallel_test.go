package perfmodel

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func wantAbout(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if !(math.Abs(got/want-1) <= within) {
		t.Errorf("%s is %.4g, want %.4g within %.0f %%", what, got, want, 100*within)
	}
}

// A step of a mixture reads the experts that its tokens touch: few for one sequence, nearly all for many.
func TestMixtureReadsTheExpertsThatABatchTouches(t *testing.T) {
	d := mustReplica(t, "Qwen3-30B-A3B", "H200-SXM", Options{}).Decode
	wantAbout(t, "experts read by one sequence", d.ReadMs(1)-d.WeightReadMs, d.ExpertReadMs*8/128, 1e-9)
	wantAbout(t, "experts read by 16", d.ReadMs(16)-d.WeightReadMs, d.ExpertReadMs*(1-math.Pow(1-8.0/128, 16)), 1e-9)
	wantAbout(t, "experts read by 256", d.ReadMs(256)-d.WeightReadMs, d.ExpertReadMs, 1e-6)
	dense := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{}).Decode
	if d.StepMs(1, 1000) > dense.StepMs(1, 1000)/2 {
		t.Errorf("30B with 3B active steps in %.1f ms, 32B dense in %.1f ms", d.StepMs(1, 1000), dense.StepMs(1, 1000))
	}
	// 3.04e9 against 32e9 active parameters, of which 1.81e9 in experts, whose products are slower.
	wantAbout(t, "matrix products against the dense model's", dense.GEMMMsPerSequence/d.GEMMMsPerSequence, 31.98/(1.23+1.81/0.8), 0.05)
}

func TestLatentAttentionHoldsALatentOnEveryGPU(t *testing.T) {
	r := mustReplica(t, "DeepSeek-V3", "H200-SXM", Options{TP: 8})
	wantAbout(t, "KV bytes per token", r.KVBytesPerToken, 61*(512+64)*2, 1e-12)
	// 8 GPUs hold the latent of a token 8 times; 8 data-parallel groups of one GPU hold it once, but attention 8 times.
	groups := mustReplica(t, "DeepSeek-V3", "H200-SXM", Options{TP: 1, DP: 8})
	if r.GPUs != 8 || groups.GPUs != 8 || groups.WeightBytes <= r.WeightBytes {
		t.Errorf("%d and %d GPUs hold %.0f and %.0f GB", r.GPUs, groups.GPUs, r.WeightBytes/1e9, groups.WeightBytes/1e9)
	}
	if groups.KVCapacityTokens < 4*r.KVCapacityTokens {
		t.Errorf("as groups they hold %.0f tokens, as one %.0f", groups.KVCapacityTokens, r.KVCapacityTokens)
	}
	// 128 heads multiply with each latent: the tensor cores, not the memory, are what long contexts wait for.
	readMs := r.KVBytesPerToken / (4.8e12 * 0.86) * 1000
	if r.Decode.KVMsPerToken < readMs*0.999 {
		t.Errorf("a token of context takes %.3g ms, reading it alone %.3g ms", r.Decode.KVMsPerToken, readMs)
	}
}

func TestWindowsBoundTheCache(t *testing.T) {
	m, err := LookupModel("gpt-oss-120b")
	if err != nil {
		t.Fatal(err)
	}
	windowed := mustReplica(t, "gpt-oss-120b", "H100-SXM", Options{})
	g, err := LookupGPU("H100-SXM")
	if err != nil {
		t.Fatal(err)
	}
	m.WindowLayers, m.WindowTokens = 0, 0
	full, err := NewReplica(m, g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantAbout(t, "kappa", windowed.Decode.KVMsPerToken, full.Decode.KVMsPerToken/2, 1e-9)
	wantAbout(t, "room", windowed.KVCapacityTokens, 2*full.KVCapacityTokens, 1e-3)
	wantAbout(t, "the attention's square", windowed.Prefill.AttentionMsPerTokenSquared, full.Prefill.AttentionMsPerTokenSquared/2, 1e-9)
	if windowed.Prefill.PerTokenMs <= full.Prefill.PerTokenMs || windowed.Decode.PerSequenceMs <= full.Decode.PerSequenceMs {
		t.Error("looking back through a window costs nothing")
	}
}

func TestNarrowWeightsTakeLessMemoryAndTime(t *testing.T) {
	m, err := LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	g, err := LookupGPU("H100-SXM")
	if err != nil {
		t.Fatal(err)
	}
	last := math.Inf(1)
	for _, w := range []WeightType{BF16, FP8, INT4} {
		m.DenseWeights = w
		r, err := NewReplica(m, g, Options{TP: 2})
		if err != nil {
			t.Fatal(err)
		}
		if r.WeightBytes >= last {
			t.Errorf("%q weighs %.1f GB, the wider type %.1f GB", w, r.WeightBytes/1e9, last/1e9)
		}
		last = r.WeightBytes
	}
	int4, err := NewReplica(m, g, Options{})
	if err != nil {
		t.Fatalf("int4 weights of 32B on one H100: %v", err)
	}
	wide := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{})
	wantAbout(t, "int4's matrix products, in 16 bits", int4.Prefill.GEMMMsPerToken, wide.Prefill.GEMMMsPerToken, 1e-9)
}

func TestPipelinesShareLayersAndMemory(t *testing.T) {
	one, two := mustReplica(t, "Llama-3.1-70B", "H200-SXM", Options{TP: 2}), mustReplica(t, "Llama-3.1-70B", "H200-SXM", Options{TP: 2, PP: 2})
	if two.GPUs != 4 || two.WeightBytes != one.WeightBytes || two.KVCapacityTokens < 2*one.KVCapacityTokens {
		t.Errorf("two stages: %+v, one: %+v", two, one)
	}
	// A token still reads all weights, one stage after the other; a full batch is worked on in both at once.
	if two.Decode.StepMs(1, 100) < one.Decode.StepMs(1, 100)*0.99 || two.Decode.StepMs(256, 5e5) > 0.75*one.Decode.StepMs(256, 5e5) {
		t.Errorf("steps of 1: %.1f and %.1f ms, of 256: %.1f and %.1f ms", one.Decode.StepMs(1, 100), two.Decode.StepMs(1, 100),
			one.Decode.StepMs(256, 5e5), two.Decode.StepMs(256, 5e5))
	}
}

func TestParallelismIsRefusedWhereItMeansNothing(t *testing.T) {
	for want, try := range map[string]struct {
		model string
		o     Options
	}{
		"dp is 2: allowed is 1 to 1024 for a mixture": {"Qwen3-32B", Options{DP: 2}},
		"tp times dp is 3":                            {"Mixtral-8x7B", Options{DP: 3}},
		"pp is 65":                                    {"Qwen3-32B", Options{PP: 65}},
		"offloadBytesPerSecond":                       {"Qwen3-32B", Options{OffloadBytesPerSecond: -1}},
		"does not fit: 1 x H200":                      {"DeepSeek-V3", Options{}},
		"weights of model \"Qwen":                     {"Qwen3-32B-FP8", Options{}},
	} {
		m, err := LookupModel(try.model)
		if err != nil {
			t.Fatal(err)
		}
		gpu := "H200-SXM"
		if strings.HasSuffix(try.model, "FP8") {
			gpu = "A100-SXM-80"
		}
		g, err := LookupGPU(gpu)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewReplica(m, g, try.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %+v: %v, want it to say %q", try.model, try.o, err, want)
		}
	}
}

// The chunks' attention sums to the whole's; each chunk has the fixed parts of a step of its own.
func TestChunksSumToThePrompt(t *testing.T) {
	for _, model := range []string{"Qwen3-32B", "Qwen3-30B-A3B"} {
		p := mustReplica(t, model, "H200-SXM", Options{}).Prefill
		rapid.Check(t, func(rt *rapid.T) {
			n := math.Ceil(rapid.Float64Range(1, 20_000).Draw(rt, "n"))
			c := math.Ceil(rapid.Float64Range(0, 20_000).Draw(rt, "c"))
			chunk := math.Ceil(rapid.Float64Range(16, 9000).Draw(rt, "chunk"))
			sum := 0.0
			for done := 0.0; done < n; done += chunk {
				sum += p.StepMs(min(chunk, n-done), c+done)
			}
			if got := p.ChunkedMs(n, c, chunk); math.Abs(got-sum) > 1e-9*sum {
				rt.Fatalf("%v new after %v in chunks of %v: %v ms, step by step %v ms", n, c, chunk, got, sum)
			}
			if p.ChunkedMs(n, c, chunk) < p.StepMs(n, c)*(1-1e-9) {
				rt.Fatalf("chunks of %v are faster than one step", chunk)
			}
		})
	}
}

// Beyond the GPUs that one board's links join, rings go over the network.
func TestTensorParallelLeavesTheBoard(t *testing.T) {
	overheadMs := func(gpu string, tp int) float64 {
		return mustReplica(t, "Qwen3-32B", gpu, Options{TP: tp}).Decode.OverheadMs
	}
	board, two, rack := overheadMs("H200-SXM", 8), overheadMs("H200-SXM", 16), overheadMs("GB200", 16)
	if least := 2 * 64 * 2 * 0.0027; two-board < least {
		t.Errorf("overhead is %.2f ms on 8 GPUs and %.2f on 16, want %.2f more for two hops over the network per all-reduce", board, two, least)
	}
	if rack >= two {
		t.Errorf("16 GPUs that one rack's links join take %.2f ms, two boards %.2f", rack, two)
	}
}
