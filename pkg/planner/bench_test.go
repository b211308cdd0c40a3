package planner

import (
	"fmt"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// BenchmarkPlan measures one decision in the costliest state there is: both
// roles want more than the budget holds, windows and series full.
func BenchmarkPlan(b *testing.B) {
	for _, budget := range []int{12, 64, 1024} {
		b.Run(fmt.Sprintf("budget=%d", budget), func(b *testing.B) {
			spec := testSpec()
			spec.BudgetGPUs = budget
			gpus := 2
			if budget >= 1024 {
				gpus = 1
				model, _ := perfmodel.LookupModel("qwen3-32b")
				gpu, _ := perfmodel.LookupGPU("h200")
				replica, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: 1})
				if err != nil {
					b.Fatal(err)
				}
				spec.Service.Prefill, spec.Service.Decode = replica, replica
			}
			for _, role := range []Role{Prefill, Decode} {
				r := spec.role(role)
				r.GPUsPerReplica, r.Max = gpus, budget/gpus
			}
			w := newWorld(spec, budget/gpus/2, budget/gpus/2)
			rate := 1.2 * float64(budget)
			for range 100 {
				w.step(load{rate: rate, input: 3000, output: 400})
			}
			in := Input{Spec: spec, Snapshot: w.snapshot(load{rate: rate, input: 3000, output: 400}), Memory: w.mem, Now: w.now.Add(time.Second)}
			b.ReportAllocs()
			for b.Loop() {
				Plan(in)
			}
		})
	}
}
