package capacity

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Lengths of a few sizes, as benchmarks send them, keep their moments: they are not smeared over what lies between.
func TestHistogramOfAFewSizes(t *testing.T) {
	for name, sizes := range map[string][]float64{
		"one": {1000}, "two": {100, 10_000}, "three, unevenly": {10, 10, 10, 500, 90_000}, "smallest": {1},
	} {
		var all []float64
		mean, second := 0.0, 0.0
		for range 1000 {
			all = append(all, sizes...)
		}
		for _, n := range sizes {
			mean += n / float64(len(sizes))
			second += n * n / float64(len(sizes))
		}
		l := Lengths{Histogram: NewHistogram(all)}.clean()
		if scv := second/(mean*mean) - 1; math.Abs(l.Mean/mean-1) > 1e-3 || math.Abs(l.SCV-scv) > 1e-3*(1+scv) {
			t.Errorf("%s: mean %v and SCV %v, want %v and %v: %+v", name, l.Mean, l.SCV, mean, scv, l.Histogram)
		}
	}
}

// The moments of any sample are kept, as far as bins of 2 % can.
func TestHistogramKeepsMoments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Float64Range(1, 1e5), 2, 500).Draw(t, "lengths")
		mean := 0.0
		for _, n := range all {
			mean += n / float64(len(all))
		}
		l := Lengths{Histogram: NewHistogram(all)}.clean()
		if math.Abs(l.Mean/mean-1) > 0.1 {
			t.Fatalf("mean %v, want %v", l.Mean, mean)
		}
		last := 0.0
		for p := 0.01; p < 1; p += 0.01 {
			if n := l.quantile(p); n < last {
				t.Fatalf("the quantile of %v is %v, below %v", p, n, last)
			} else {
				last = n
			}
		}
	})
}
