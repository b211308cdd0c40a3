package emulator

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// kvBlockTokens is the size of a KV cache block in the seed's engines.
const kvBlockTokens = 128

// vllmMetrics writes what a vLLM v1 engine exports, on prefill and decode pods
// alike: on prefill pods every request is one of a single token, on decode pods
// TTFT starts when the KV cache has been handed over. vLLM sets all series up at
// start, so they are there before the first request.
func vllmMetrics(ch chan<- prometheus.Metric, model string, kvCapacityTokens float64, s *engine.Stats) {
	p := page{ch: ch, prefix: "vllm:", labels: prometheus.Labels{"model_name": model, "engine": "0"}}
	p.gauge("num_requests_running", "Number of requests in the running batch.", float64(s.Running))
	p.gauge("num_requests_waiting", "Number of requests that wait for room.", float64(s.Waiting))
	p.gauge("kv_cache_usage_perc", "Share of the KV cache in use, 1 is full.", s.KVUse)
	p.counter("prompt_tokens_total", "Number of prompt tokens processed.", s.PromptTokens)
	p.counter("generation_tokens_total", "Number of tokens generated.", s.GenerationTokens)
	p.counter("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", s.PrefixQueries)
	p.counter("prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", s.PrefixHits)
	p.counter("num_preemptions_total", "Number of sequences preempted for want of KV cache.", s.Preemptions)
	for reason, n := range map[string]uint64{"length": s.Succeeded, "stop": 0, "abort": 0} {
		p.counter("request_success_total", "Number of requests that ended.", n, "finished_reason", reason)
	}
	p.histogram("time_to_first_token_seconds", "Time to first token.", &s.TTFT)
	// From being scheduled to the first token: the prompt's computation, and on a decode pod its first step.
	p.histogram("request_prefill_time_seconds", "Time of a request in prefill.", &s.TTFT)
	p.histogram("inter_token_latency_seconds", "Time between two tokens.", &s.ITL)
	p.histogram("request_prompt_tokens", "Prompt length of the requests that ended.", &s.PromptLengths)
	p.histogram("request_generation_tokens", "Generated length of the requests that ended.", &s.GenerationLengths)
	p.gauge("cache_config_info", "Configuration of the KV cache.", 1,
		"block_size", strconv.Itoa(kvBlockTokens), "num_gpu_blocks", strconv.Itoa(int(kvCapacityTokens)/kvBlockTokens))
}
