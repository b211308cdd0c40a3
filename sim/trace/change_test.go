package trace

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

func steady() Generator {
	return Generator{Duration: time.Hour, RequestsPerSecond: 10,
		Shape: Shape{Input: Tokens{Mean: 1000, SCV: 1}, Output: Tokens{Mean: 200, SCV: 0.5}, CachedShare: 0.25}}
}

func generate(t testing.TB, g Generator, seed uint64) *Trace {
	t.Helper()
	out, err := Generate(g, seed)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*math.Abs(want)) {
		t.Errorf("%s is %.4g, want %.4g", what, got, want)
	}
}

func TestArrivalsHaveTheVariationAskedFor(t *testing.T) {
	for _, tc := range []struct {
		family Arrivals
		scv    float64
	}{{"", 1}, {Poisson, 1}, {Gamma, 0.25}, {Gamma, 4}, {Weibull, 0.25}, {Weibull, 4}} {
		g := steady()
		g.Arrivals, g.ArrivalSCV = tc.family, tc.scv
		var sum, square, n float64
		last := time.Duration(0)
		list := all(generate(t, g, 3))
		for _, r := range list {
			gap := (r.At - last).Seconds()
			sum, square, n, last = sum+gap, square+gap*gap, n+1, r.At
		}
		near(t, string(tc.family)+" mean gap", sum/n, 0.1, 0.05)
		near(t, string(tc.family)+" gap SCV", n*square/(sum*sum)-1, tc.scv, 0.1)
	}
	s := generate(t, steady(), 3).Summary()
	near(t, "input", s.InputTokensMean, 1000, 0.03)
	near(t, "input SCV", s.InputSCV, 1, 0.1)
	near(t, "output", s.OutputTokensMean, 200, 0.03)
	near(t, "output SCV", s.OutputSCV, 0.5, 0.1)
}

func TestCurves(t *testing.T) {
	count := func(tr *Trace, from, to time.Duration) (n float64) {
		for _, r := range all(tr) {
			if r.At >= from && r.At < to {
				n++
			}
		}
		return n
	}
	g := steady()
	g.Curve, g.AmplitudePerSecond, g.Period = Sine, 8, time.Hour
	tr := generate(t, g, 1)
	// The integral of 10 + 8 sin over the middle third: 12000 + 8*3600/(2*pi)*sqrt(3).
	near(t, "middle of the sine", count(tr, 20*time.Minute, 40*time.Minute), 12000+8*3600/(2*math.Pi)*math.Sqrt(3), 0.03)
	near(t, "whole sine", float64(tr.Len()), 36000, 0.03)

	g = steady()
	g.Curve, g.Steps = Steps, []Step{{0, 2}, {30 * time.Minute, 20}}
	tr = generate(t, g, 1)
	near(t, "low step", count(tr, 0, 30*time.Minute), 3600, 0.05)
	near(t, "high step", count(tr, 30*time.Minute, time.Hour), 36000, 0.05)

	g = steady()
	g.Curve, g.Duration, g.AmplitudePerSecond, g.RequestsPerSecond = Day, 24*time.Hour, 4, 5
	tr = generate(t, g, 1)
	if night, noon := count(tr, 2*time.Hour, 5*time.Hour), count(tr, 13*time.Hour, 16*time.Hour); !(noon > 5*night) {
		t.Errorf("%v requests at night and %v in the afternoon: no day", night, noon)
	}

	g = steady()
	g.Shape = Shape{Input: Tokens{Mean: 100}, Output: Tokens{Mean: 2000}}
	g.Other, g.SwingPeriod = &Shape{Input: Tokens{Mean: 5000}, Output: Tokens{Mean: 100}}, time.Hour
	long := func(from, to time.Duration) (share float64) {
		n := 0.0
		for _, r := range all(generate(t, g, 1)) {
			if r.At >= from && r.At < to {
				n++
				share += float64(r.InputTokens / 5000)
			}
		}
		return share / n
	}
	if a, b := long(0, 5*time.Minute), long(28*time.Minute, 32*time.Minute); a > 0.05 || b < 0.95 {
		t.Errorf("share of long prompts %.2f at the start and %.2f in the middle of the swing", a, b)
	}
}

func TestGeneratorsAreRepeatableAndCheapToStore(t *testing.T) {
	if diff := cmp.Diff(all(generate(t, steady(), 5)), all(generate(t, steady(), 5))); diff != "" {
		t.Error(diff)
	}
	if slices.EqualFunc(all(generate(t, steady(), 5)), all(generate(t, steady(), 6)), func(a, b Request) bool { return a.At == b.At }) {
		t.Error("another seed gives the same arrivals")
	}
	p := &load.Profile{Phases: []load.Phase{{DurationSeconds: 100, RequestsPerSecond: 5, InputTokens: 10, OutputTokens: 5}}}
	tr, err := Phases(p, 1)
	if err != nil || tr.Duration() != 100*time.Second || tr.Len() < 400 {
		t.Errorf("%v, %d requests in %v", err, tr.Len(), tr.Duration())
	}
}

func TestBadGeneratorsAreRefused(t *testing.T) {
	for want, change := range map[string]func(*Generator){
		"duration is 0s":              func(g *Generator) { g.Duration = 0 },
		"rate is NaN":                 func(g *Generator) { g.RequestsPerSecond = math.NaN() },
		"amplitude is 11":             func(g *Generator) { g.AmplitudePerSecond = 11 },
		"period is 0s":                func(g *Generator) { g.Curve = Sine },
		`curve is "saw"`:              func(g *Generator) { g.Curve = "saw" },
		"steps must begin":            func(g *Generator) { g.Curve = Steps },
		"steps[1].at is 0s":           func(g *Generator) { g.Curve, g.Steps = Steps, []Step{{0, 1}, {0, 2}} },
		`arrivals is "pareto"`:        func(g *Generator) { g.Arrivals = "pareto" },
		"arrivalSCV is 0":             func(g *Generator) { g.Arrivals = Weibull },
		"input.mean is 0":             func(g *Generator) { g.Input.Mean = 0 },
		"cachedShare is 1":            func(g *Generator) { g.CachedShare = 1 },
		"swingPeriod is 0s":           func(g *Generator) { g.Other = &Shape{Input: Tokens{Mean: 1}, Output: Tokens{Mean: 1}} },
		"other.output.mean is 0":      func(g *Generator) { g.SwingPeriod, g.Other = 1, &Shape{Input: Tokens{Mean: 1}} },
		"requests; at most 200000000": func(g *Generator) { g.RequestsPerSecond, g.Duration = 1e5, 90*24*time.Hour },
	} {
		g := steady()
		change(&g)
		if _, err := Generate(g, 1); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "amplitude") > strings.Count(want, "amplitude") {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestScaleKeepsTheHourAndTheShape(t *testing.T) {
	base := generate(t, steady(), 1)
	for _, factor := range []float64{0.3, 1, 2.5} {
		s, err := base.Scale(factor, 7)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "requests", float64(s.Len()), factor*float64(base.Len()), 0.03)
		near(t, "input", s.Summary().InputTokensMean, base.Summary().InputTokensMean, 0.03)
		if s.Duration() != base.Duration() {
			t.Errorf("the length became %v", s.Duration())
		}
	}
	blocks := New([]Request{{InputTokens: 600, OutputTokens: 1, Blocks: []uint64{5, 6}}, {At: time.Hour, InputTokens: 600, OutputTokens: 1, Blocks: []uint64{5, 7}}})
	twice, err := blocks.Scale(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]int{}
	for _, r := range all(twice) {
		seen[r.Blocks[0]]++
	}
	if len(seen) != 2 || seen[5] != 2 {
		t.Errorf("first blocks %v; want two originals that share one, and two copies that share another", seen)
	}
}

// Whatever is done to a trace, its requests stay in order and inside it, and the original as it was.
func TestChangesKeepTheTraceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := steady()
		g.Duration, g.RequestsPerSecond = time.Minute, rapid.Float64Range(0, 3).Draw(t, "rate")
		base, err := Generate(g, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		before, now := all(base), base
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			next := now
			switch rapid.IntRange(0, 5).Draw(t, "change") {
			case 0:
				next, err = now.Scale(rapid.Float64Range(0.1, 3).Draw(t, "factor"), 1)
			case 1:
				next, err = now.Speed(rapid.Float64Range(0.1, 10).Draw(t, "factor"))
			case 2:
				from := time.Duration(rapid.Int64Range(0, int64(now.Duration())).Draw(t, "from"))
				next, err = now.Cut(from, from+time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "length")))
			case 3:
				next, err = now.Splice(base)
			case 4:
				next, err = now.Merge(base)
			case 5:
				next, err = now.Repeat(rapid.IntRange(1, 3).Draw(t, "times"))
			}
			if err != nil {
				t.Fatal(err)
			}
			now = next
		}
		last := time.Duration(0)
		for _, r := range all(now) {
			if r.At < last || r.At > now.Duration() {
				t.Fatalf("a request at %v after %v in a trace of %v", r.At, last, now.Duration())
			}
			last = r.At
		}
		if diff := cmp.Diff(before, all(base)); diff != "" {
			t.Fatalf("the original changed: %s", diff)
		}
	})
}

func TestChangesRefuseNonsense(t *testing.T) {
	tr := generate(t, steady(), 1)
	_, scale := tr.Scale(0, 1)
	_, speed := tr.Speed(math.Inf(1))
	_, cut := tr.Cut(5, 2)
	_, repeat := tr.Repeat(1 << 40)
	for name, err := range map[string]error{"scale": scale, "speed": speed, "cut": cut, "repeat": repeat} {
		if err == nil || !strings.HasPrefix(err.Error(), "trace: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
