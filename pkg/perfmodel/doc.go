// Package perfmodel says what one replica of a service can do: how long a prefill step, a decode step and a KV transfer
// take, how many tokens of KV cache it holds, and what DCGM's counters read while it is busy.
//
// It knows GPUs (peaks), models (shapes) and the shares of the peaks that real kernels reach (priors). It must never know
// how many replicas there are, what traffic arrives, what Kubernetes is, or what time it is.
//
// Units: milliseconds, tokens, bytes, bytes per second, FLOP/s. Everything it returns is plain data without pointers.
//
// # Formulas
//
// Symbols: L layers, h hidden, nq and nkv heads of size d, P the parameters that a step reads (all but the input embedding),
// P_layers the same without the output head, n new tokens after c cached, B sequences, S their summed context. TP GPUs act
// as one device of TP times the FLOP/s, the bandwidth and the memory; weights are held once per replica.
//
//	weight bytes W  = P * bytes(weight)                             textbook
//	KV bytes/token  = 2 * L * max(nkv, TP) * d * bytes(KV)          textbook; a KV head is copied where TP exceeds nkv
//	GEMM FLOPs      = 2 * P_layers * n                              textbook
//	attention FLOPs = 2 * L * nq * d * (n^2 + 2*n*c)                derived, causal mask; form of DistServe (OSDI 2024)
//	prefill  T_p    = smoothmax(W/bw, GEMM(n)) + q*(n^2 + 2*n*c) + n*per token + overhead
//	decode   T_d    = smoothmax(W/bw, GEMM(B)) + B*per sequence + overhead + kappa*S, kappa = KV bytes per token/bw
//	all-reduce      = 2*L times (latency + 2*(TP-1)/TP * n*h*2 bytes / link), a ring
//	transfer        = latency + tokens * KV bytes per token / NIC
//	KV capacity     = (memory*fraction - weights - activations - reserve) / KV bytes per token     form of AIConfigurator
//
// Each rate is the peak times a share that data/priors.json gives with its spread and its source. They describe the
// GPU work of a lean engine: the time of a real engine's scheduler is in stepMs with a wide spread and is meant to be
// learnt from the service. T_d is affine in S on purpose: k steps of an unchanged batch sum exactly.
//
// Not modelled: mixture of experts, MLA, quantised weights other than fp8, sliding windows, chunked prefill, pipeline parallelism.
package perfmodel
