package des

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// azure is the Azure conversation trace, or traffic of its rate and lengths where it is not there.
func azure(b *testing.B) *trace.Trace {
	b.Helper()
	if dir := os.Getenv("PDAUTOSCALER_DATA"); dir != "" {
		tr, err := trace.Open(filepath.Join(dir, "traces", "AzureLLMInferenceTrace_conv.csv"), trace.Auto, nil)
		if err != nil {
			b.Fatal(err)
		}
		return tr
	}
	b.Log("PDAUTOSCALER_DATA is not set: synthetic traffic of the same rate and lengths")
	tr, err := trace.Generate(trace.Generator{Duration: 58 * time.Minute, RequestsPerSecond: 5.53,
		Shape: trace.Shape{Input: trace.Tokens{Mean: 1155, SCV: 0.92, Max: 14_050}, Output: trace.Tokens{Mean: 211, SCV: 0.6, Max: 1000}}}, 1)
	if err != nil {
		b.Fatal(err)
	}
	return tr
}

// playAll plays a trace to the end of its requests, again and again.
func playAll(b *testing.B, cfg Config, tr *trace.Trace) {
	b.Helper()
	for b.Loop() {
		e, err := New(cfg, tr.Source())
		if err != nil {
			b.Fatal(err)
		}
		if !e.Finish(tr.Duration() + 24*time.Hour) {
			b.Fatalf("%d requests never ended", e.InFlight())
		}
	}
	b.ReportMetric(float64(tr.Len())*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportAllocs()
}

// BenchmarkAzure plays the Azure conversation trace on 2 prefill and 2 decode replicas.
func BenchmarkAzure(b *testing.B) {
	tr := azure(b)
	for _, bench := range []struct {
		name     string
		stepwise bool
	}{{"jumps", false}, {"stepwise", true}} {
		b.Run(bench.name, func(b *testing.B) {
			cfg := config(2, 2)
			cfg.Stepwise = bench.stepwise
			playAll(b, cfg, tr)
		})
	}
}

// BenchmarkDay plays a day of 1.4 million requests on 24 replicas.
func BenchmarkDay(b *testing.B) {
	tr, err := trace.Generate(trace.Generator{Duration: 24 * time.Hour, Curve: trace.Day, RequestsPerSecond: 16.2, AmplitudePerSecond: 12,
		Shape: trace.Shape{Input: trace.Tokens{Mean: 1155, SCV: 0.92}, Output: trace.Tokens{Mean: 211, SCV: 0.6}}}, 1)
	if err != nil {
		b.Fatal(err)
	}
	playAll(b, config(12, 12), tr)
}

// BenchmarkBlocks plays prompts of many prefix blocks, routed by what each of 22 prefill replicas has of them.
func BenchmarkBlocks(b *testing.B) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		b.Skip("PDAUTOSCALER_DATA is not set: no trace with prefix blocks")
	}
	tr, err := trace.Open(filepath.Join(dir, "traces", "mooncake_synthetic_trace.jsonl"), trace.Auto, nil)
	if err != nil {
		b.Fatal(err)
	}
	if tr, err = tr.Scale(2, 1); err != nil {
		b.Fatal(err)
	}
	cfg := config(22, 4)
	cfg.Routing = KVAware
	cfg.Service.Decode.KVCapacityTokens = 2e6
	playAll(b, cfg, tr)
}
