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
// P_a those of the layers that one token goes through, n new tokens after c cached, B sequences, S their summed context. TP
// GPUs act as one device of TP times the FLOP/s, the bandwidth and the memory; weights are held once per replica.
//
//	weight bytes W  = P * bytes(weight)                             textbook
//	KV bytes/token  = 2 * L * nkv * d * bytes(KV)                   textbook; counted once, though a KV head is held twice
//	                                                                where TP is twice nkv
//	GEMM FLOPs      = 2 * P_a * n                                   textbook
//	attention FLOPs = 2 * L * nq * d * (n^2 + 2*n*c)                derived, causal mask; form of DistServe (OSDI 2024)
//	two roofs       = (a + b + sqrt((a-b)^2 + 4*overlap*a*b))/2     a hyperbola; derived from measured steps (JoinRoofs)
//	prefill  T_p    = roofs(W/bw, GEMM(n)) + q*(n^2 + 2*n*c) + n*per token + overhead
//	chunked  T_p    = (k-1)*w(chunk) + w(rest) + q*(n^2 + 2*n*c)    Dynamo; the chunks' attention sums to the whole's
//	decode   T_d    = roofs(W/bw, GEMM(B)) + B*per sequence + overhead + kappa*S, kappa = KV bytes per token/bw
//	overhead        = kernels * time per kernel + engine            form of AIConfigurator; operations.go counts the kernels,
//	                                                                so that a small matrix costs what its bytes do not say
//	all-reduce      = 2*L times (latency + 2*log2(TP)*hop + large*x^2/(x^2+half^2) + 2*(TP-1)/TP * x/link), x = n*h*2 bytes:
//	                  a ring's bytes, a tree's hops (NCCL's tuning model), and the dearer start of large messages, measured
//	transfer        = latency + tokens * KV bytes per token / NIC
//	KV capacity     = (memory*fraction - weights - activations - reserve) / KV bytes per token     form of AIConfigurator
//
// Each rate is the peak times a share that data/priors.json gives with its spread and its source. They describe the
// GPU work of a lean engine: the time of a real engine's scheduler is in stepMs with a wide spread and is meant to be
// learnt from the service (package calibrate). T_d is affine in S on purpose: k steps of an unchanged batch sum exactly.
//
// # What some models have
//
//	experts         a step of n tokens reads the share 1 - (1 - k/E)^n of E routed experts, k per token       derived, even routing;
//	                prefill multiplies half a tile of rows more for each of them, and moves k vectors per token more
//	MLA             cache: L * (latent + rope) elements per token, held on every GPU of TP; prefill FLOPs with heads of
//	                nope + rope for scores and v for values; decode multiplies the latent itself,
//	                2*nq*(2*latent + rope) FLOPs per token and layer, so kappa is the larger of reading and multiplying
//	                                                                                            DeepSeek-V2 report (2024)
//	windows         layers that look back w tokens cost n*w in place of n^2 and hold w tokens per sequence
//	narrow weights  bytes with their scales; fp8 multiplies in fp8, 4 bits are unpacked and multiply in 16 bits
//
// # Parallelism beside TP
//
// DP groups of TP GPUs hold all but the routed experts once each; the experts are spread over all TP*DP GPUs, and tokens go
// out to them and back (two all-to-alls per layer with experts). PP stages split layers and memory; a token passes
// them one after the other, each with its share of the sequences as a batch. One prompt is not taken apart over
// stages: prefill under PP is a step's latency, not the throughput that several prompts reach together.
//
// Not modelled: linear and sparse attention, multi-token prediction, nvfp4, encoders of pictures.
package perfmodel
