// Package emulator is the seed's service, live: fake pods that answer like the
// workers of a prefill/decode service under load, without a GPU.
//
// It ties four things together: the queueing model of package engine, driven by
// the wall clock; the prefill queue on a real NATS JetStream (package
// natsqueue); one HTTP server per pod on the pod's own loopback address, with
// the metric names of the real thing; and a source of pods (package kubepods
// watches a cluster's). It must never know what is decided about replicas: pods
// come and go, and it follows.
//
// # What is served
//
//	frontend   :8000/metrics  nv_llm_http_service_* of Dynamo's 2025 frontend,
//	                          or dynamo_frontend_* of 1.x                       metrics_dynamo.go
//	prefill    :8000/metrics  vllm:* as vLLM v1 exports them                    metrics_vllm.go
//	                          or sglang:*                                       metrics_sglang.go
//	decode     :8000/metrics  the same
//	exporter   :9400/metrics  DCGM_FI_* of dcgm-exporter 4.5, one per GPU node  metrics_dcgm.go
//
// A pod answers from the moment it is ready until it is gone. A starting pod
// holds its GPUs and serves nothing.
//
// # Real time
//
// What happens in the engine has its exact time, however late the process gets
// to run. Only the way through NATS takes real time: about 2 ms of TTFT on an
// idle machine, some hundred on one whose cores are all taken.
//
// # GPUs
//
// GPU counters are duty times the value of a GPU that is busy all the time, as
// measured and scaled to the replica's (package engine, activity.go), averaged over the exporter's interval.
// GPU_UTIL is as blind as the real one: it says how long any kernel ran. FB_USED
// does not move, because engines take their KV pool at start.
//
// # Loopback only
//
// A pod whose address is not a loopback address is refused: nothing here ever
// listens on, or dials, an address that others can reach.
package emulator
