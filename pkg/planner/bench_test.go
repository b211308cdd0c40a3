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
		in := busyInput(b, budget)
		plan := func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Plan(in)
			}
		}
		b.Run(fmt.Sprintf("budget=%d", budget), plan)
		// Where the service has corrected its model, the prior is asked as well.
		in.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: 0.7}
		in.Spec.Service.Prefill, in.Spec.Service.Decode = corrected(in.Spec.Service.Prefill, 0.8), corrected(in.Spec.Service.Decode, 1.1)
		b.Run(fmt.Sprintf("corrected/budget=%d", budget), plan)
	}
}

// busyInput is such a service, with so many GPUs.
func busyInput(b *testing.B, budget int) Input {
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
	l := load{rate: 1.2 * float64(budget), input: 3000, output: 400}
	for range 100 {
		w.step(l)
	}
	return Input{Spec: spec, Snapshot: w.snapshot(l), Memory: w.mem, Now: w.now.Add(time.Second)}
}
