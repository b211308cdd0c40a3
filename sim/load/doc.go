// Package load describes the traffic of one inference service as plain data and
// turns it into requests.
//
// It knows rates, lengths and phases. It must never know what serves the
// requests, what a step costs, or what time it is: a request's arrival is an
// offset from the start of the load.
//
// # Arrivals
//
// Within a phase the rate r(t) is piecewise linear: it goes from the rate of the
// phase before to the phase's own during the ramp, then stays. Arrivals are a
// renewal process in operational time u(t) = ∫ r dt: the steps of u between two
// arrivals have mean 1, and u is inverted exactly (a quadratic on a ramp, a line
// elsewhere), so no candidate is drawn and thrown away. With exponential steps
// (ArrivalSCV 1) that is the Poisson process of rate r(t); with gamma steps of
// another squared coefficient of variation (SCV) it is burstier or smoother.
//
// # Lengths
//
// Input and output lengths are drawn apart, lognormal or gamma, from their mean
// m and SCV s:
//
//	lognormal: sigma² = ln(1+s), mu = ln(m) - sigma²/2
//	gamma:     shape = 1/s, scale = m·s
//
// s = 0 gives m itself. Public traces of 2023 and 2025 have an SCV of prefill
// work of about 1 (Azure conversation and code) to 5 (Mooncake conversation).
// Lengths are rounded to whole tokens, at least 1.
//
// # Determinism
//
// A profile and a seed give the same requests, always. Arrivals, inputs and
// outputs have random streams of their own, so that a change of one length
// distribution moves neither the arrivals nor the other lengths.
package load
