package chart

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestScalesHoldTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Float64Range(0, 1e9).Draw(t, "most")
		for _, s := range []Scale{Linear(most), Whole(math.Ceil(most))} {
			if s.At(0) != 0 || s.At(most) > 1 || s.At(20*most+20) != 1 || s.At(math.NaN()) != 0 {
				t.Fatalf("a scale for 0 to %v puts them at %v and %v", most, s.At(0), s.At(most))
			}
			if n := len(s.Ticks()); n < 2 || n > 8 {
				t.Fatalf("a scale for 0 to %v has %d ticks", most, n)
			}
		}
		least := rapid.Float64Range(0.001, 1e5).Draw(t, "least")
		top := least * rapid.Float64Range(1, 1e6).Draw(t, "times")
		l := Logarithmic(least, top).(logarithmic)
		if l.low > least*1.000001 || l.high < top*0.999999 {
			t.Fatalf("a scale for %v to %v goes from %v to %v", least, top, l.low, l.high)
		}
		if n := len(l.Ticks()); n < 1 || n > 12 {
			t.Fatalf("a scale for %v to %v has %d ticks", least, top, n)
		}
	})
}

func TestTicksAreRound(t *testing.T) {
	for name, tc := range map[string]struct {
		scale Scale
		want  []float64
	}{
		"linear":            {Linear(43), []float64{0, 20, 40, 60}},
		"gpus":              {Whole(16), []float64{0, 4, 8, 12, 16}},
		"few replicas":      {Whole(4), []float64{0, 1, 2, 3, 4}},
		"nothing":           {Linear(0), []float64{0, 0.5, 1}},
		"no bound":          {Linear(math.Inf(1)), []float64{0, 0.5, 1}},
		"narrow latencies":  {Logarithmic(12, 31), []float64{10, 20, 50}},
		"latencies, decade": {Logarithmic(60, 9000), []float64{100, 1000, 10000}},
		"attained, all":     {Nines(0.2, 1), []float64{0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999}},
		"attained, high":    {Nines(0.97, 0.9995), []float64{0.95, 0.99, 0.999, 0.9999}},
		"attained, low":     {Nines(0.6, 0.98), []float64{0.5, 0.9, 0.95, 0.99}},
		"GPU-hours apart":   {Between(1, 43), []float64{0, 20, 40, 60}},
		"GPU-hours close":   {Between(30, 40), []float64{25, 30, 35, 40, 45}},
	} {
		if diff := cmp.Diff(tc.want, tc.scale.Ticks(), cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6*max(a, b, 1e-9) })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNumbersAsPeopleWriteThem(t *testing.T) {
	for want, got := range map[string]string{
		"0": Number(0), "2.5": Number(2.5), "0.0123": Number(0.01234), "1235": Number(1234.6), "12.3k": Number(12345), "1.2M": Number(1.2e6), "–": Number(math.NaN()),
		"40 ms": Latency(40), "1.5 s": Latency(1500), "2 s": Latency(1999.9), "99 %": Share(0.99), "99.99 %": Share(0.9999), "4:05": Moment(245), "1:04:05": Moment(3845),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Names beside a plot keep their order and never touch, and stay where they are when there is room.
func TestSpread(t *testing.T) {
	for _, tc := range []struct{ at, want []float64 }{
		{[]float64{10, 50}, []float64{10, 50}},
		{[]float64{30, 30}, []float64{23.5, 36.5}},
		{[]float64{-5, 2}, []float64{0, 13}},
		{[]float64{99, 98, 20}, []float64{100, 87, 20}},
	} {
		if diff := cmp.Diff(tc.want, spread(tc.at, 13, 0, 100)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.at, diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SliceOfN(rapid.Float64Range(-50, 300), 0, 8).Draw(t, "at")
		got := spread(at, 13, 0, 200)
		sorted := slices.Clone(got)
		slices.Sort(sorted)
		for i, v := range sorted {
			if v < -1e-9 || v > 200+1e-9 || i > 0 && v-sorted[i-1] < 13-1e-9 {
				t.Fatalf("%v was spread to %v", at, got)
			}
		}
		for i := range at {
			for j := range at {
				if at[i] < at[j] && got[i] > got[j] {
					t.Fatalf("%v changed its order: %v", at, got)
				}
			}
		}
	})
}
