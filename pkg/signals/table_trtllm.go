package signals

// TensorRT-LLM's names: metrics/collector.py of trtllm-serve, 1.1 to newest,
// and of Dynamo's worker around it. Older versions export only the latencies and
// the requests that finished; then nothing is known of those in flight, and so not of demand.

// What both roles of TensorRT-LLM are read for. Two gauges had no prefix at first.
var (
	trtllmFinished  = word{what: requestsFinished, form: counter, unit: "requests", names: names("trtllm_request_success_total")}
	trtllmRunning   = word{what: requestsRunning, form: gauge, unit: "requests", names: names("trtllm_num_requests_running", "num_requests_running")}
	trtllmWaiting   = word{what: requestsWaiting, form: gauge, unit: "requests", names: names("trtllm_num_requests_waiting", "num_requests_waiting")}
	trtllmQueueTime = word{what: queueTime, form: histogram, unit: "seconds", names: names("trtllm_request_queue_time_seconds")}
	trtllmKVUse     = word{what: kvUse, form: gauge, unit: "share", share: true, names: names("trtllm_kv_cache_utilization")}
	trtllmTransfer  = word{what: kvTransferTime, form: histogram, unit: "seconds", names: names("trtllm_kv_transfer_latency_seconds")}
)

// trtllmPrefill is the context worker.
var trtllmPrefill = vocabulary{
	engine:   "trtllm",
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		trtllmFinished, trtllmRunning, trtllmWaiting, trtllmQueueTime, trtllmKVUse, trtllmTransfer,
		{what: ttft, form: histogram, unit: "seconds", names: names("trtllm_time_to_first_token_seconds")},
		{what: promptTokens, form: counter, unit: "tokens", names: names("trtllm_prompt_tokens_total")},
		{what: cacheHitShare, form: gauge, unit: "share", share: true, names: names("trtllm_kv_cache_hit_rate")},
	},
}.compile()

// trtllmDecode is the generation worker.
var trtllmDecode = vocabulary{
	engine:   "trtllm",
	inFlight: []quantity{requestsRunning, requestsWaiting},
	words: []word{
		trtllmFinished, trtllmRunning, trtllmWaiting, trtllmQueueTime, trtllmKVUse,
		{what: tpot, form: histogram, unit: "seconds", names: names("trtllm_time_per_output_token_seconds")},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("trtllm_generation_tokens_total")},
	},
}.compile()
