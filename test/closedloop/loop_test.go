package closedloop

import (
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// seedSpec is the running example: Qwen3-32B, TP 2 on H200, a cap of 12 GPUs.
func seedSpec(t testing.TB) planner.Spec {
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
	return planner.Spec{
		Prefill:    planner.RoleSpec{Min: 1, Max: 6, GPUsPerReplica: 2},
		Decode:     planner.RoleSpec{Min: 1, Max: 6, GPUsPerReplica: 2},
		Service:    capacity.Service{Prefill: replica, Decode: replica},
		TTFT:       capacity.Objective{Quantile: 0.95, Ms: 2000},
		TPOT:       capacity.Objective{Quantile: 0.95, Ms: 40},
		BudgetGPUs: 12,
		Behavior: planner.Behavior{IntervalSeconds: 10, DownWindowSeconds: 180, Headroom: 0.1, Tolerance: 0.1, MaxAgeSeconds: 60,
			StartupSeconds: 40, StartTimeoutSeconds: 300, BreachSeconds: 60},
		Rebalance: planner.Rebalance{Enabled: true, WindowSeconds: 60, DrainTimeoutSeconds: 120, StartTimeoutSeconds: 200, CooldownSeconds: 120},
	}
}

// TestSwing is the running example's hour: quiet, a surge of prefill, one of
// decode that only a move of GPUs can serve, and a lull.
func TestSwing(t *testing.T) {
	profile := load.Profile{Name: "swing", Phases: []load.Phase{
		{Name: "quiet", DurationSeconds: 600, RequestsPerSecond: 1.5, InputTokens: 1500, InputSCV: 1, OutputTokens: 200, OutputSCV: 1},
		{Name: "prefill surge", DurationSeconds: 900, RampSeconds: 120, RequestsPerSecond: 5, InputTokens: 6000, InputSCV: 0.5, OutputTokens: 80, OutputSCV: 1},
		{Name: "decode surge", DurationSeconds: 900, RampSeconds: 120, RequestsPerSecond: 14, InputTokens: 400, InputSCV: 1, OutputTokens: 1200, OutputSCV: 0.5},
		{Name: "lull", DurationSeconds: 600, RampSeconds: 60, RequestsPerSecond: 0.5, InputTokens: 800, InputSCV: 1, OutputTokens: 150, OutputSCV: 1},
	}}
	spec := seedSpec(t)
	r, err := Run(Scenario{Spec: spec, Load: profile, Seed: 1, Prefill: 2, Decode: 1, Startup: 40 * time.Second, Drain: 30 * time.Second, StepNoise: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	last := [2]int{}
	for i, d := range r.Decisions {
		if now := [2]int{d.Prefill.To, d.Decode.To}; now != last || d.Move != nil && d.Move.PhaseSince.Equal(d.At) || d.Ended != nil {
			t.Logf("%5ds %dP%dD held %2d: %s | %s %s", i*10, now[0], now[1], r.Held[i], d.Summary, d.Prefill.Because, d.Decode.Because)
			last = now
		}
	}
	for i, p := range profile.Phases {
		from, to := profile.Bounds(i)
		ttft, tpot, n := r.Attained(from, to, spec.TTFT.Ms, spec.TPOT.Ms)
		t.Logf("%-14s %5d requests, TTFT %.1f %%, TPOT %.1f %%", p.Name, n, 100*ttft, 100*tpot)
		// The ramps are inside the phases: what a replica's cold start costs counts.
		if n == 0 || ttft < 0.90 || tpot < 0.95 {
			t.Errorf("%s: %.1f %% kept the TTFT objective, %.1f %% the TPOT objective", p.Name, 100*ttft, 100*tpot)
		}
	}
	if r.MaxGPUs > spec.BudgetGPUs {
		t.Errorf("%d GPUs were held, the budget is %d", r.MaxGPUs, spec.BudgetGPUs)
	}
	if r.Moves == 0 {
		t.Error("no GPUs moved, though the decode surge needs prefill's")
	}
	if end := r.Decisions[len(r.Decisions)-1]; end.Prefill.To != 1 || end.Decode.To != 1 {
		t.Errorf("the lull ends with %d prefill and %d decode replicas, not the minimum", end.Prefill.To, end.Decode.To)
	}
	t.Logf("%.2f GPU-hours, %d moves, at most %d GPUs", r.GPUSeconds/3600, r.Moves, r.MaxGPUs)
}
