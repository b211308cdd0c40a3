// Package engine is a prefill/decode service as a queueing model: requests,
// workers, a prefill queue, KV cache and steps.
//
// It knows what one replica's steps cost (capacity.Service), who waits where and
// in which order things happen. It must never know a clock, a network, a metrics
// format or Kubernetes: time is the offset that Advance is given, pods are
// workers that Join, Terminate and Leave, and the prefill queue is an interface.
// The same engine is driven in real time by the emulator and as fast as it can
// run by RunFixed.
//
// # The service
//
// It follows Dynamo as of 2025 with vLLM workers, in the order that its source
// has:
//
//   - A request arrives at a frontend and is routed to the least loaded decode
//     worker: the one with the fewest KV tokens held and waited for.
//   - The decode worker reserves KV for the whole prompt, first come first
//     served, keeping a share of its cache free (vLLM's watermark of 1 %). Only
//     then the request is put on the prefill queue. Where no decode worker has
//     room, requests wait at their decode worker and the queue stays short.
//   - A prefill worker takes one message at a time, acknowledged at once, and
//     computes that prompt to the end.
//   - The KV cache is transferred while the prefill worker goes on with the next
//     message; the sequence joins the running batch at the next step.
//   - Decode is continuous batching: a step gives one token to each running
//     sequence and grows its context by one. When the cache cannot hold the next
//     step, the youngest running sequence is preempted: its KV is dropped and it
//     starts again with a prompt that includes what it has generated.
//   - A terminating prefill worker ends its current prompt and its transfers and
//     takes no more; a terminating decode worker sends what still waits for room
//     elsewhere and finishes its sequences until its grace ends. What is left then
//     is queued again and counted as migrated.
//
// Requests are never lost: each that arrived is in flight, finished or failed
// (refused for want of a frontend, too long for the KV cache, or expired in the
// queue), and the property tests hold that.
//
// # Time of steps
//
// Prefill takes Prefill.StepMs(new, cached), prompts padded as the service pads
// them; the transfer takes Transfer.Ms(prompt); a decode step takes
// Decode.StepMs(sequences, context), where the context is what the KV cache
// holds when the step starts. Because that is affine in the context, k steps of
// an unchanged batch of B with S tokens take
//
//	k·T(B, S) + κ·B·k·(k-1)/2
//
// exactly, and the engine handles them as one event (steps.go). Each prefill and
// each run of decode steps is multiplied by a lognormal factor of mean 1.
//
// # Latency
//
// TTFT ends at the end of prefill or at the end of the first decode step, as the
// service says (capacity.TTFTEnd). TPOT of a request is (end - first token) /
// (output - 1), so that with prefill it holds transfer and hand-over.
//
// # How true it is
//
// Given measured step times, the engine shows the TTFT quantiles of a measured
// service (one prefill, one decode H200) within 3 % and its TPOT quantiles within
// 5 %; its prefill wait is that of the M/G/1 queue and its decode batch that of
// Little's law (measured_test.go). Left out are contention of transfers for
// links, speculative decoding, chunked prefill and prefill on decode workers.
//
// # GPU activity
//
// Per worker the engine integrates what DCGM's counters would have shown over
// its busy time (activity.go has the measured table).
package engine
