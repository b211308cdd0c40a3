// Package capacity says what a number of replicas can do: how loaded the prefill and the decode pool of a service are under
// a traffic, which TTFT and TPOT its requests see at a quantile, and how many replicas keep an objective.
//
// It knows what one replica can do (perfmodel) and queueing. It must never know Kubernetes, metrics, budgets, time, or why
// a number of replicas is asked about. Every function is pure; evaluations allocate nothing and take a few microseconds.
//
// Units: milliseconds, tokens, requests per second. Bad numbers never make a NaN: what is negative or not a number counts
// as zero, shares are cut to 0..1. A pool whose queue would grow for ever has latencies of +Inf; pools are therefore
// values to compute with, not to write as JSON. Service, Traffic and Objective are plain JSON data.
//
// # Lengths
//
// A distribution is known by a histogram, or by its mean and its squared coefficient of variation (SCV) and then taken to be
// Weibull: exponential at SCV 1, which is where public traces lie (Azure conversation 0.92 in and 0.60 out, Mooncake
// synthetic 1.4), with a quantile in closed form. It is cut into strata of fixed probability; within one, the work is taken
// as uniform.
//
// # Prefill pool: one queue, c replicas, one prompt at a time
//
//	A = lambda*E[S], rho = A/c, C = Erlang C(c, A)                                             textbook
//	E[W] = C * E[S]/(c*(1-rho)) * (Ca2+Cs2 - (Cs2-1)*F)/2 * g(rho, Ca2, Cs2)                   Allen-Cunneen, with the
//	                                                                                           Kraemer/Langenbach-Belz g
//	                                                                                           and Cosmetatos's F by Page
//	P(W > 0) = C * (1 + (Ca2-1)*(1-rho)*h(rho, Ca2, Cs2))                                      Kraemer/Langenbach-Belz
//	P(W > t | W > 0) = a*exp(-t/x1) + (1-a)*exp(-t/x2), with the first three moments of        Takacs; Tijms for c servers
//	                   M/G/1's conditional wait
//	TTFT = W + S, with S = T_p(uncached tokens, cached tokens): the two are convolved in closed form over the strata
//
// An engine that takes prompts apart has S in chunks (Service.ChunkTokens). Reused tokens that lie in a lower tier
// (Traffic.OffloadedShare) are reloaded before their prompt is computed, and hold a replica for as long.
//
// # Decode pool: replicas that share nothing, each with a batch that requests join and leave
//
// A replica gets lambda' = lambda/n. A request needs out-1 steps (out when decode emits the first token), and its context,
// weighted by the steps it is seen in, is ctx = E[in] + E[out^2]/(2*E[out]).
//
//	B = lambda' * steps * T(B+1),  T(x) = f(x) + kappa*ctx*x                                   Little; a joining request
//	                                                                                           sees B others and itself
//	Var[B] = B * (1+Ca2)/2 / (1 - B*T'(B+1)/T(B+1))                                            Poisson, widened as steps slow down
//	TPOT = T averaged over the request's life + (join + W)/(out-1)
//
// With f a smooth maximum of two roofs the fixed point is the root of a quadratic; for a mixture of experts, whose weight
// read grows with the batch, it is filled in from below. For an affine T = alpha + g*x it is the known TPOT =
// alpha/(1-lambda'*steps*g), up to the request's own share. The excursions of the step (from the batch and its contexts) and
// of the entry (join + W)/(out-1) are independent and add as the root of their squares' sum. The entry's quantile is of the
// product: a wait that many tokens hide is a catastrophe for a short output.
//
// KV cache and sequence slots are walls: a new request finds one with probability Pw (Halfin and Whitt's limit, with the
// spread of what is held) and then waits as in M/G/n, exponentially with mean residence/(slots*(1-rho'))*(Ca2+Cs2)/2. Cs2 is
// of a request's cache over time where the cache is the wall; residence and rho' are at the pace of a full batch, which is the
// batch while requests wait. An engine that lets a request in when its prompt fits hardly ever preempts one later
// (1 to 2 % of the requests at a load of 0.9), so that is not modelled.
//
// The load against an objective is rho_d = lambda'/lambda*, lambda* the rate at which T(B+1) equals the objective (for an
// affine T, lambda'*steps*g/(1-alpha/TPOT*)) or at which the batch fills a wall, whichever is less.
//
// # Accuracy
//
// Against event simulations (the tests named ...WithinItsBars and ...AgainstEventSimulation hold these figures; mean and
// worst absolute error):
//
//	TTFT, Poisson arrivals, loads 0.3 to 0.9, 1 to 16 replicas:
//	  Weibull lengths by two moments, SCV 0.25 to 2:   p50 0.6 and 3 %,  p95 0.7 and 4 %
//	  SCV 5:                                           p50 8.7 and 29 % (high, never 10 % low), p95 8.2 and 16 %
//	  lognormal and hyperexponential, SCV 2, counted:  p50 3.4 and 9 %,  p95 7.0 and 14 %
//	TTFT with arrivals of SCV 0.5 to 2 and lengths up to 2: p50 1.9 and 9 %, p95 2.6 and 11 %, p99 3.1 and 14 %
//	TPOT, 0.3 to 0.9 of the objective's load:               p50 1.2 and 5 %, p95 3.4 and 12 %, p99 7.9 and 19 %
//	TPOT p95 near the walls, loads of 0.5 to 0.9:           Poisson 3 and 13 %; bursts of SCV 2 11 and 25 %, low
//	TTFT p95 with lengths of the Azure conversation trace by two moments 7.8 and 18 %, TPOT p95 0.7 and 2 %
package capacity
