package forecast

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// series is one sample every 10 s, the last one now.
func series(values ...float64) []Sample {
	samples := make([]Sample, len(values))
	for i, v := range values {
		samples[i] = Sample{At: now.Add(time.Duration(i-len(values)+1) * 10 * time.Second), Value: v}
	}
	return samples
}

func TestAhead(t *testing.T) {
	ramp := func(from, step float64, n int) (values []float64) {
		for i := range n {
			values = append(values, from+step*float64(i))
		}
		return values
	}
	noise := func(n int) (values []float64) {
		r := rand.New(rand.NewPCG(3, 4))
		for range n {
			values = append(values, 5+r.Float64())
		}
		return values
	}
	for _, test := range []struct {
		name      string
		samples   []Sample
		low, high float64
		ok        bool
	}{
		{"nothing", nil, 0, 0, false},
		{"one sample", series(5), 5, 5, true},
		{"steady", series(5, 5, 5, 5, 5, 5, 5, 5), 5, 5, true},
		{"no horizon was seen yet", series(1, 2, 3, 4), 4, 4, true},
		{"a ramp goes on", series(ramp(1, 1, 40)...), 40 + 0.7*6, 40 + 6, true},
		{"a fall goes on", series(ramp(120, -2, 40)...), 42 - 12, 42 - 0.7*12, true},
		{"a fall stops at zero", series(ramp(80, -2, 40)...), 0, 1, true},
		{"noise is no trend", series(append(noise(50), 6)...), 5.35, 5.65, true},
		{"after a step the mean of before is forgotten", series(append(ramp(20, 0, 30), ramp(60, 0, 20)...)...), 55, 62, true},
		{"a steep ramp is bounded", series(append(ramp(0, 10, 30), 900)...), 0, 1800, true},
		{"what cannot be is passed over", series(5, 5, math.NaN(), 5, -3, 5, 5, math.Inf(1)), 5, 5, true},
		{"the future is passed over", append(series(5, 5, 5, 5, 5, 5), Sample{At: now.Add(time.Minute), Value: 50}), 5, 5, true},
		{"all that is known is old", []Sample{{At: now.Add(-time.Hour), Value: 7}}, 7, 7, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Ahead(test.samples, now, time.Minute)
			if ok != test.ok || ok && !(got >= test.low-1e-9 && got <= test.high+1e-9) {
				t.Errorf("Ahead = %g, %v, want %g to %g, %v", got, ok, test.low, test.high, test.ok)
			}
		})
	}
}

func TestAheadProperties(t *testing.T) {
	// in 64ths, so that sums are exact and a raised series is the same series
	upTo := func(most int) *rapid.Generator[float64] {
		return rapid.Map(rapid.IntRange(0, 64*most), func(n int) float64 { return float64(n) / 64 })
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(upTo(10_000), 1, 40).Draw(t, "values")
		horizon := time.Duration(rapid.IntRange(0, 600).Draw(t, "horizon")) * time.Second
		largest := 0.0
		for _, v := range values {
			largest = max(largest, v)
		}
		got, ok := Ahead(series(values...), now, horizon)
		if !ok || !(got >= 0 && got <= mostGrowth*largest*(1+1e-12)) {
			t.Fatalf("Ahead = %g, %v, outside 0..%g", got, ok, mostGrowth*largest)
		}
		more := upTo(1000).Draw(t, "more")
		raised := make([]float64, len(values))
		for i, v := range values {
			raised[i] = v + more
		}
		// A way that would have gone below zero errs by less once all is raised, so that the weights are not quite the same.
		if higher, _ := Ahead(series(raised...), now, horizon); higher < got-0.01*largest {
			t.Fatalf("with %g more everywhere the forecast went from %g to %g", more, got, higher)
		}
	})
}

func FuzzAhead(f *testing.F) {
	f.Add(1.0, 2.0, 3.0, int64(60))
	f.Fuzz(func(t *testing.T, a, b, c float64, seconds int64) {
		got, _ := Ahead(series(a, b, c, a, b, c, a), now, time.Duration(seconds)*time.Second)
		if math.IsNaN(got) || got < 0 || math.IsInf(got, 0) {
			t.Errorf("Ahead = %g", got)
		}
	})
}
