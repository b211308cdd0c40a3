package engine

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// twoSurges is four minutes of quiet, a prefill-heavy and a decode-heavy surge, and a lull.
var twoSurges = load.Profile{Phases: []load.Phase{
	{Name: "quiet", DurationSeconds: 40, RequestsPerSecond: 2, InputTokens: 800, InputSCV: 1, OutputTokens: 150, OutputSCV: 0.5},
	{Name: "prefill", DurationSeconds: 70, RampSeconds: 10, RequestsPerSecond: 7, InputTokens: 2500, InputSCV: 0.5, OutputTokens: 60, OutputSCV: 0.5},
	{Name: "decode", DurationSeconds: 80, RampSeconds: 10, RequestsPerSecond: 9, InputTokens: 500, InputSCV: 0.5, OutputTokens: 600, OutputSCV: 0.5},
	{Name: "lull", DurationSeconds: 50, RampSeconds: 5, RequestsPerSecond: 1, InputTokens: 500, OutputTokens: 100},
}}

var objectives = Objectives{
	TTFT: capacity.Objective{Quantile: 0.9, Ms: 1500},
	TPOT: capacity.Objective{Quantile: 0.9, Ms: 40},
}

func TestCheapestFixedHasNoCheaperPairThatMeets(t *testing.T) {
	cfg := Config{Service: service(), Seed: 1, StepNoise: 0.02}
	best, tried, err := CheapestFixed(cfg, &twoSurges, 1, 24, objectives, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cheapest: %d prefill, %d decode, %.2f GPU-hours, after %d pairs", best.Prefill, best.Decode, best.GPUHours, len(tried))
	if !best.Whole.Met() {
		t.Errorf("the cheapest does not meet the objectives: %+v", best.Whole)
	}
	for prefill := 1; prefill < 12; prefill++ {
		for decode := 1; 2*(prefill+decode) < best.GPUs; decode++ {
			f, err := RunFixed(cfg, &twoSurges, 1, prefill, decode, objectives)
			if err != nil {
				t.Fatal(err)
			}
			if f.Whole.Met() {
				t.Errorf("%d prefill and %d decode take %d GPUs and meet the objectives; the cheapest found takes %d", prefill, decode, f.GPUs, best.GPUs)
			}
		}
	}
	if total := best.Phases[0].Requests + best.Phases[1].Requests + best.Phases[2].Requests + best.Phases[3].Requests; total != best.Whole.Requests || total < 1000 {
		t.Errorf("the phases have %d requests, the whole %d", total, best.Whole.Requests)
	}
	again, _, _ := CheapestFixed(cfg, &twoSurges, 1, 24, objectives, nil)
	if diff := cmp.Diff(best, again); diff != "" {
		t.Errorf("the same search gives something else: %s", diff)
	}
}

func TestCheapestFixedSaysThatNoneMeets(t *testing.T) {
	o := objectives
	o.TTFT.Ms = 1 // shorter than any prefill
	_, tried, err := CheapestFixed(Config{Service: service()}, &twoSurges, 1, 8, o, nil)
	if !errors.Is(err, ErrNoneMeets) || len(tried) != 6 {
		t.Errorf("%v after %d pairs, want ErrNoneMeets after all 6 of at most 8 GPUs", err, len(tried))
	}
	if _, err := RunFixed(Config{Service: service()}, &twoSurges, 1, 0, 1, o); err == nil {
		t.Error("a service without prefill was accepted")
	}
}

// The whole search for the cheapest pair has to fit into the demo's last second.
func BenchmarkRunFixed(b *testing.B) {
	cfg := Config{Service: service(), Seed: 1, StepNoise: 0.02}
	for b.Loop() {
		f, err := RunFixed(cfg, &twoSurges, 1, 4, 4, objectives)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(f.Whole.Requests), "requests")
	}
}
