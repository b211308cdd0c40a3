package forecast

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSustained(t *testing.T) {
	for _, test := range []struct {
		name     string
		values   []float64
		patience time.Duration
		want     float64
	}{
		{"nothing", nil, 0, 0},
		{"one sample covers no time", []float64{5}, 0, 0},
		{"what nobody may wait for is the peak", []float64{1, 5, 9, 5}, 0, 9},
		{"a peak is spread over what may wait", []float64{0, 0, 9, 0, 0}, 20 * time.Second, 3},
		{"a plateau for long is nearly its height", []float64{0, 6, 6, 6, 6, 6, 6}, 10 * time.Second, 6 * 60.0 / 70},
		{"the worst stretch decides", []float64{1, 1, 1, 8, 8, 1, 1}, 10 * time.Second, 160.0 / 30},
		{"patience below none is none", []float64{1, 5}, -time.Second, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Sustained(series(test.values...), test.patience); math.Abs(got-test.want) > 1e-9 {
				t.Errorf("%g a second, want %g", got, test.want)
			}
		})
	}
}

// The rate that Sustained gives is the least with which a queue never holds more than patience's worth of work.
func TestSustainedIsTheLeastRateThatServes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := series(rapid.SliceOfN(rapid.Float64Range(0.01, 100), 2, 30).Draw(t, "values")...)
		patience := time.Duration(rapid.IntRange(1, 100).Draw(t, "patience")) * time.Second
		longest := func(rate float64) (wait float64) {
			queue := 0.0
			for i := 1; i < len(samples); i++ {
				queue = max(0, queue+(samples[i].Value-rate)*samples[i].At.Sub(samples[i-1].At).Seconds())
				wait = max(wait, queue/rate)
			}
			return wait
		}
		rate := Sustained(samples, patience)
		if wait := longest(rate); wait > patience.Seconds()*(1+1e-9) {
			t.Fatalf("with %g a second some wait %g s, allowed are %v", rate, wait, patience)
		}
		if wait := longest(rate * 0.999); wait <= patience.Seconds() {
			t.Fatalf("%g a second are not the least: with less nobody waits longer than %g s of %v", rate, wait, patience)
		}
	})
}

func TestRisen(t *testing.T) {
	flat := func(height float64, n int) (values []float64) {
		for range n {
			values = append(values, height)
		}
		return values
	}
	const horizon = time.Minute
	for _, test := range []struct {
		name    string
		samples []Sample
		want    Rise
		ok      bool
	}{
		{"nothing is known", nil, Rise{}, false},
		{"not for a horizon yet", series(flat(5, 6)...), Rise{}, false},
		{"steady", series(flat(5, 30)...), Rise{From: now}, true},
		{"a step up", series(append(flat(10, 30), flat(14, 6)...)...), Rise{From: now, Amount: 14 - 10.5, Share: 0.35}, true},
		{"a peak that is over is a rise as well", series(append(flat(10, 30), 10, 14, 14, 10, 10, 10)...), Rise{From: now, Amount: 3.5, Share: 0.35}, true},
		{"within what is ordinary", series(append(flat(10, 30), flat(10.4, 6)...)...), Rise{From: now}, true},
		{"a step down", series(append(flat(10, 30), flat(2, 6)...)...), Rise{From: now}, true},
		{"from nothing there is no share", series(append(flat(0, 30), flat(4, 6)...)...), Rise{From: now}, true},
		{"more than there are numbers for", series(append(flat(10, 30), flat(1.7e308, 6)...)...), Rise{}, false},
		{"nothing was read then", append(series(flat(10, 30)...)[:20], series(flat(14, 3)...)...), Rise{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := Risen(test.samples, now, horizon, 0, 30*time.Second)
			same := math.Abs(got.Amount-test.want.Amount) < 1e-9 && math.Abs(got.Share-test.want.Share) < 1e-9
			if ok != test.ok || !same || !got.From.Equal(test.want.From) {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, test.want, test.ok)
			}
		})
	}
	// A ramp that is expected to go on is no surprise, and a peak that may wait is no need.
	var ramp []float64
	for i := range 60 {
		ramp = append(ramp, 100+2*float64(i))
	}
	if got, ok := Risen(series(ramp...), now, horizon, 0, 30*time.Second); !ok || got.Amount > 0 {
		t.Errorf("a ramp that goes on rose by %+v, %v", got, ok)
	}
	peak := series(append(flat(10, 30), 10, 14, 14, 10, 10, 10)...)
	if got, ok := Risen(peak, now, horizon, 20*time.Second, 30*time.Second); !ok || got.Amount > 0 {
		t.Errorf("a peak that may wait rose by %+v, %v", got, ok)
	}
}

func TestRisesAreBoundedAndTheMostOfEachHorizonIsKept(t *testing.T) {
	var rises []Rise
	for i := range 10 * MaxRises {
		rises = Remember(rises, Rise{From: now.Add(time.Duration(i) * 10 * time.Second), Amount: float64(i), Share: 1 / float64(1+i)}, 50*time.Second)
	}
	if len(rises) != MaxRises {
		t.Fatalf("%d rises are remembered, want %d", len(rises), MaxRises)
	}
	want := Rise{From: now.Add(50 * time.Second * (2*MaxRises - 1)), Amount: 10*MaxRises - 1, Share: 1 / float64(10*MaxRises-4)}
	if diff := cmp.Diff(want, rises[MaxRises-1]); diff != "" {
		t.Error(diff)
	}
}

func TestSurge(t *testing.T) {
	rose := func(amounts ...float64) (rises []Rise) {
		for _, a := range amounts {
			rises = append(rises, Rise{Amount: a, Share: a / 100})
		}
		return rises
	}
	after := func(calm int, amounts ...float64) []Rise {
		return rose(append(slices.Repeat([]float64{0}, calm), amounts...)...)
	}
	for _, test := range []struct {
		name   string
		rises  []Rise
		demand float64
		want   float64
	}{
		{"nothing is known", nil, 100, 0},
		{"no demand", rose(40), 0, 0},
		{"high: as much as it rose before", rose(40), 300, 40},
		{"low: by the share that it rose before", rose(40), 50, 20},
		{"never more than half the demand", []Rise{{Amount: 500, Share: 9}}, 20, 10},
		{"one in ten is passed over", after(18, 40, 30), 300, 30},
		{"and two in twenty are", after(19, 40, 30), 300, 0},
		{"what cannot be", []Rise{{Amount: math.NaN(), Share: math.NaN()}}, 100, 0},
		{"below zero", []Rise{{Amount: -5, Share: -1}}, 100, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Surge(test.rises, test.demand); got != test.want {
				t.Errorf("%g, want %g", got, test.want)
			}
		})
	}
}

func TestSurgeGrowsWithTheDemand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rises []Rise
		for range rapid.IntRange(0, MaxRises).Draw(t, "n") {
			rises = append(rises, Rise{Amount: rapid.Float64Range(0, 1e6).Draw(t, "amount"), Share: rapid.Float64Range(0, 5).Draw(t, "share")})
		}
		less := rapid.Float64Range(0, 1e6).Draw(t, "demand")
		more := less + rapid.Float64Range(0, 1e6).Draw(t, "more")
		if a, b := Surge(rises, less), Surge(rises, more); a > b || a < 0 || b > more/2 {
			t.Fatalf("%g on top of %g, %g on top of %g", a, less, b, more)
		}
	})
}
