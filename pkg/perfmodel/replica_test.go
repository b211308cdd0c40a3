package perfmodel

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustReplica(t testing.TB, model, gpu string, o Options) Replica {
	t.Helper()
	m, err := LookupModel(model)
	if err != nil {
		t.Fatal(err)
	}
	g, err := LookupGPU(gpu)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReplica(m, g, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// checkReplica holds what every replica must be: finite, positive where work is done, and plain JSON.
func checkReplica(t fataler, r Replica) {
	t.Helper()
	for name, v := range map[string]float64{
		"prefill weight read": r.Prefill.WeightReadMs, "prefill GEMM": r.Prefill.GEMMMsPerToken,
		"prefill attention": r.Prefill.AttentionMsPerTokenSquared, "prefill per token": r.Prefill.PerTokenMs,
		"prefill overhead": r.Prefill.OverheadMs, "decode weight read": r.Decode.WeightReadMs,
		"decode GEMM": r.Decode.GEMMMsPerSequence, "decode per sequence": r.Decode.PerSequenceMs,
		"decode overhead": r.Decode.OverheadMs, "kappa": r.Decode.KVMsPerToken, "transfer": r.Transfer.MsPerToken,
		"KV capacity": r.KVCapacityTokens, "weights": r.WeightBytes, "KV bytes": r.KVBytesPerToken,
		"prefill tensor": r.BusyActivity.PrefillTensorActive, "prefill DRAM": r.BusyActivity.PrefillDRAMActive,
		"decode tensor": r.BusyActivity.DecodeTensorActive, "decode DRAM": r.BusyActivity.DecodeDRAMActive,
	} {
		if !(v > 0) || math.IsInf(v, 0) {
			t.Fatalf("%s is %v", name, v)
		}
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	var back Replica
	if err := json.Unmarshal(raw, &back); err != nil || back != r {
		t.Fatalf("%s reads back as %+v, %v", raw, back, err)
	}
}

func TestEveryModelOnEveryGPUIsWholeOrRefused(t *testing.T) {
	fits := 0
	for _, m := range Models() {
		for _, g := range GPUs() {
			for _, o := range []Options{{}, {TP: 2}, {TP: 8}, {TP: 16}, {TP: 4, WeightBytesPerElement: 1, KVBytesPerElement: 1}} {
				o.TransferBytesPerSecond = 50e9
				r, err := NewReplica(m, g, o)
				if err != nil {
					if !strings.Contains(err.Error(), "does not fit") && !strings.Contains(err.Error(), "fp8") && !strings.Contains(err.Error(), "tp is") {
						t.Errorf("%s on %s, %+v: %v", m.Name, g.Name, o, err)
					}
					continue
				}
				fits++
				checkReplica(t, r)
			}
		}
	}
	if fits < 200 {
		t.Errorf("only %d combinations fit", fits)
	}
}

func TestNewReplicaRefuses(t *testing.T) {
	qwen, err := LookupModel("Qwen3-32B")
	if err != nil {
		t.Fatal(err)
	}
	h200, err := LookupGPU("H200-SXM")
	if err != nil {
		t.Fatal(err)
	}
	a100, err := LookupGPU("A100-SXM-80")
	if err != nil {
		t.Fatal(err)
	}
	h20, err := LookupGPU("H20")
	if err != nil {
		t.Fatal(err)
	}
	broken := h200
	broken.MemoryBytes = math.NaN()
	for name, c := range map[string]struct {
		m    Model
		g    GPU
		o    Options
		want string
	}{
		"no model":            {Model{Name: "x"}, h200, Options{}, `model "x": layers is 0`},
		"no memory":           {qwen, broken, Options{}, `memoryBytes is NaN`},
		"too small":           {qwen, GPU{Name: "L4", Bf16FLOPs: 121e12, MemoryBytes: 24e9, BandwidthBytesPerSecond: 3e11, LinkBytesPerSecond: 32e9, NICBytesPerSecond: 1e9}, Options{}, "does not fit: 1 x L4"},
		"tp 3":                {qwen, h200, Options{TP: 3}, "tp is 3: allowed is a divisor of the 64 query heads"},
		"tp negative":         {qwen, h200, Options{TP: -2}, "tp is -2"},
		"memory fraction":     {qwen, h200, Options{MemoryFraction: 1.1}, "memoryFraction is 1.1"},
		"memory fraction NaN": {qwen, h200, Options{MemoryFraction: math.NaN()}, "memoryFraction is NaN"},
		"int4 weights":        {qwen, h200, Options{WeightBytesPerElement: 0.5}, "weightBytesPerElement is 0.5: allowed is 2 (bf16) or 1 (fp8)"},
		"KV type":             {qwen, h200, Options{KVBytesPerElement: 4}, "kvBytesPerElement is 4"},
		"fp8 on A100":         {qwen, a100, Options{WeightBytesPerElement: 1}, "GPU A100-SXM-80 has no fp8"},
		"network unknown":     {qwen, h20, Options{}, "network of GPU H20 is unknown: give transferBytesPerSecond"},
		"batched tokens":      {qwen, h200, Options{MaxBatchedTokens: -1}, "maxBatchedTokens is -1"},
		"engine time":         {qwen, h200, Options{EngineStepMs: -1}, "engineStepMs is -1"},
		"transfer rate":       {qwen, h200, Options{TransferBytesPerSecond: math.Inf(1)}, "transferBytesPerSecond is +Inf"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewReplica(c.m, c.g, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewReplica: %v, want it to say %q", err, c.want)
			}
			if r != (Replica{}) {
				t.Errorf("refused, yet returned %+v", r)
			}
		})
	}
}

// More GPUs per replica are faster and hold more, but never twice as fast: links and smaller matrices take their part.
func TestTensorParallelGains(t *testing.T) {
	one := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{})
	two := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{TP: 2})
	for name, step := range map[string]func(Replica) float64{
		"prefill": func(r Replica) float64 { return r.Prefill.StepMs(2048, 0) },
		"decode":  func(r Replica) float64 { return r.Decode.StepMs(32, 32*2048) },
	} {
		if gain := step(one) / step(two); gain < 1.2 || gain > 2 {
			t.Errorf("TP 2 makes %s %.2f times as fast, want 1.2 to 2", name, gain)
		}
	}
	if two.KVCapacityTokens < 2*one.KVCapacityTokens {
		t.Errorf("TP 2 holds %.0f tokens, TP 1 %.0f: the weights are held once", two.KVCapacityTokens, one.KVCapacityTokens)
	}
	// A KV head that two GPUs hold takes twice the memory, but is one head.
	eight, sixteen := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{TP: 8}), mustReplica(t, "Qwen3-32B", "H200-SXM", Options{TP: 16})
	if sixteen.KVBytesPerToken != one.KVBytesPerToken || sixteen.KVCapacityTokens > 1.2*eight.KVCapacityTokens {
		t.Errorf("16 GPUs for 8 KV heads hold %.0f tokens of %.0f bytes, 8 GPUs %.0f: the heads are held twice",
			sixteen.KVCapacityTokens, sixteen.KVBytesPerToken, eight.KVCapacityTokens)
	}
}

func TestStepTimesRiseWithWork(t *testing.T) {
	r := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{TP: 2})
	atMost := func(a, b float64) bool { return a <= b*(1+1e-12) } // the last bits of sums of many terms are nobody's
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Float64Range(0, 1e6)
		n, c, more := count.Draw(t, "n"), count.Draw(t, "c"), count.Draw(t, "more")
		for name, rises := range map[string]bool{
			"new tokens":    atMost(r.Prefill.StepMs(n, c), r.Prefill.StepMs(n+more, c)),
			"cached tokens": atMost(r.Prefill.StepMs(n, c), r.Prefill.StepMs(n, c+more)),
			"reuse saves":   atMost(r.Prefill.StepMs(n, more), r.Prefill.StepMs(n+more, 0)),
			"sequences":     atMost(r.Decode.StepMs(n, c), r.Decode.StepMs(n+more, c)),
			"context":       atMost(r.Decode.StepMs(n, c), r.Decode.StepMs(n, c+more)),
			"transfer":      atMost(r.Transfer.Ms(n), r.Transfer.Ms(n+more)),
		} {
			if !rises {
				t.Fatalf("%s: n %v, c %v, more %v", name, n, c, more)
			}
		}
		// Affine in the context: the sum over steps of an unchanged batch is k times the middle step.
		steps := r.Decode.StepMs(8, c) + r.Decode.StepMs(8, c+2*more)
		if middle := 2 * r.Decode.StepMs(8, c+more); math.Abs(steps-middle) > 1e-9*middle {
			t.Fatalf("decode is not affine in the context: %v and %v", steps, middle)
		}
	})
}

func TestStepTimesOfBadInputAreFinite(t *testing.T) {
	r := mustReplica(t, "Qwen3-32B", "H200-SXM", Options{})
	for _, bad := range []float64{math.NaN(), math.Inf(-1), -1} {
		if r.Prefill.StepMs(bad, bad) != r.Prefill.StepMs(0, 0) || r.Decode.StepMs(bad, bad) != r.Decode.StepMs(0, 0) || r.Transfer.Ms(bad) != r.Transfer.Ms(0) {
			t.Errorf("%v is not read as zero", bad)
		}
	}
	for name, v := range map[string]float64{
		"prefill": r.Prefill.StepMs(math.Inf(1), math.Inf(1)), "decode": r.Decode.StepMs(math.Inf(1), math.Inf(1)),
		"transfer": r.Transfer.Ms(math.Inf(1)), "no coefficients": Prefill{}.StepMs(math.Inf(1), 0),
	} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%s of infinity is %v", name, v)
		}
	}
}

func BenchmarkDecodeStep(b *testing.B) {
	r := mustReplica(b, "Qwen3-32B", "H200-SXM", Options{TP: 2})
	b.ReportAllocs()
	sequences, sum := 1.0, 0.0
	for b.Loop() {
		sum += r.Decode.StepMs(sequences, 1000*sequences)
		sequences++
	}
	if sum == 0 {
		b.Fatal("nothing was computed")
	}
}

func BenchmarkPrefillStep(b *testing.B) {
	r := mustReplica(b, "Qwen3-32B", "H200-SXM", Options{TP: 2})
	b.ReportAllocs()
	tokens, sum := 1.0, 0.0
	for b.Loop() {
		sum += r.Prefill.StepMs(tokens, 100)
		tokens++
	}
	if sum == 0 {
		b.Fatal("nothing was computed")
	}
}
