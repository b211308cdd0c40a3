package scenario

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkAutoscaledDay draws a day of 1.4 million requests and lets the planner scale the service through it: all that
// pdctl simulate does for such a scenario.
func BenchmarkAutoscaledDay(b *testing.B) {
	const day = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2, replicas: 3}
decode: {tp: 2, replicas: 2}
traffic: {generator: {duration: 24h, curve: day, rate: 16.6, amplitude: 12, input: {mean: 1155, scv: 1}, output: {mean: 211, scv: 0.6}}}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
policies: [pdautoscaler]
`
	requests := uint64(0)
	for b.Loop() {
		f, err := Parse([]byte(day), "day.yaml")
		if err != nil {
			b.Fatal(err)
		}
		s, err := Build(f, "day.yaml", Options{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := s.Run(b.Context(), time.Now, nil)
		if err != nil {
			b.Fatal(err)
		}
		requests = r.Simulation.Requests
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(requests), "requests")
	b.ReportMetric(float64(m.Sys)/1e6, "MB-of-the-system")
}
