package forecast

import (
	"math"
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
	for _, test := range []struct {
		name    string
		samples []Sample
		want    float64
		ok      bool
	}{
		{"nothing", nil, 0, false},
		{"one sample", series(5), 5, true},
		{"steady", series(5, 5, 5, 5, 5, 5, 5, 5), 5, true},
		{"a ramp goes on, damped", series(1, 2, 3, 4, 5, 6, 7, 8), 8 + 0.8*0.1*60, true},
		{"a fall goes on, damped", series(80, 77, 74, 71, 68, 65, 62), 62 - 0.8*0.3*60, true},
		{"a fall stops at zero", series(14, 12, 10, 8, 6, 4, 2), 0, true},
		{"noise is no trend", series(5, 7, 4, 6, 5, 7, 4, 6), 6, true},
		{"a steep ramp is bounded", series(0, 10, 20, 30, 40, 50, 60, 900), 1800, true},
		{"too few for a trend", series(1, 2, 3, 4), 4, true},
		{"what cannot be is passed over", series(5, 5, math.NaN(), 5, -3, 5, 5, math.Inf(1)), 5, true},
		{"the future is passed over", append(series(5, 5, 5, 5, 5, 5), Sample{At: now.Add(time.Minute), Value: 50}), 5, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Ahead(test.samples, now, time.Minute)
			if ok != test.ok || math.Abs(got-test.want) > 1e-9 && test.name != "a steep ramp is bounded" {
				t.Errorf("Ahead = %g, %v, want %g, %v", got, ok, test.want, test.ok)
			}
			if test.name == "a steep ramp is bounded" && got > test.want {
				t.Errorf("Ahead = %g, over the bound %g", got, test.want)
			}
		})
	}
}

func TestAheadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e4), 1, 40).Draw(t, "values")
		horizon := time.Duration(rapid.IntRange(0, 600).Draw(t, "horizon")) * time.Second
		largest := 0.0
		for _, v := range values {
			largest = max(largest, v)
		}
		got, ok := Ahead(series(values...), now, horizon)
		if !ok || !(got >= 0 && got <= mostGrowth*largest) {
			t.Fatalf("Ahead = %g, %v, outside 0..%g", got, ok, mostGrowth*largest)
		}
		more := rapid.Float64Range(0, 1e3).Draw(t, "more")
		raised := make([]float64, len(values))
		for i, v := range values {
			raised[i] = v + more
		}
		if higher, _ := Ahead(series(raised...), now, horizon); higher < got-1e-6*(1+got) {
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
