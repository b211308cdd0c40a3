package signals

// The tables of names, one file per engine. A new name of an old engine is a
// line here and nothing else.

// dynamoFrontend reads Dynamo's HTTP service, today's names (prometheus_names.rs
// of 1.x) before those of 2025 (metrics.rs of its HTTP service).
var dynamoFrontend = vocabulary{
	engine:     "dynamo frontend",
	lazy:       true,
	modelLabel: "model",
	inFlight:   []quantity{requestsRunning},
	words: []word{
		{what: requestsStarted, form: counter, unit: "requests", names: names("dynamo_frontend_requests_started_total")},
		{what: requestsFinished, form: counter, unit: "requests",
			names: names("dynamo_frontend_requests_total", "nv_llm_http_service_requests_total")},
		// Answered 529 (503 before) as all workers are over their thresholds. They are among those
		// started and, as errors, among those finished: shown, and not added.
		{what: requestsRejected, form: counter, unit: "requests", names: names("dynamo_frontend_model_rejection_total")},
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
		{what: cachedTokens, form: histogram, unit: "tokens", names: names("dynamo_frontend_cached_tokens")},
		{what: generatedTokens, form: counter, unit: "tokens", names: names("dynamo_frontend_output_tokens_total")},
		// Only there with the router's queue threshold set. Requests held back
		// by the router have not reached an engine, so the engines do not count them.
		// queued_requests is no such thing: it holds those in prefill too.
		{what: prefillQueued, form: gauge, unit: "requests", names: []spelling{
			{"dynamo_frontend_router_queue_pending_requests", "worker_type", "prefill"}}},
		{what: decodeQueued, form: gauge, unit: "requests", names: []spelling{
			{"dynamo_frontend_router_queue_pending_requests", "worker_type", "decode"}}},
	},
}.compile()

// dynamoRouter reads a router that runs apart from the frontend.
var dynamoRouter = vocabulary{
	engine:     "dynamo router",
	modelLabel: "model",
	inFlight:   []quantity{requestsRunning},
	words: []word{
		{what: requestsStarted, form: counter, unit: "requests", names: names("dynamo_component_router_requests_started_total")},
		{what: requestsFinished, form: counter, unit: "requests", names: names("dynamo_component_router_requests_total")},
		{what: requestsRunning, form: gauge, unit: "requests", names: []spelling{
			{"dynamo_component_inflight_requests", "dynamo_component", "router"}}},
		{what: ttft, form: histogram, unit: "seconds", names: names("dynamo_component_router_time_to_first_token_seconds")},
		{what: tpot, form: histogram, unit: "seconds", names: names("dynamo_component_router_inter_token_latency_seconds")},
		{what: inputTokens, form: histogram, unit: "tokens", names: names("dynamo_component_router_input_sequence_tokens")},
		{what: outputTokens, form: histogram, unit: "tokens", names: names("dynamo_component_router_output_sequence_tokens")},
	},
}.compile()

// What a Dynamo worker says of itself, whatever its engine. Its requests in
// flight are those that run and those that wait: they cannot be told apart.
var (
	dynamoFinished = word{what: requestsFinished, form: counter, unit: "requests", names: names("dynamo_component_requests_total")}
	dynamoRunning  = word{what: requestsRunning, form: gauge, unit: "requests", names: names("dynamo_component_inflight_requests")}
)

var dynamoPrefill = vocabulary{
	engine:   "dynamo worker",
	inFlight: []quantity{requestsRunning},
	words:    []word{dynamoFinished, dynamoRunning},
}.compile()

var dynamoDecode = vocabulary{
	engine:   "dynamo worker",
	inFlight: []quantity{requestsRunning},
	words: []word{
		dynamoFinished, dynamoRunning,
		// "percent" is a share: 1 is full.
		{what: kvUse, form: gauge, unit: "share", share: true, names: names("dynamo_component_gpu_cache_usage_percent",
			"dynamo_component_kvstats_gpu_cache_usage_percent")},
	},
}.compile()
