package capacity

import "math"

// negligibleMs is a time so short that dividing by it would say nothing.
const negligibleMs = 1e-12

// quantile solves P(W + S > t) = 1-q, W a wait of two exponential terms.
//
//	P(W+S > t) = P(S > t) + sum over the terms of share * I(t),   I(t) = integral over s <= t of exp(-rate*(t-s)) dF_S(s)
//
// Over a stratum of width d and weight w, S is uniform, so I follows from its value at the stratum's start:
//
//	I(s+x) = exp(-rate*x)*I(s) + w/(rate*d)*(1-exp(-rate*x))
//
// The sweep over the strata stops at the one that holds the quantile and solves inside it.
func (w *promptWork) quantile(q float64, of wait) float64 {
	if !(q < 1) {
		return math.Inf(1)
	}
	target := 1 - q
	if target >= 1 {
		return w.edges[0]
	}
	var terms terms
	terms.set(of)
	longer := 1.0 // P(S > edge)
	for k, weight := range strataWeights {
		width := w.edges[k+1] - w.edges[k]
		next := terms
		next.pass(width, weight, width)
		nextLonger := longer - weight
		if k == strataCount-1 {
			nextLonger = 0
		}
		if nextLonger+next.waiting() <= target {
			s := stratum{width: width, weight: weight, longer: longer, terms: terms}
			return w.edges[k] + s.solve(target)
		}
		longer, terms = nextLonger, next
	}
	return w.edges[strataCount] + terms.outlast(target)
}

// terms are the two terms of a wait during the sweep: share and rate per ms, and the integrals I.
type terms struct {
	share, rate, integral [2]float64
}

func (t *terms) set(w wait) {
	if w.probability == 0 {
		return
	}
	t.share = [2]float64{w.probability * w.weight, w.probability * (1 - w.weight)}
	t.rate = [2]float64{1 / w.first, 1 / w.second}
}

// pass moves x into a stratum of a weight and a width.
func (t *terms) pass(x, weight, width float64) {
	gained := weight
	if width > negligibleMs {
		gained = weight * x / width
	}
	for i := range t.share {
		if t.share[i] != 0 {
			stay, gain := decay(t.rate[i] * x)
			t.integral[i] = stay*t.integral[i] + gained*gain
		}
	}
}

// waiting is the probability that a prompt whose work is done by now would still not be, for its wait.
func (t *terms) waiting() float64 { return t.share[0]*t.integral[0] + t.share[1]*t.integral[1] }

// outlast is the time until only target are left, after even the longest prompt alone is done: what remains is the terms.
func (t *terms) outlast(target float64) float64 {
	low, high := 0.0, 0.0
	for i := range t.share {
		if t.share[i] > 0 {
			high = max(high, math.Log(max(1, 2*t.share[i]*t.integral[i]/target))/t.rate[i])
		}
	}
	for range 60 {
		x := (low + high) / 2
		left := t.share[0]*t.integral[0]*math.Exp(-t.rate[0]*x) + t.share[1]*t.integral[1]*math.Exp(-t.rate[1]*x)
		if left > target {
			low = x
		} else {
			high = x
		}
	}
	return high
}

// decay is exp(-y) and (1-exp(-y))/y.
func decay(y float64) (stay, gain float64) {
	if y < 1e-4 {
		return 1 - y, 1 - y/2
	}
	stay = math.Exp(-y)
	return stay, (1 - stay) / y
}

type stratum struct {
	width, weight, longer float64
	terms                 terms
}

// solve finds x in 0..width at which the tail equals target, which lies between the tails at both ends. The tail falls
// over the whole stratum: Newton's step, kept between bounds that close in, ends within a few rounds.
func (s *stratum) solve(target float64) float64 {
	if s.width < negligibleMs {
		return 0
	}
	density := s.weight / s.width
	low, high := 0.0, s.width
	x := s.width * min(1, max(0, (s.longer+s.terms.waiting()-target)/s.weight))
	for range 40 {
		at := s.terms
		at.pass(x, s.weight, s.width)
		excess := s.longer - density*x + at.waiting() - target
		if excess > 0 {
			low = x
		} else {
			high = x
		}
		slope := -density
		for i, share := range at.share {
			slope += share * (density - at.rate[i]*at.integral[i])
		}
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
