package forecast

import (
	"math"
	"time"
)

// Sample is one reading of a demand, such as requests per second.
type Sample struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// kind is what a way makes of the samples that it looks at.
type kind int

const (
	mean    kind = iota // their mean
	line                // the line through them, carried on
	carried             // the last of them, carried on along that line
)

// way is one way of looking ahead, by the horizons that it looks back. A mean over none is the last sample.
type way struct {
	kind     kind
	horizons float64
}

// ways are the last sample, which is best where demand jumps; means, for noise; the last sample carried on, for ramps; and a
// line, for slow trends under noise.
var ways = [...]way{{mean, 0}, {mean, 1}, {mean, 3}, {mean, 8}, {carried, 1.5}, {carried, 3}, {line, 6}}

const (
	// Lookback is how many horizons of samples are made use of; older ones are of no use to Ahead.
	Lookback = 10
	// fewest samples that a line is drawn through.
	fewest = 5
	// damping is the share of a trend that is believed to go on over one horizon: undamped trends overshoot (Gardner and
	// McKenzie, Forecasting trends in time series, Management Science 31, 1985).
	damping = 0.8
	// mostGrowth bounds what is expected to this many times the largest value seen.
	mostGrowth = 2
	// A way's weight is its share of all squared errors to the power of -sharpness; least keeps that finite.
	sharpness, least = 4, 1e-2
	// rounding is the square of the errors, in shares of the largest value, that are those of the arithmetic.
	rounding = 1e-24
)

// Ahead is the demand expected one horizon after now, between 0 and twice the largest recent value. It is false when no
// sample can be used. Samples are in order of time; values that are not finite or negative, samples from the future and those
// of more than Lookback horizons ago are passed over.
func Ahead(samples []Sample, now time.Time, horizon time.Duration) (float64, bool) {
	p := past{horizon: max(horizon, 0).Seconds(), points: make([]point, 0, len(samples)), sums: make([]sums, 1, len(samples)+1)}
	last, known := 0.0, false
	for _, v := range samples {
		x := v.At.Sub(now).Seconds()
		if x > 0 || !(v.Value >= 0) || math.IsInf(v.Value, 1) {
			continue
		}
		last, known = v.Value, true
		if x >= -Lookback*p.horizon {
			p.add(x, v.Value)
		}
	}
	if len(p.points) == 0 {
		return last, known // all that is known is old
	}
	return min(max(p.ahead(), 0), mostGrowth*p.largest), true
}
