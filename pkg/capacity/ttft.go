package capacity

import "math"

// negligibleMs is a time so short that dividing by it would say nothing.
const negligibleMs = 1e-12

// quantile solves P(W + S > t) = 1-q, W zero but for a share waits of the prompts, whose wait is exponential.
//
//	P(W+S > t) = P(S > t) + waits * I(t),   I(t) = integral over s <= t of exp(-rate*(t-s)) dF_S(s)
//
// Over a stratum of width d and weight w, S is uniform, so I follows from its value at the stratum's start:
//
//	I(s+x) = exp(-rate*x)*I(s) + w/(rate*d)*(1-exp(-rate*x))
//
// The sweep over the strata stops at the one that holds the quantile and solves inside it.
func (w *promptWork) quantile(q, waits, meanWaitMs float64) float64 {
	if !(q < 1) {
		return math.Inf(1)
	}
	target := 1 - q
	rate := 0.0 // per ms, of those who wait
	if meanWaitMs > negligibleMs {
		rate = waits / meanWaitMs
	} else {
		waits = 0
	}
	longer, waiting := 1.0, 0.0 // P(S > edge) and I(edge)
	if target >= 1 {
		return w.edges[0]
	}
	for k, weight := range strataWeights {
		width := w.edges[k+1] - w.edges[k]
		stay, gain := decay(rate * width)
		nextLonger, nextWaiting := longer-weight, stay*waiting+weight*gain
		if k == strataCount-1 {
			nextLonger = 0
		}
		if nextLonger+waits*nextWaiting <= target {
			s := stratum{width: width, weight: weight, longer: longer, waiting: waiting, waits: waits, rate: rate}
			return w.edges[k] + s.solve(target)
		}
		longer, waiting = nextLonger, nextWaiting
	}
	// Even the longest prompt is done before: what remains is exponential.
	return w.edges[strataCount] + math.Log(waits*waiting/target)/rate
}

// decay is exp(-y) and (1-exp(-y))/y.
func decay(y float64) (stay, gain float64) {
	if y < 1e-4 {
		return 1 - y, 1 - y/2
	}
	stay = math.Exp(-y)
	return stay, (1 - stay) / y
}

type stratum struct{ width, weight, longer, waiting, waits, rate float64 }

// solve finds x in 0..width at which the tail equals target, which lies between the tails at both ends. The tail falls
// over the whole stratum: Newton's step, kept between bounds that close in, ends within a few rounds.
func (s stratum) solve(target float64) float64 {
	if s.width < negligibleMs {
		return 0
	}
	density := s.weight / s.width
	low, high := 0.0, s.width
	x := s.width * min(1, max(0, (s.longer+s.waits*s.waiting-target)/s.weight))
	for range 30 {
		stay, gain := decay(s.rate * x)
		waiting := stay*s.waiting + density*x*gain
		excess := s.longer - density*x + s.waits*waiting - target
		if excess > 0 {
			low = x
		} else {
			high = x
		}
		slope := -density + s.waits*(density-s.rate*waiting)
		next := x - excess/slope
		if !(next >= low && next <= high) {
			next = (low + high) / 2
		}
		if math.Abs(next-x) <= 1e-13*s.width {
			return next
		}
		x = next
	}
	return x
}
