package policy

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

func setup(t testing.TB, tr *trace.Trace) *Setup {
	t.Helper()
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		t.Fatal(err)
	}
	replica, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: 2})
	if err != nil {
		t.Fatal(err)
	}
	role := planner.RoleSpec{Min: 1, Max: 16, GPUsPerReplica: 2}
	return &Setup{
		Start: Counts{2, 1}, PrefillStartup: 100 * time.Second, DecodeStartup: 120 * time.Second, Traffic: tr,
		Spec: planner.Spec{
			Prefill: role, Decode: role,
			Service:    capacity.Service{Prefill: replica, Decode: replica, MaxSequences: 256},
			TTFT:       capacity.Objective{Quantile: 0.95, Ms: 2000},
			TPOT:       capacity.Objective{Quantile: 0.95, Ms: 40},
			BudgetGPUs: 32,
			Behavior: planner.Behavior{IntervalSeconds: 15, DownWindowSeconds: 300, Tolerance: 0.1, MaxAgeSeconds: 60,
				StartupSeconds: 120, StartTimeoutSeconds: 900, BreachSeconds: 60},
			Rebalance: planner.Rebalance{Enabled: true, WindowSeconds: 60, DrainTimeoutSeconds: 600, StartTimeoutSeconds: 900, CooldownSeconds: 600},
		},
	}
}

func traffic(t testing.TB, g trace.Generator) *trace.Trace {
	t.Helper()
	tr, err := trace.Generate(g, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// wave goes from 2 to 22 requests/s and back twice in an hour.
func wave(t testing.TB) *trace.Trace {
	return traffic(t, trace.Generator{Duration: time.Hour, Curve: trace.Sine, Period: 30 * time.Minute, RequestsPerSecond: 12, AmplitudePerSecond: 10,
		Shape: trace.Shape{Input: trace.Tokens{Mean: 2000, SCV: 1}, Output: trace.Tokens{Mean: 300, SCV: 0.6}}})
}

func play(t testing.TB, name string, s *Setup, tr *trace.Trace, readings Readings) Result {
	t.Helper()
	p, err := New(name, s)
	if err != nil {
		t.Fatal(err)
	}
	return playPolicy(t, name, p, s, tr, readings)
}

func playPolicy(t testing.TB, name string, p Policy, s *Setup, tr *trace.Trace, readings Readings) Result {
	t.Helper()
	grace := 3 * time.Minute
	r, err := Play(Run{
		Engine: des.Config{Service: s.Spec.Service,
			Prefill:    des.Pool{Replicas: s.Start.Prefill, Startup: s.PrefillStartup, Grace: grace},
			Decode:     des.Pool{Replicas: s.Start.Decode, Startup: s.DecodeStartup, Grace: grace},
			Objectives: des.Objectives{TTFTMs: s.Spec.TTFT.Ms, TPOTMs: s.Spec.TPOT.Ms}},
		Source: tr.Source(), Duration: tr.Duration(), Readings: readings, Setup: s, Unlimited: name == "pdautoscaler",
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every policy follows a wave within the limits, repeatably, and is no cheaper than the bound.
func TestPoliciesFollowAWave(t *testing.T) {
	tr := wave(t)
	for _, name := range Names() {
		s := setup(t, tr)
		r := play(t, name, s, tr, Readings{Noise: 0.02})
		bound := LowerBound(tr, &s.Spec, r.Outcome.Attainment(), tr.Duration())
		t.Logf("%-13s attained %5.1f %%, %6.2f GPU-hours (bound %.2f), at most %2d GPUs, %3d up, %3d down, %d moves", name,
			100*r.Outcome.Attainment(), r.GPUHours, bound, r.MaxGPUs, r.ScaleUps, r.ScaleDown, r.Moves)
		if r.MaxGPUs > s.Spec.BudgetGPUs {
			t.Errorf("%s held %d GPUs, the budget is %d", name, r.MaxGPUs, s.Spec.BudgetGPUs)
		}
		if r.GPUHours < bound {
			t.Errorf("%s took %.3f GPU-hours, no policy can take less than %.3f", name, r.GPUHours, bound)
		}
		if by := r.Hours; math.Abs(by.Prefill+by.Decode-r.GPUHours) > 0.02*r.GPUHours || by.Starting+by.Draining > r.GPUHours {
			t.Errorf("%s took %.3f GPU-hours, by role and state %+v", name, r.GPUHours, by)
		}
		if int(r.Outcome.Requests) != tr.Len() {
			t.Errorf("%s: %d of %d requests arrived", name, r.Outcome.Requests, tr.Len())
		}
		for _, c := range r.Changes {
			if c.To.Prefill < 1 || c.To.Prefill > 16 || c.To.Decode < 1 || c.To.Decode > 16 {
				t.Fatalf("%s asked for %+v", name, c)
			}
		}
		if name != "static" && r.ScaleUps == 0 {
			t.Errorf("%s never scaled up", name)
		}
		again := play(t, name, setup(t, tr), tr, Readings{Noise: 0.02})
		if diff := cmp.Diff(r.Changes, again.Changes); diff != "" {
			t.Errorf("%s is not repeatable: %s", name, diff)
		}
	}
}

// In an outage readings grow old: the planner and those who hold keep their counts, and rbg-planner shrinks to the minimum.
func TestOutageIsNoZero(t *testing.T) {
	tr := traffic(t, trace.Generator{Duration: 40 * time.Minute, RequestsPerSecond: 20,
		Shape: trace.Shape{Input: trace.Tokens{Mean: 2000, SCV: 1}, Output: trace.Tokens{Mean: 300, SCV: 0.6}}})
	outage := Outage{At: 20 * time.Minute, For: 12 * time.Minute}
	for _, tc := range []struct {
		name    string
		shrinks bool
	}{{"pdautoscaler", false}, {"hpa-gpu", false}, {"dynamo", false}, {"wva", false}, {"rbg-planner", true}} {
		r := play(t, tc.name, setup(t, tr), tr, Readings{Outages: []Outage{outage}})
		shrank := slices.ContainsFunc(r.Changes, func(c Change) bool {
			stale := outage.At + time.Minute // by then the last scrape is older than readings may be
			return c.At >= stale && c.At < outage.At+outage.For && (c.To.Prefill < c.From.Prefill || c.To.Decode < c.From.Decode)
		})
		if shrank != tc.shrinks {
			t.Errorf("%s: shrank in the outage: %v, want %v", tc.name, shrank, tc.shrinks)
		}
	}
}

func TestReadingsAreThoseOfTheService(t *testing.T) {
	tr := traffic(t, trace.Generator{Duration: 10 * time.Minute, RequestsPerSecond: 20,
		Shape: trace.Shape{Input: trace.Tokens{Mean: 1000, SCV: 1}, Output: trace.Tokens{Mean: 200, SCV: 0.5}, CachedShare: 0.25}})
	s := setup(t, tr)
	e, err := des.New(des.Config{Service: s.Spec.Service, Prefill: des.Pool{Replicas: 4}, Decode: des.Pool{Replicas: 2}}, tr.Source())
	if err != nil {
		t.Fatal(err)
	}
	m := newMeter(Readings{Window: 5 * time.Minute}, time.Minute)
	if got := m.signals(&s.Spec, epoch); got.RequestsPerSecond.Ok() {
		t.Errorf("a rate without scrapes: %+v", got.RequestsPerSecond)
	}
	for at := time.Duration(0); at <= 8*time.Minute; at += 15 * time.Second {
		e.Advance(at)
		m.scrape(e)
	}
	got := m.signals(&s.Spec, epoch)
	for what, pair := range map[string][2]float64{
		"rate":   {got.RequestsPerSecond.Value, 20},
		"input":  {got.InputTokens.Value, 1000},
		"output": {got.OutputTokens.Value, 200},
		"cached": {got.CachedShare.Value, 0.25},
		// Busy shares: 20/s of 750 tokens on 4, and decode is always at work.
		"tensor": {got.PrefillTensorActive.Value / s.Spec.Service.Prefill.BusyActivity.PrefillTensorActive, 20 * s.Spec.Service.Prefill.Prefill.StepMs(750, 250) / 4000},
		"DRAM":   {got.DecodeDRAMActive.Value / s.Spec.Service.Decode.BusyActivity.DecodeDRAMActive, 1},
	} {
		if math.Abs(pair[0]/pair[1]-1) > 0.1 {
			t.Errorf("%s is %.4g, want about %.4g", what, pair[0], pair[1])
		}
	}
	if at := epoch.Add(8 * time.Minute); !got.RequestsPerSecond.At.Equal(at) {
		t.Errorf("the rate is of %v, the last scrape was at %v", got.RequestsPerSecond.At, at)
	}
	outcome := e.Outcome()
	if want := outcome.TTFT.QuantileMs(0.95); got.TTFTMs.LowMs > want || got.TTFTMs.HighMs < want {
		t.Errorf("TTFT p95 is read as within %v and %v ms, it is %v", got.TTFTMs.LowMs, got.TTFTMs.HighMs, want)
	}
}

// HPA's own arithmetic.
func TestHorizontalPodAutoscaler(t *testing.T) {
	var a autoscaler
	for _, step := range []struct {
		at    time.Duration
		now   int
		share float64
		want  int
	}{
		{0, 4, 1.05, 4},                 // within the tolerance
		{15 * time.Second, 4, 1.5, 6},   // ceil(4*1.5)
		{30 * time.Second, 6, 10, 12},   // at most twice, or four more
		{45 * time.Second, 12, 0.5, 12}, // 60 had been recommended
		{400 * time.Second, 12, 0.5, 6},
	} {
		if got := a.toward(step.at, step.now, step.now, step.share); got != step.want {
			t.Errorf("at %v: %d replicas, want %d", step.at, got, step.want)
		}
	}
}

func TestUnknownPoliciesAreRefused(t *testing.T) {
	_, err := New("magic", setup(t, nil))
	if err == nil || !strings.Contains(err.Error(), `policy "magic" is unknown; allowed are aibrix-apa, blitzscale, closed-form, dopd`) {
		t.Error(err)
	}
	if _, err := New("oracle", setup(t, nil)); err == nil {
		t.Error("an oracle without traffic was accepted")
	}
}
