package signals

// SGLang's names: metrics/collector.py at 00ae9c15 and newer. They hold a
// colon; sglang_… is found nowhere. The histograms of tokens need --collect-tokens-histogram.

// sglangRanks are the labels of the processes that one engine is split over.
// With --enable-metrics-for-all-schedulers each of them exports the same
// requests: the first of them is read. dp_rank is not among them, because ranks of
// data parallelism have requests of their own.
var sglangRanks = []string{"tp_rank", "pp_rank", "moe_ep_rank"}

// sglangParts is the label of the series that split a gauge by priority. They
// stand beside the total, which has none.
const sglangParts = "priority"

// What both roles of SGLang are read for.
var (
	sglangFinished = word{what: requestsFinished, form: counter, unit: "requests", names: names("sglang:num_requests_total")}
	// Turned away by a full queue, or dropped from it by its timeout or a request of more
	// priority: num_requests_total has none of them, num_aborted_requests_total those that clients gave up.
	sglangRejected = word{what: requestsRejected, form: counter, unit: "requests", apart: true,
		names: names("sglang:num_queue_rejected_requests_total")}
	sglangRunning   = word{what: requestsRunning, form: gauge, unit: "requests", names: names("sglang:num_running_reqs")}
	sglangWaiting   = word{what: requestsWaiting, form: gauge, unit: "requests", names: names("sglang:num_queue_reqs")}
	sglangQueueTime = word{what: queueTime, form: histogram, unit: "seconds", names: names("sglang:queue_time_seconds")}
	sglangKVUse     = word{what: kvUse, form: gauge, unit: "share", share: true, names: names("sglang:token_usage")}
)

// sglangPrefill: a request goes through the hand-shake with decode, the queue,
// the computation and the hand-over of its KV cache.
var sglangPrefill = vocabulary{
	engine: "sglang", lazy: true, ranks: sglangRanks, parts: sglangParts,
	inFlight:        []quantity{requestsRunning, requestsWaiting},
	perhapsInFlight: []quantity{kvHandshake, kvHandedOver},
	words: []word{
		sglangFinished, sglangRejected, sglangRunning, sglangWaiting, sglangQueueTime, sglangKVUse,
		{what: ttft, form: histogram, unit: "seconds", names: names("sglang:time_to_first_token_seconds")},
		{what: inputTokens, form: histogram, unit: "tokens", names: names("sglang:prompt_tokens_histogram")},
		{what: promptTokens, form: counter, unit: "tokens", names: names("sglang:prompt_tokens_total")},
		{what: cacheHits, form: counter, unit: "tokens", names: names("sglang:cached_tokens_total")},
		{what: cacheHitShare, form: gauge, unit: "share", share: true, names: names("sglang:cache_hit_rate")},
		{what: kvHandshake, form: gauge, unit: "requests",
			names: names("sglang:num_prefill_bootstrap_queue_reqs", "sglang:num_prefill_prealloc_queue_reqs")},
		{what: kvHandedOver, form: gauge, unit: "requests", names: names("sglang:num_prefill_inflight_queue_reqs")},
		// What the model is held against: the stages of a request that req_time_stats.py observes. A prompt in
		// parts has its last part alone in the first of them.
		{what: prefillTime, form: histogram, unit: "seconds", names: []spelling{
			{"sglang:per_stage_req_latency_seconds", "stage", "prefill_forward"}}},
		{what: prefillChunks, form: histogram, unit: "seconds", names: []spelling{
			{"sglang:per_stage_req_latency_seconds", "stage", "chunked_prefill"}}},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("sglang:generation_tokens_total")},
		// A gauge of the latest one in older versions, a histogram in newer.
		{what: kvTransferMs, form: gauge, unit: "milliseconds", names: names("sglang:kv_transfer_latency_ms")},
		{what: kvTransferTime, form: histogram, unit: "milliseconds", names: names("sglang:kv_transfer_latency_ms")},
		{what: kvTransferFailed, form: counter, unit: "transfers", names: names("sglang:num_transfer_failed_reqs_total")},
	},
}.compile()

// sglangDecode: a request waits for room in the KV cache, then for its KV cache
// to come, then for a place in the batch.
var sglangDecode = vocabulary{
	engine: "sglang", lazy: true, ranks: sglangRanks, parts: sglangParts,
	inFlight:        []quantity{requestsRunning, requestsWaiting},
	perhapsInFlight: []quantity{kvAllocating, kvArriving},
	words: []word{
		sglangFinished, sglangRejected, sglangRunning, sglangWaiting, sglangQueueTime, sglangKVUse,
		{what: tpot, form: histogram, unit: "seconds", names: names("sglang:request_time_per_output_token_seconds",
			"sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds")},
		{what: outputTokens, form: histogram, unit: "tokens", names: names("sglang:generation_tokens_histogram")},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("sglang:generation_tokens_total")},
		{what: tokenGap, form: histogram, unit: "seconds", names: names("sglang:inter_token_latency_seconds")},
		{what: contextTokens, form: gauge, unit: "tokens", names: names("sglang:decode_sum_seq_lens")},
		{what: draftLength, form: gauge, unit: "tokens", names: names("sglang:spec_accept_length")},
		{what: kvAllocating, form: gauge, unit: "requests", names: names("sglang:num_decode_prealloc_queue_reqs")},
		{what: kvArriving, form: gauge, unit: "requests", names: names("sglang:num_decode_transfer_queue_reqs")},
	},
}.compile()
