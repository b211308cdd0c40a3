package chart

import (
	"fmt"
	"math"
	"slices"
)

// scale maps values to a height between 0 (bottom) and 1 (top).
type scale interface {
	at(v float64) float64
	ticks() []float64
}

// linear goes from 0 to a round number.
type linear struct{ top, step float64 }

// newLinear is a scale that holds most, with about four ticks.
func newLinear(most float64) linear {
	if most <= 0 {
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
	return linear{top: math.Ceil(most/step) * step, step: step}
}

// whole is a linear scale of whole numbers, with about four ticks.
func whole(most float64) linear {
	for _, step := range []float64{1, 2, 4, 5, 10, 20, 50, 100} {
		if most/step <= 5 {
			return linear{top: max(1, math.Ceil(most/step)) * step, step: step}
		}
	}
	return newLinear(most)
}

func (l linear) at(v float64) float64 { return min(max(v/l.top, 0), 1) }

func (l linear) ticks() []float64 {
	var all []float64
	for v := 0.0; v <= l.top*1.0001; v += l.step {
		all = append(all, v)
	}
	return all
}

// logarithmic goes from one round number to another.
type logarithmic struct{ low, high float64 }

// newLogarithmic is a scale that holds least and most, over a factor of 4 at the least.
func newLogarithmic(least, most float64) logarithmic {
	l := logarithmic{low: round(least, math.Floor), high: round(most, math.Ceil)}
	for l.high < 4*l.low {
		l.high = round(l.high*1.01, math.Ceil)
	}
	return l
}

// round gives the next of the numbers 1, 2 and 5 times a power of ten, in the direction of to.
func round(v float64, to func(float64) float64) float64 {
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

func (l logarithmic) at(v float64) float64 {
	if v <= 0 {
		return 0
	}
	return min(max(math.Log(v/l.low)/math.Log(l.high/l.low), 0), 1)
}

// ticks are the powers of ten, and 2 and 5 times them where there is room.
func (l logarithmic) ticks() []float64 {
	var all []float64
	few := l.high/l.low < 100
	for v := l.low; v <= l.high*1.001; v = round(v*1.01, math.Ceil) {
		power := math.Abs(math.Log10(v)-math.Round(math.Log10(v))) < 1e-6
		if few || power {
			all = append(all, v)
		}
	}
	return all
}

// number writes a tick: 0, 12, 2.5, 40k.
func number(v float64) string {
	if v >= 10000 {
		return fmt.Sprintf("%gk", v/1000)
	}
	return fmt.Sprintf("%g", v)
}

// latency writes a tick in milliseconds or seconds.
func latency(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%.3g s", ms/1000)
	}
	return fmt.Sprintf("%.3g ms", ms)
}
