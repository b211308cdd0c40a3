package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

const tight = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2, max: 4}
decode: {tp: 2, max: 4}
traffic: {generator: {duration: 20m, rate: 14, input: {mean: 1500, scv: 1}, output: {mean: 300, scv: 0.5}}}
slo: {ttft: {p95: 1s}, tpot: {p95: 25ms}}
policies: [static, dynamo, oracle]
`

// The tuned report is the cheapest setting of those tried that attains the target, and for static the cheapest of all pairs.
func TestFrontierFindsTheCheapest(t *testing.T) {
	const target = 0.98
	s := build(t, tight, Options{})
	r, err := s.Frontier(t.Context(), time.Now, target)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Policies {
		if len(p.Frontier) == 0 {
			t.Fatalf("%s: nothing was tried", p.Name)
		}
		cheapest := 0.0
		for _, point := range p.Frontier {
			if point.Attainment >= target && (cheapest == 0 || point.GPUHours < cheapest) {
				cheapest = point.GPUHours
			}
		}
		if cheapest > 0 && (p.GPUHours != cheapest || p.Attainment < target) {
			t.Errorf("%s: %v GPU-hours at %v were chosen, %v would do", p.Name, p.GPUHours, p.Attainment, cheapest)
		}
		if p.Regret != nil && p.Attainment < target {
			t.Errorf("%s: a regret at %v", p.Name, p.Attainment)
		}
	}
	best, pair := 0.0, policy.Counts{}
	for p := 1; p <= 4; p++ {
		for d := 1; d <= 4; d++ {
			one := *s
			one.Setup.Start = policy.Counts{Prefill: p, Decode: d}
			one.Engine.Prefill.Replicas, one.Engine.Decode.Replicas = p, d
			r, err := one.play(t.Context(), "static", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r.Attainment >= target && (best == 0 || r.GPUHours < best) {
				best, pair = r.GPUHours, one.Setup.Start
			}
		}
	}
	if got := r.Policies[0].GPUHours; best == 0 || got != best {
		t.Errorf("static takes %v GPU-hours, the cheapest of all pairs is %+v with %v", got, pair, best)
	}
}

// A policy whose need lies between two settings of the grid does not pay for its width.
func TestFrontierTriesSettingsBetween(t *testing.T) {
	const target = 0.6
	s := build(t, tight, Options{Policies: []string{"closed-form", "pdautoscaler", "kpa"}})
	r, err := s.Frontier(t.Context(), time.Now, target)
	if err != nil {
		t.Fatal(err)
	}
	finer := 0
	for _, p := range r.Policies {
		least := slices.IndexFunc(p.Frontier[:len(knobs)], func(point Point) bool { return point.Attainment >= target })
		if least <= 0 {
			continue // of no setting, or of the leanest
		}
		finer++
		if len(p.Frontier) != len(knobs)+between {
			t.Errorf("%s: %d settings were tried, want %d and %d between two of them", p.Name, len(p.Frontier), len(knobs), between)
		}
		for _, point := range p.Frontier[len(knobs):] {
			if slices.Contains(knobs, point.Knob) {
				t.Errorf("%s: %g was tried twice", p.Name, point.Knob)
			}
		}
	}
	if finer == 0 {
		t.Error("no policy attains the target at another setting than the leanest: the test has no subject")
	}
}

// No pair beyond the budget is reported, and of those within it the one that attains most.
func TestFrontierKeepsTheBudget(t *testing.T) {
	s := build(t, tight+"budget: {gpus: 6}\n", Options{Policies: []string{"static"}})
	r, err := s.Frontier(t.Context(), time.Now, 0.9999)
	if err != nil {
		t.Fatal(err)
	}
	best := 0.0
	for _, c := range []policy.Counts{{Prefill: 1, Decode: 2}, {Prefill: 2, Decode: 1}} {
		one := *s
		one.Setup.Start, one.Engine.Prefill.Replicas, one.Engine.Decode.Replicas = c, c.Prefill, c.Decode
		r, err := one.play(t.Context(), "static", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		best = max(best, r.Attainment)
	}
	if p := r.Policies[0]; p.MaxGPUs > 6 || p.Attainment != best || p.Regret != nil {
		t.Errorf("%+v, the best pair within the budget attains %v", p, best)
	}
}

// None that attains the target takes less than the oracle.
func TestNoPolicyBeatsTheOracle(t *testing.T) {
	const target = 0.97
	for name, traffic := range map[string]string{
		"sine":  "{duration: 20m, curve: sine, rate: 8, amplitude: 6, period: 10m, input: {mean: 1500, scv: 1}, output: {mean: 300, scv: 0.5}}",
		"swing": "{duration: 20m, rate: 8, input: {mean: 3000, scv: 1}, output: {mean: 100, scv: 0.5}, other: {input: {mean: 300, scv: 1}, output: {mean: 900, scv: 0.5}}, swingPeriod: 10m}",
	} {
		s := build(t, strings.Replace(strings.Replace(tight, "{duration: 20m, rate: 14, input: {mean: 1500, scv: 1}, output: {mean: 300, scv: 0.5}}", traffic, 1),
			"[static, dynamo, oracle]", "[static, dynamo, pdautoscaler, tokenscale, rbg-planner, oracle]", 1), Options{})
		r, err := s.Frontier(t.Context(), time.Now, target)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Policies {
			if p.Regret != nil && *p.Regret < 0 {
				t.Errorf("%s: %s takes %v GPU-hours, %v %% less than the oracle", name, p.Name, p.GPUHours, -100**p.Regret)
			}
			if p.Attainment >= target && p.Regret == nil {
				t.Errorf("%s: %s attains %v and has no regret", name, p.Name, p.Attainment)
			}
		}
	}
}

// The oracle follows another's schedule where that is the cheapest.
func TestOracleForesees(t *testing.T) {
	r := Report{Target: 0.99, Policies: []PolicyReport{
		{Name: "dynamo", Attainment: 0.992, GPUHours: 9, Knob: 1.2},
		{Name: "static", Attainment: 0.95, GPUHours: 5},
		{Name: "oracle", Attainment: 0.999, GPUHours: 10, Frontier: []Point{{Knob: 1, Attainment: 0.999, GPUHours: 10}}},
	}}
	r.foresee()
	o := r.Policies[2]
	if o.Name != "oracle" || o.ScheduleOf != "dynamo" || o.GPUHours != 9 || len(o.Frontier) != 2 || r.Policies[0].Name != "dynamo" {
		t.Errorf("%+v", r.Policies)
	}
	r.foresee()
	if again := r.Policies[2]; again.ScheduleOf != "dynamo" || len(again.Frontier) != 2 {
		t.Errorf("a second look changed the oracle: %+v", again)
	}
}

// A target that none reaches gives the most that is attained, and no regret.
func TestFrontierOutOfReach(t *testing.T) {
	s := build(t, strings.Replace(tight, "max: 4", "max: 1", 2)+"budget: {gpus: 4}\n", Options{})
	r, err := s.Frontier(t.Context(), time.Now, 0.999)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Policies {
		if p.Regret != nil || p.Attainment >= 0.999 || p.MaxGPUs > 4 {
			t.Errorf("%+v", p)
		}
	}
	for _, target := range []float64{0, 1, -1} {
		if _, err := s.Frontier(t.Context(), time.Now, target); err == nil || !strings.Contains(err.Error(), "target attainment") {
			t.Errorf("target %v: %v", target, err)
		}
	}
}
