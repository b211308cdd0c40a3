package emulator

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// dynamoMetrics writes what Dynamo's HTTP service exports, in the names of 2025
// or of 1.x, which also counts the requests that start. As with
// every labelled metric there, a series appears with its first event: a frontend
// that has seen no request has no metrics at all.
func dynamoMetrics(ch chan<- prometheus.Metric, names FrontendNames, model string, s *engine.FrontendStats) {
	p := page{ch: ch, prefix: string(names) + "_", labels: prometheus.Labels{"model": model}}
	if s.Inflight > 0 || s.Succeeded+s.Failed > 0 {
		p.gauge("inflight_requests", "Number of requests in flight.", float64(s.Inflight))
		if names == Dynamo1 {
			p.counter("requests_started_total", "Total number of requests that started.", s.Succeeded+s.Failed+uint64(s.Inflight))
		}
	}
	for status, n := range map[string]uint64{"success": s.Succeeded, "error": s.Failed} {
		if n > 0 {
			p.counter("requests_total", "Total number of requests that ended.", n,
				"endpoint", "chat_completions", "request_type", "stream", "status", status)
		}
	}
	for _, h := range []struct {
		name, help string
		h          *engine.Histogram
	}{
		{"time_to_first_token_seconds", "Time from the request to its first token.", &s.TTFT},
		{"inter_token_latency_seconds", "Time between two tokens of a request.", &s.ITL},
		{"request_duration_seconds", "Time from the request to its end.", &s.Duration},
		{"input_sequence_tokens", "Prompt length, known at the first token.", &s.InputTokens},
		{"output_sequence_tokens", "Generated length, known at the end.", &s.OutputTokens},
	} {
		if h.h.Count > 0 {
			p.histogram(h.name, h.help, h.h)
		}
	}
}
