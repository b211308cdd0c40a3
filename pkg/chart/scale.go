package chart

import (
	"math"
	"slices"
	"strconv"
)

// Scale maps values to a height between 0 (bottom) and 1 (top). Values beyond its ends are drawn at them.
type Scale interface {
	At(v float64) float64
	Ticks() []float64
}

// tiny and huge bound what is drawn: beyond them a scale's steps would not be numbers.
const tiny, huge = 1e-9, 1e15

// linear goes from 0 to a round number.
type linear struct{ top, step float64 }

// Linear is a scale that holds 0 to most, with about four ticks.
func Linear(most float64) Scale {
	if !(most >= tiny && most <= huge) { // nothing, or beyond what is drawn anywhere
		most = 1
	}
	raw := most / 3.5
	magnitude := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * magnitude
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*magnitude >= raw {
			step = m * magnitude
			break
		}
	}
	return linear{top: math.Ceil(most/step-1e-9) * step, step: step}
}

// between goes from one round number to another.
type between struct{ low, high, step float64 }

// Between is a scale that holds least to most and some room at both ends, and does not begin at zero unless least is near it.
func Between(least, most float64) Scale {
	if !(least >= 0) || !(most >= least) || math.IsInf(most, 1) {
		return Linear(most)
	}
	room := max(0.15*(most-least), 0.05*most, 1e-9)
	if least-room < 0.3*(most+room) {
		return Linear(most + room)
	}
	step := Linear(most - least + 2*room).(linear).step
	return between{low: math.Floor((least-room)/step) * step, high: math.Ceil((most+room)/step) * step, step: step}
}

func (s between) At(v float64) float64 { return clip((v - s.low) / (s.high - s.low)) }

func (s between) Ticks() []float64 {
	var all []float64
	for v := s.low; v <= s.high+s.step/1000; v += s.step {
		all = append(all, v)
	}
	return all
}

// Whole is a linear scale of whole numbers.
func Whole(most float64) Scale {
	for _, step := range []float64{1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100} {
		if most/step <= 4 {
			return linear{top: max(1, math.Ceil(most/step)) * step, step: step}
		}
	}
	return Linear(most)
}

func (l linear) At(v float64) float64 { return clip(v / l.top) }

func (l linear) Ticks() []float64 {
	var all []float64
	for v := 0.0; v <= l.top*1.0001; v += l.step {
		all = append(all, v)
	}
	return all
}

// clip keeps a share of the height within the plot; what is no number is at the bottom.
func clip(share float64) float64 {
	if !(share > 0) {
		return 0
	}
	return min(share, 1)
}

// logarithmic goes from one round number to another.
type logarithmic struct{ low, high float64 }

// Logarithmic is a scale that holds least and most, over a factor of 4 at the least.
func Logarithmic(least, most float64) Scale {
	if !(least >= tiny && least <= huge) {
		least = 1
	}
	if !(most >= least) {
		most = least
	}
	l := logarithmic{low: nextRound(least, math.Floor), high: nextRound(min(most, huge), math.Ceil)}
	for l.high < 4*l.low {
		l.high = nextRound(l.high*1.01, math.Ceil)
	}
	return l
}

// nextRound gives the next of the numbers 1, 2 and 5 times a power of ten, in the direction of to.
func nextRound(v float64, to func(float64) float64) float64 {
	steps := []float64{0, math.Log10(2), math.Log10(5), 1}
	exponent, rest := math.Modf(math.Log10(v) + 20) // from 20 powers of ten below 1 on it is positive
	const slack = 1e-9
	if to(0.5) == 0 {
		for _, s := range slices.Backward(steps) {
			if s <= rest+slack {
				return math.Pow(10, exponent-20+s)
			}
		}
	}
	for _, s := range steps {
		if s >= rest-slack {
			return math.Pow(10, exponent-20+s)
		}
	}
	return v
}

func (l logarithmic) At(v float64) float64 {
	if !(v > 0) {
		return 0
	}
	return clip(math.Log(v/l.low) / math.Log(l.high/l.low))
}

// Ticks are the powers of ten, and 2 and 5 times them where there is room.
func (l logarithmic) Ticks() []float64 {
	var all []float64
	few := l.high/l.low < 100
	for v := l.low; v <= l.high*1.001; v = nextRound(v*1.01, math.Ceil) {
		power := math.Abs(math.Log10(v)-math.Round(math.Log10(v))) < 1e-6
		if few || power {
			all = append(all, v)
		}
	}
	return all
}

// nines is a scale of shares close to 1: each tenth of what is missing is as far as the one before.
type nines struct{ low, high float64 } // -log10(1-share)

// Nines is a scale of attained shares that holds least to most. All but one in ten thousand is drawn as all.
func Nines(least, most float64) Scale {
	s := nines{high: missing(0.99)}
	for _, v := range []float64{0.5, 0.9, 0.95} {
		if least >= v {
			s.low = missing(v)
		}
	}
	for s.high < missing(most)-1e-9 {
		s.high++
	}
	return s
}

func missing(share float64) float64 { return -math.Log10(max(1-share, 1e-4)) }

func (n nines) At(v float64) float64 { return clip((missing(v) - n.low) / (n.high - n.low)) }

func (n nines) Ticks() []float64 {
	var all []float64
	for _, v := range []float64{0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999} {
		if missing(v) >= n.low-1e-9 && missing(v) <= n.high+1e-9 {
			all = append(all, v)
		}
	}
	return all
}

// Number writes a value of a tick or a table: 0, 12, 2.5, 40k, 1.2M.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 999_500:
		return short(v/1e6) + "M"
	case a >= 9_999.5:
		return short(v/1e3) + "k"
	}
	return short(v)
}

func short(v float64) string { return strconv.FormatFloat(rounded(v, 3), 'f', -1, 64) }

// rounded keeps a number of significant digits, and the whole part of what has more.
func rounded(v float64, digits int) float64 {
	if v == 0 {
		return 0
	}
	places := math.Pow(10, max(0, float64(digits-1)-math.Floor(math.Log10(math.Abs(v)))))
	return math.Round(v*places) / places
}

// Latency writes milliseconds as people say them: 40 ms, 2 s.
func Latency(ms float64) string {
	if ms >= 999.5 {
		return Number(ms/1000) + " s"
	}
	return Number(ms) + " ms"
}

// Share writes a share in per cent: 99 %, 99.9 %.
func Share(v float64) string { return strconv.FormatFloat(math.Round(v*1e5)/1e3, 'f', -1, 64) + " %" }
