package signals

// The tables of names. A new engine, or a new name of an old one, is a line
// here and nothing else. Sources: vLLM v1 loggers.py (0.9 to 0.11 and newest),
// Dynamo's HTTP service metrics.rs of 2025 and prometheus_names.rs of 1.x,
// dcgm-exporter 4.5 to 4.8.

// engines is engine -> kind of page -> vocabulary.
var engines = map[string]map[Kind]*vocabulary{
	"dynamo-vllm": {KindFrontend: dynamoFrontend, KindPrefill: vllmPrefill, KindDecode: vllmDecode},
	// vLLM alone has no frontend with metrics: demand comes from the workers.
	"vllm": {KindPrefill: vllmPrefill, KindDecode: vllmDecode},
}

// dynamoFrontend reads Dynamo's HTTP service, today's names before those of 2025.
var dynamoFrontend = vocabulary{
	modelLabel: "model",
	inFlight:   []quantity{requestsRunning},
	words: []word{
		{what: requestsStarted, form: counter, unit: "requests", names: names("dynamo_frontend_requests_started_total")},
		{what: requestsFinished, form: counter, unit: "requests",
			names: names("dynamo_frontend_requests_total", "nv_llm_http_service_requests_total")},
		{what: requestsRunning, form: gauge, unit: "requests",
			names: names("dynamo_frontend_inflight_requests", "nv_llm_http_service_inflight_requests")},
		{what: ttft, form: histogram, unit: "seconds",
			names: names("dynamo_frontend_time_to_first_token_seconds", "nv_llm_http_service_time_to_first_token_seconds")},
		{what: tpot, form: histogram, unit: "seconds",
			names: names("dynamo_frontend_inter_token_latency_seconds", "nv_llm_http_service_inter_token_latency_seconds")},
		{what: inputTokens, form: histogram, unit: "tokens",
			names: names("dynamo_frontend_input_sequence_tokens", "nv_llm_http_service_input_sequence_tokens")},
		{what: outputTokens, form: histogram, unit: "tokens",
			names: names("dynamo_frontend_output_sequence_tokens", "nv_llm_http_service_output_sequence_tokens")},
		// Only there with the router's queue threshold set. Requests held back
		// by the router have not reached an engine, so the engines do not count them.
		// queued_requests is no such thing: it holds those in prefill too.
		{what: prefillQueued, form: gauge, unit: "requests", names: []spelling{
			{"dynamo_frontend_router_queue_pending_requests", "worker_type", "prefill"}}},
		{what: decodeQueued, form: gauge, unit: "requests", names: []spelling{
			{"dynamo_frontend_router_queue_pending_requests", "worker_type", "decode"}}},
	},
}.compile()

// The gauges and counters that both roles of vLLM are read for.
var (
	vllmFinished = word{what: requestsFinished, form: counter, unit: "requests", names: names("vllm:request_success_total")}
	vllmRunning  = word{what: requestsRunning, form: gauge, unit: "requests", names: names("vllm:num_requests_running")}
	vllmWaiting  = word{what: requestsWaiting, form: gauge, unit: "requests", names: names("vllm:num_requests_waiting")}
)

// vllmPrefill leaves out what is an artefact on a prefill worker: it makes one
// token per request, so its token gaps and its output lengths mean nothing.
var vllmPrefill = vocabulary{
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		vllmFinished, vllmRunning, vllmWaiting,
		{what: ttft, form: histogram, unit: "seconds", names: names("vllm:time_to_first_token_seconds")},
		{what: inputTokens, form: histogram, unit: "tokens", names: names("vllm:request_prompt_tokens")},
		{what: cacheLookups, form: counter, unit: "tokens",
			names: names("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")},
		{what: cacheHits, form: counter, unit: "tokens",
			names: names("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")},
	},
}.compile()

// vllmDecode leaves out prompt lengths and TTFT: another worker computed the
// prompt, and the time here starts at the hand-over.
var vllmDecode = vocabulary{
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		vllmFinished, vllmRunning, vllmWaiting,
		// The mean of each request is what the objective means; the gaps of
		// single tokens are the nearest thing where it is not exported.
		{what: tpot, form: histogram, unit: "seconds", names: names("vllm:request_time_per_output_token_seconds",
			"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")},
		{what: outputTokens, form: histogram, unit: "tokens", names: names("vllm:request_generation_tokens")},
		// "perc" is a share, 1 is full.
		{what: kvUse, form: gauge, unit: "share", share: true,
			names: names("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")},
	},
}.compile()

// dcgmExporter reads fields 1004 and 1005, by the names from 4.6 and before.
var dcgmExporter = vocabulary{
	words: []word{
		{what: tensorActive, form: gauge, unit: "share", share: true, each: true,
			names: names("DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")},
		{what: dramActive, form: gauge, unit: "share", share: true, each: true,
			names: names("DCGM_FI_PROF_DRAM_UTIL_RATIO", "DCGM_FI_PROF_DRAM_ACTIVE")},
	},
}.compile()

func names(metrics ...string) []spelling {
	out := make([]spelling, len(metrics))
	for i, m := range metrics {
		out[i].metric = m
	}
	return out
}
