package load

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func steady(rate, seconds float64) *Profile {
	return &Profile{Phases: []Phase{{
		Name: "steady", DurationSeconds: seconds, RequestsPerSecond: rate,
		InputTokens: 1000, InputSCV: 1, OutputTokens: 200, OutputSCV: 0.5, CachedShare: 0.25,
	}}}
}

func mustAll(t testing.TB, p *Profile, seed uint64) []Request {
	t.Helper()
	all, err := All(p, seed)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// moments returns mean and squared coefficient of variation.
func moments(values []float64) (mean, scv float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		scv += (v - mean) * (v - mean) / float64(len(values)) / (mean * mean)
	}
	return mean, scv
}

func within10Percent(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 0.1*want {
		t.Errorf("%s is %.4g, want %.4g", what, got, want)
	}
}

func TestRatesAndLengthsAreThoseAskedFor(t *testing.T) {
	for _, family := range []Family{"", Lognormal, Gamma} {
		for _, arrivals := range []float64{0, 1, 4} {
			p := steady(50, 1000)
			p.Lengths, p.ArrivalSCV = family, arrivals
			var gaps, in, out, cached []float64
			last := time.Duration(0)
			for _, r := range mustAll(t, p, 3) {
				gaps = append(gaps, (r.At - last).Seconds())
				last = r.At
				in, out = append(in, float64(r.InputTokens)), append(out, float64(r.OutputTokens))
				cached = append(cached, float64(r.CachedTokens)/float64(r.InputTokens))
			}
			gap, gapSCV := moments(gaps)
			within10Percent(t, "mean gap", gap, 1.0/50)
			within10Percent(t, "gap SCV", gapSCV, max(1, arrivals))
			m, scv := moments(in)
			within10Percent(t, "input", m, 1000)
			within10Percent(t, "input SCV", scv, 1)
			m, scv = moments(out)
			within10Percent(t, "output", m, 200)
			within10Percent(t, "output SCV", scv, 0.5)
			m, _ = moments(cached)
			within10Percent(t, "cached share", m, 0.25)
		}
	}
}

func TestRampGoesFromPhaseToPhase(t *testing.T) {
	p := &Profile{Phases: []Phase{
		{Name: "a", DurationSeconds: 100, RampSeconds: 100, RequestsPerSecond: 40, InputTokens: 100, OutputTokens: 10},
		{Name: "b", DurationSeconds: 200, RampSeconds: 100, RequestsPerSecond: 80, InputTokens: 300, OutputTokens: 10},
		{Name: "c", DurationSeconds: 50, RequestsPerSecond: 0, InputTokens: 300, OutputTokens: 10},
	}}
	for _, tc := range []struct {
		at   float64
		want Shape
	}{
		{50, Shape{Phase: 0, RequestsPerSecond: 20, InputTokens: 100, OutputTokens: 10}},
		{150, Shape{Phase: 1, RequestsPerSecond: 60, InputTokens: 200, OutputTokens: 10}},
		{250, Shape{Phase: 1, RequestsPerSecond: 80, InputTokens: 300, OutputTokens: 10}},
		{320, Shape{Phase: 2, InputTokens: 300, OutputTokens: 10}},
		{400, Shape{Phase: 2, InputTokens: 300, OutputTokens: 10}},
	} {
		if diff := cmp.Diff(tc.want, p.ShapeAt(tc.at)); diff != "" {
			t.Errorf("at %v s: %s", tc.at, diff)
		}
	}
	counts := map[string]float64{}
	for _, r := range mustAll(t, p, 9) {
		switch s := r.At.Seconds(); {
		case s < 100:
			counts["first ramp"]++
		case s < 200:
			counts["second ramp"]++
		case s < 300:
			counts["plateau"]++
		default:
			counts["silence"]++
		}
	}
	within10Percent(t, "requests of the first ramp", counts["first ramp"], 2000)
	within10Percent(t, "requests of the second ramp", counts["second ramp"], 6000)
	within10Percent(t, "requests of the plateau", counts["plateau"], 8000)
	if counts["silence"] > 0 {
		t.Errorf("%v requests at rate 0", counts["silence"])
	}
}

func TestPhasesHaveBounds(t *testing.T) {
	p := &Profile{Phases: []Phase{{Name: "a", DurationSeconds: 1.5}, {Name: "b", DurationSeconds: 2}}}
	from, to := p.Bounds(1)
	if from != 1500*time.Millisecond || to != 3500*time.Millisecond || p.Duration() != to {
		t.Errorf("from %v to %v of %v", from, to, p.Duration())
	}
	if a, b, c := p.PhaseAt(0), p.PhaseAt(1500*time.Millisecond), p.PhaseAt(time.Hour); a != 0 || b != 1 || c != 1 {
		t.Errorf("phases %d, %d, %d; want 0, 1, 1", a, b, c)
	}
	if diff := cmp.Diff([]string{"a", "b"}, p.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestSeedAndStreams(t *testing.T) {
	a, b := steady(20, 60), steady(20, 60)
	if diff := cmp.Diff(mustAll(t, a, 5), mustAll(t, b, 5)); diff != "" {
		t.Errorf("equal seeds differ: %s", diff)
	}
	if cmp.Equal(mustAll(t, a, 5), mustAll(t, a, 6)) {
		t.Error("another seed gives the same requests")
	}
	b.Phases[0].OutputTokens = 900
	x, y := mustAll(t, a, 5), mustAll(t, b, 5)
	for i := range x {
		if x[i].At != y[i].At || x[i].InputTokens != y[i].InputTokens {
			t.Fatalf("request %d: other outputs moved the arrival or the input: %+v, %+v", i, x[i], y[i])
		}
	}
}

// Any valid profile gives requests in order, inside their phases, with lengths
// inside their limits.
func TestRequestsAreInOrderAndInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Profile{
			Lengths:        rapid.SampledFrom([]Family{Lognormal, Gamma}).Draw(t, "family"),
			ArrivalSCV:     rapid.Float64Range(0, 10).Draw(t, "arrivalSCV"),
			MaxInputTokens: rapid.IntRange(0, 500).Draw(t, "limit"),
		}
		for range rapid.IntRange(1, 4).Draw(t, "phases") {
			d := rapid.Float64Range(0.001, 20).Draw(t, "duration")
			p.Phases = append(p.Phases, Phase{
				DurationSeconds: d, RampSeconds: d * rapid.Float64Range(0, 1).Draw(t, "ramp"),
				RequestsPerSecond: rapid.Float64Range(0, 50).Draw(t, "rate"),
				InputTokens:       rapid.Float64Range(1, 1000).Draw(t, "in"), InputSCV: rapid.Float64Range(0, 8).Draw(t, "inSCV"),
				OutputTokens: rapid.Float64Range(1, 1000).Draw(t, "out"), CachedShare: rapid.Float64Range(0, 0.99).Draw(t, "cached"),
			})
		}
		all, err := All(p, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		last := time.Duration(0)
		for _, r := range all {
			from, to := p.Bounds(r.Phase)
			if r.At < last || r.At < from-1 || r.At > to+1 {
				t.Fatalf("a request of phase %d (%v to %v) at %v, after one at %v", r.Phase, from, to, r.At, last)
			}
			last = r.At
			if r.InputTokens < 1 || r.OutputTokens < 1 || r.CachedTokens < 0 || r.CachedTokens >= r.InputTokens {
				t.Fatalf("lengths of %+v", r)
			}
			if p.MaxInputTokens > 0 && r.InputTokens > p.MaxInputTokens {
				t.Fatalf("%d input tokens, the limit is %d", r.InputTokens, p.MaxInputTokens)
			}
		}
	})
}

func TestNextToNoVariationIsNone(t *testing.T) {
	for _, scv := range []float64{5e-324, 1e-300, 1e-17, 1e-7, 1e-6, 1e-3} {
		p := steady(20, 60)
		p.Lengths, p.ArrivalSCV, p.Phases[0].InputSCV, p.Phases[0].OutputSCV = Gamma, scv, scv, scv
		s, err := NewStream(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, ok := s.Next(); ok && n <= 1300; _, ok = s.Next() {
			n++
		}
		if n < 1150 || n > 1250 {
			t.Errorf("SCV %g: %d requests or more in a minute of 20 per second", scv, n)
		}
	}
}

func TestBadProfilesAreRefusedWithPlaceAndRange(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Profile)
		want   string
	}{
		"no phases":     {func(p *Profile) { p.Phases = nil }, "phases is empty"},
		"family":        {func(p *Profile) { p.Lengths = "uniform" }, `allowed are "lognormal" and "gamma"`},
		"arrival SCV":   {func(p *Profile) { p.ArrivalSCV = -1 }, "arrivalSCV is -1"},
		"limit":         {func(p *Profile) { p.MaxInputTokens = -1 }, "maxInputTokens"},
		"NaN rate":      {func(p *Profile) { p.Phases[0].RequestsPerSecond = math.NaN() }, "phases[0] (steady).requestsPerSecond is NaN; it must be from 0 to 100000"},
		"infinite":      {func(p *Profile) { p.Phases[0].DurationSeconds = math.Inf(1) }, "durationSeconds is +Inf"},
		"no duration":   {func(p *Profile) { p.Phases[0].DurationSeconds = 0 }, "it must be above 0"},
		"ramp too long": {func(p *Profile) { p.Phases[0].RampSeconds = 61 }, "rampSeconds is 61; it must be from 0 to 60"},
		"no tokens":     {func(p *Profile) { p.Phases[0].OutputTokens = 0.5 }, "outputTokens is 0.5; it must be from 1"},
		"all cached":    {func(p *Profile) { p.Phases[0].CachedShare = 1 }, "cachedShare is 1"},
	} {
		p := steady(1, 60)
		tc.change(p)
		_, err := NewStream(p, 1)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q in it", name, err, tc.want)
		}
	}
}

// Whatever a profile file holds, it is refused or it can be played.
func FuzzProfile(f *testing.F) {
	good, _ := json.Marshal(steady(3, 10))
	f.Add(good)
	f.Add([]byte(`{"phases":[{"durationSeconds":1e300,"requestsPerSecond":-1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Profile
		if json.Unmarshal(data, &p) != nil {
			return
		}
		s, err := NewStream(&p, 1)
		if err != nil {
			return
		}
		for range 100 {
			if _, ok := s.Next(); !ok {
				return
			}
		}
	})
}
