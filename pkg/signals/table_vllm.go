package signals

// vLLM's names: v1 loggers.py, 0.9 to 0.11 and newest.

// What both roles of vLLM are read for. A pod may hold several engines, told
// apart by their label: all of their series count.
var (
	vllmFinished  = word{what: requestsFinished, form: counter, unit: "requests", names: names("vllm:request_success_total")}
	vllmRunning   = word{what: requestsRunning, form: gauge, unit: "requests", names: names("vllm:num_requests_running")}
	vllmWaiting   = word{what: requestsWaiting, form: gauge, unit: "requests", names: names("vllm:num_requests_waiting")}
	vllmQueueTime = word{what: queueTime, form: histogram, unit: "seconds", names: names("vllm:request_queue_time_seconds")}
	// Turned away before the engine, by --max-num-queued-reqs or -tokens: neither
	// running nor waiting nor finished. One that a router takes to several pods counts at each.
	vllmRejected = word{what: requestsRejected, form: counter, unit: "requests", late: true, apart: true,
		names: names("vllm:admission_rejections_total")}
	// "perc" is a share, 1 is full.
	vllmKVUse = word{what: kvUse, form: gauge, unit: "share", share: true,
		names: names("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")}
)

// vllmPrefill leaves out what is an artefact on a prefill worker: it makes one
// token per request, so its token gaps and its output lengths mean nothing.
var vllmPrefill = vocabulary{
	engine:   "vllm",
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		vllmFinished, vllmRejected, vllmRunning, vllmWaiting, vllmQueueTime, vllmKVUse,
		{what: ttft, form: histogram, unit: "seconds", names: names("vllm:time_to_first_token_seconds")},
		{what: inputTokens, form: histogram, unit: "tokens", names: names("vllm:request_prompt_tokens")},
		{what: promptTokens, form: counter, unit: "tokens", names: names("vllm:prompt_tokens_total")},
		{what: cacheLookups, form: counter, unit: "tokens",
			names: names("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")},
		{what: cacheHits, form: counter, unit: "tokens",
			names: names("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")},
		// What the model is held against. Tokens beyond the first of each prompt are decode's work.
		{what: prefillTime, form: histogram, unit: "seconds", names: names("vllm:request_prefill_time_seconds")},
		{what: computedTokens, form: histogram, unit: "tokens", names: names("vllm:request_prefill_kv_computed_tokens")},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("vllm:generation_tokens_total")},
	},
}.compile()

// vllmDecode leaves out prompt lengths and TTFT: another worker computed the
// prompt, and the time here starts at the hand-over.
var vllmDecode = vocabulary{
	engine:   "vllm",
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		vllmFinished, vllmRejected, vllmRunning, vllmWaiting, vllmQueueTime, vllmKVUse,
		// The mean of each request is what the objective means; the gaps of
		// single tokens are the nearest thing where it is not exported.
		{what: tpot, form: histogram, unit: "seconds", names: names("vllm:request_time_per_output_token_seconds",
			"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"), perStep: "vllm:inter_token_latency_seconds"},
		{what: outputTokens, form: histogram, unit: "tokens", names: names("vllm:request_generation_tokens")},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("vllm:generation_tokens_total")},
		{what: tokenGap, form: histogram, unit: "seconds",
			names: names("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")},
		{what: drafts, form: counter, unit: "drafts", names: names("vllm:spec_decode_num_drafts_total")},
		{what: draftsAccepted, form: counter, unit: "tokens", names: names("vllm:spec_decode_num_accepted_tokens_total")},
	},
}.compile()
