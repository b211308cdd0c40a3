package emulator

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// sglangMetrics writes what an SGLang server exports with --enable-metrics and
// --collect-tokens-histogram. Its gauges are there from the start; a counter or
// a histogram comes up with its first event. The queues of disaggregation are those of the
// worker's role; the model of the engine lets nothing wait in them but what waits for
// room in the KV cache of decode, which it counts as waiting.
func sglangMetrics(ch chan<- prometheus.Metric, model string, role Role, kvCapacityTokens float64, s *engine.Stats) {
	p := page{ch: ch, prefix: "sglang:", labels: prometheus.Labels{"model_name": model, "engine_type": string(role), "tp_rank": "0", "pp_rank": "0"}}
	p.gauge("num_running_reqs", "The number of running requests.", float64(s.Running))
	p.gauge("num_queue_reqs", "The number of requests in the waiting queue.", float64(s.Waiting))
	p.gauge("token_usage", "The share of the KV cache in use.", s.KVUse)
	p.gauge("max_total_num_tokens", "Tokens that the KV cache holds.", kvCapacityTokens)
	if role == RolePrefill {
		p.gauge("num_prefill_bootstrap_queue_reqs", "Requests that wait for the hand-shake with decode.", 0)
		p.gauge("num_prefill_inflight_queue_reqs", "Requests whose KV cache is being sent.", 0)
	} else {
		p.gauge("num_decode_prealloc_queue_reqs", "Requests that wait for room in the KV cache.", 0)
		p.gauge("num_decode_transfer_queue_reqs", "Requests whose KV cache is on its way.", 0)
	}
	p.labels = prometheus.Labels{"model_name": model}
	for _, c := range []struct {
		name, help string
		n          uint64
	}{
		{"num_requests_total", "Number of requests processed.", s.Succeeded},
		{"prompt_tokens_total", "Number of prompt tokens processed.", s.PromptTokens},
		{"generation_tokens_total", "Number of tokens generated.", s.GenerationTokens},
		{"cached_tokens_total", "Number of cached prompt tokens.", s.PrefixHits},
	} {
		if c.n > 0 {
			p.counter(c.name, c.help, c.n)
		}
	}
	for _, h := range []struct {
		name, help string
		h          *engine.Histogram
	}{
		{"time_to_first_token_seconds", "Time to first token.", &s.TTFT},
		{"inter_token_latency_seconds", "Time between two tokens.", &s.ITL},
		{"prompt_tokens_histogram", "Prompt length of the requests that ended.", &s.PromptLengths},
		{"generation_tokens_histogram", "Generated length of the requests that ended.", &s.GenerationLengths},
	} {
		if h.h.Count > 0 {
			p.histogram(h.name, h.help, h.h)
		}
	}
	if role == RolePrefill && s.TTFT.Count > 0 {
		p.labels = prometheus.Labels{"model_name": model, "stage": "prefill_forward"}
		p.histogram("per_stage_req_latency_seconds", "The latency of each stage of requests.", &s.TTFT)
	}
}
