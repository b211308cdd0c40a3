// Package capacity says what a number of replicas can do: how loaded the prefill and the decode pool of a service are under
// a traffic, which TTFT and TPOT its requests see at a quantile, and how many replicas keep an objective.
//
// It knows what one replica can do (perfmodel) and queueing. It must never know Kubernetes, metrics, budgets, time, or why
// a number of replicas is asked about. Every function is pure, allocates nothing and takes about a microsecond.
//
// Units: milliseconds, tokens, requests per second. Bad numbers never make a NaN: what is negative or not a number counts
// as zero, shares are cut to 0..1. A pool whose queue would grow for ever has latencies of +Inf; pools are therefore
// values to compute with, not to write as JSON. Service, Traffic and Objective are plain JSON data.
//
// # Lengths
//
// A distribution is known by its mean and its squared coefficient of variation (SCV) and taken to be Weibull: exponential
// at SCV 1, which is where public traces lie (Azure conversation 0.92 in and 0.60 out, Mooncake synthetic 1.4), with a
// quantile in closed form. It is cut into strata of fixed probability; within one, the work is taken as uniform.
//
// # Prefill pool: one queue, c replicas, one prompt at a time
//
//	A = lambda*E[S], rho = A/c, C = Erlang C(c, A)                                             textbook
//	E[W] = C * E[S]/(c*(1-rho)) * (Ca2+Cs2)/2 * g(rho, Ca2, Cs2)                               Allen-Cunneen, with the
//	                                                                                           Kraemer/Langenbach-Belz g
//	P(W > t) = C * exp(-t*C/E[W])                                                              exact for M/M/c
//	TTFT = W + S, with S = T_p(uncached tokens, cached tokens): the two are convolved in closed form over the strata
//
// A tail that is exponential from zero on is right at SCV near 1. Far above, the median of the wait is overstated and the
// far tail understated.
//
// # Decode pool: replicas that share nothing, each with a batch that requests join and leave
//
// A replica gets lambda' = lambda/n. A request needs out-1 steps (out when decode emits the first token), and its context,
// weighted by the steps it is seen in, is ctx = E[in] + E[out^2]/(2*E[out]).
//
//	B = lambda' * steps * T(B+1),  T(x) = f(x) + kappa*ctx*x                                   Little; a joining request
//	                                                                                           sees B others and itself
//	Var[B] = B * (1+Ca2)/2 / (1 - B*T'(B+1)/T(B+1))                                            Poisson, widened as steps slow down
//	TPOT = T averaged over the request's life + handover/(out-1)
//
// With f a smooth maximum of two roofs the fixed point is the root of a quadratic. For an affine T = alpha + g*x it is
// the known TPOT = alpha/(1-lambda'*steps*g), up to the request's own share. The excursions of the step (from the batch
// and its contexts) and of the handover (from short outputs) are independent and add as the root of their squares' sum.
//
// KV cache and sequence slots are walls: where a new request finds one with probability Pw it waits, as in M/M/c,
// exponentially with mean residence/(slots*(1-load)). Preemption is not modelled.
//
// The load against an objective is rho_d = lambda'/lambda*, lambda* the rate at which T(B+1) equals the objective (for an
// affine T, lambda'*steps*g/(1-alpha/TPOT*)) or at which the batch fills a wall, whichever is less.
//
// # Accuracy
//
// Against event simulations (loads 0.3 to 0.9, 1 to 8 replicas, SCV of lengths 0.25 to 2 and of arrivals 0.5 to 2; the tests
// named ...AgainstEventSimulation hold these figures, mean and worst absolute error):
//
//	TTFT  p50 4.5 and 26 %, p90 1.9 and 8 %, p95 2.8 and 12 %, p99 4.4 and 23 %
//	TPOT  p50 1.2 and 5 %,  p90 1.3 and 4 %, p95 3.4 and 12 %, p99 7.9 and 19 %
//	TTFT p95 with lengths of the Azure conversation trace 7.6 and 18 %, TPOT p95 0.7 and 2 %
//	TPOT p95 at KV loads of 0.5 to 0.7: 7.6 and 18 %; at 0.8 it is understated by 9 to 42 %
package capacity
