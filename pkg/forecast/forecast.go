package forecast

import (
	"math"
	"slices"
	"time"
)

// Sample is one reading of a demand, such as requests per second.
type Sample struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

const (
	// windowHorizons is over how many horizons back the trend is read: a trend is
	// believed for about as long as it has lasted.
	windowHorizons = 3
	// fewest samples a trend is read from.
	fewest = 5
	// damping is the share of a trend that is believed to go on over one horizon:
	// undamped trends overshoot (Gardner and McKenzie, Forecasting trends in time
	// series, Management Science 31, 1985).
	damping = 0.8
	// surely is how many standard errors a slope must differ from 0 to count. It is
	// more than the usual 2, since rates measured over overlapping windows are not
	// independent of each other.
	surely = 4
	// mostGrowth bounds a forecast to this many times the largest value seen.
	mostGrowth = 2
)

// Ahead is the demand expected horizon after now: the last value, and a damped
// linear trend where the recent samples show one beyond their noise. It lies
// between 0 and twice the largest recent value. It is false when no sample can
// be used. Samples are in order of time; values that are not finite or negative
// and samples from the future are passed over.
func Ahead(samples []Sample, now time.Time, horizon time.Duration) (float64, bool) {
	from := now.Add(-windowHorizons * max(horizon, 0))
	var s sums
	last, largest := 0.0, 0.0
	for _, v := range slices.Backward(samples) {

		if v.At.After(now) || !(v.Value >= 0) || math.IsInf(v.Value, 1) {
			continue
		}
		if s.n == 0 {
			last = v.Value
		} else if v.At.Before(from) {
			break
		}
		largest = max(largest, v.Value)
		s.add(v.At.Sub(now).Seconds(), v.Value)
	}
	if s.n == 0 {
		return 0, false
	}
	ahead := last
	if slope, ok := s.slope(); ok && horizon > 0 {
		ahead += damping * slope * horizon.Seconds()
	}
	return min(max(ahead, 0), mostGrowth*largest), true
}

// sums are what a least-squares line needs, x in seconds from now.
type sums struct {
	n                int
	x, y, xx, xy, yy float64
}

func (s *sums) add(x, y float64) {
	s.n++
	s.x += x
	s.y += y
	s.xx += x * x
	s.xy += x * y
	s.yy += y * y
}

// slope is the line's slope per second, and whether it differs from 0 beyond
// the noise about the line.
func (s *sums) slope() (float64, bool) {
	if s.n < fewest {
		return 0, false
	}
	n := float64(s.n)
	sxx, sxy, syy := s.xx-s.x*s.x/n, s.xy-s.x*s.y/n, s.yy-s.y*s.y/n
	if !(sxx > 0) || !(syy > 1e-12*s.yy) {
		return 0, false
	}
	b := sxy / sxx
	residual := max(0, syy-b*sxy) / (n - 2)
	return b, b*b > surely*surely*residual/sxx
}
