// Package des simulates a prefill/decode service event by event, fast enough for days of traffic: requests, replicas that
// start, serve, drain and fail, a prefill queue, KV transfers, KV cache and decode steps.
//
// It knows what one replica's steps cost (capacity.Service), who waits where and in which order things happen. It must never
// know a clock, a network, Kubernetes, how readings are taken or who decides about replicas: it is told counts by Scale and
// shows what is the case by View.
//
// # The service
//
// A request is routed to a decode replica and waits there, first come first served, until its prompt's KV cache is reserved
// (1 % of the cache is kept free, vLLM's watermark). Only then it enters the prefill queue: where decode is full, requests
// wait at decode and the prefill queue stays short. Prefill computes prompts one at a time or in batches of a token budget,
// the last prompt of a batch in chunks; prompts are padded as the service pads them. The KV cache crosses by the prefill
// replica's own link, one transfer after the other; with a blocking transfer the replica waits for it, else it goes on. The
// sequence joins the decode batch at the next step. Where the next step would not fit the cache, the youngest sequence is
// preempted: its KV cache is dropped and it is routed again with a prompt that holds what it has generated.
//
//	least-loaded  one prefill queue for all; the decode replica with the fewest KV tokens, held and waited for
//	round-robin   both roles in turn, each prefill replica with a queue of its own
//	kv-aware      the prefill replica with the fewest tokens to compute, its cached prefix taken off; decode as least-loaded
//
// A prefill replica remembers the prefix blocks of the prompts that it has computed, the least recently used going first.
//
// A replica that is asked for starts, is ready after its start-up time, and on its way out takes no new work, ends what it
// has within a grace, and is gone. What it then still has is routed again, as is the work of a replica that dies. The
// newest replica goes first. Requests are never lost: each is in flight, finished, or failed (longer than any KV cache).
//
// # Time
//
// Time is a whole number of picoseconds, so that sums have one value whatever their order. A decode step of B sequences with
// S tokens of context takes f(B) + kappa*S, f rounded to picoseconds and kappa to 2^-16 of one; the fractions are carried
// from step to step. While the batch is unchanged k steps take
//
//	k*f(B) + kappa*(k*S + B*k*(k-1)/2)
//
// which is one event, and in integers the same number as k single steps: Config.Stepwise takes them one by one, and the
// results are equal to the last digit. Events at the same time happen in the order of their kinds and then of their
// subjects' numbers, which does not depend on when they were foreseen; ties are therefore broken alike.
//
// # Cost
//
// An event costs a few hundred nanoseconds and no memory once the peak of requests in flight is reached: a batch's contexts
// are one sum, and its sequences a heap over the step that each ends with. Nothing is done per token or per step.
//
// # Left out
//
// Contention at the receiving end of transfers, prefill on decode replicas, speculative decoding, offloaded KV tiers, the
// KV cache of prefill replicas as a limit, noise of step times.
package des
