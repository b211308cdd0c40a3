package stage

import (
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/closedloop"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// The demo's story plays well under a fake clock, with perfect metrics: what fails here cannot hold in the demo. It takes
// a second where the demo takes four minutes.
func TestDemoStoryUnderAFakeClock(t *testing.T) {
	told := story.Demo()
	for seed := uint64(1); seed <= 3; seed++ {
		cfg, err := Engine(seed)
		if err != nil {
			t.Fatal(err)
		}
		result, err := closedloop.Run(closedloop.Scenario{
			Spec: plannerSpec(cfg), Load: told.Load, Seed: seed, Prefill: FirstPrefill, Decode: FirstDecode,
			Startup: coldStart, Drain: drain, Window: signalsWindow, StepNoise: stepNoise,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, act := range told.Acts {
			a := engine.Attain(act.Name, result.Records, Objectives, func(r *engine.Record) bool { return r.Phase == act.Judged })
			if !a.Met() {
				t.Errorf("seed %d, %s: TTFT within its objective %.3f, TPOT %.3f", seed, act.Name, a.TTFT.Share, a.TPOT.Share)
			}
		}
		if result.MaxGPUs > BudgetGPUs {
			t.Errorf("seed %d: %d GPUs were held, the budget is %d", seed, result.MaxGPUs, BudgetGPUs)
		}
		if result.Moves == 0 {
			t.Errorf("seed %d: no GPUs were moved", seed)
		}
	}
}

// plannerSpec is what the controller makes of the example's resource.
func plannerSpec(cfg engine.Config) planner.Spec {
	role := planner.RoleSpec{Min: 1, Max: maxReplicas, GPUsPerReplica: GPUsPerReplica}
	return planner.Spec{
		Prefill: role, Decode: role, Service: cfg.Service, TTFT: Objectives.TTFT, TPOT: Objectives.TPOT, BudgetGPUs: BudgetGPUs,
		Behavior: planner.Behavior{
			IntervalSeconds: planner.Seconds(interval.Seconds()), DownWindowSeconds: planner.Seconds(scaleDownWindow.Seconds()), Headroom: 0.1, Tolerance: 0.1,
			MaxAgeSeconds: planner.Seconds(maxAge.Seconds()), StartupSeconds: planner.Seconds(coldStart.Seconds()),
			StartTimeoutSeconds: planner.Seconds(startTimeout.Seconds()), BreachSeconds: planner.Seconds(breachTime.Seconds()),
		},
		Rebalance: planner.Rebalance{
			Enabled: true, WindowSeconds: planner.Seconds(rebalanceWindow.Seconds()), DrainTimeoutSeconds: planner.Seconds(startTimeout.Seconds()),
			StartTimeoutSeconds: planner.Seconds(startTimeout.Seconds()), CooldownSeconds: planner.Seconds(cooldown.Seconds()),
		},
	}
}
