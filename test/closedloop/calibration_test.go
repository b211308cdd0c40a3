package closedloop

import (
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// TestCalibration: an engine whose decode steps take 1.3 of what the model says
// and whose prefill takes 0.8 of it, under a steady load. Three planners: one
// that knows the truth, one that corrects its model by what the replicas show,
// one that stays with the model.
func TestCalibration(t *testing.T) {
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		t.Fatal(err)
	}
	belief, err := perfmodel.NewBelief(model, gpu, perfmodel.Options{TP: 2})
	if err != nil {
		t.Fatal(err)
	}
	spec := seedSpec(t)
	spec.Prefill.Max, spec.Decode.Max, spec.BudgetGPUs = 24, 24, 96
	spec.TPOT.Ms = 22
	spec.Service = capacity.Service{Prefill: belief.Replica, Decode: belief.Replica}
	truth := spec.Service
	p, d := truth.Prefill.Prefill.Coefficients(), truth.Decode.Decode.Coefficients()
	for i := range p {
		p[i] *= 0.8
	}
	for i := range d {
		d[i] *= 1.3
	}
	truth.Prefill.Prefill, truth.Decode.Decode = truth.Prefill.Prefill.WithCoefficients(p), truth.Decode.Decode.WithCoefficients(d)
	profile := load.Profile{Name: "steady", Phases: []load.Phase{
		{Name: "learning", DurationSeconds: 600, RequestsPerSecond: 32, InputTokens: 3000, InputSCV: 1, OutputTokens: 350, OutputSCV: 1},
		{Name: "learnt", DurationSeconds: 1200, RequestsPerSecond: 32, InputTokens: 3000, InputSCV: 1, OutputTokens: 350, OutputSCV: 1},
	}}
	run := func(change func(*Scenario)) Result {
		s := Scenario{Spec: spec, Load: profile, Seed: 3, Prefill: 9, Decode: 8, Startup: 40 * time.Second, Drain: 30 * time.Second, StepNoise: 0.02, Truth: &truth, Belief: belief}
		change(&s)
		r, err := Run(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	type outcome struct{ ttft, tpot, prefill, decode float64 }
	from, to := profile.Bounds(1)
	judge := func(name string, r Result) outcome {
		var o outcome
		var n int
		o.ttft, o.tpot, n = r.Attained(from, to, spec.TTFT.Ms, spec.TPOT.Ms)
		late := r.Decisions[len(r.Decisions)/3:]
		for _, d := range late {
			o.prefill += float64(d.Prefill.To) / float64(len(late))
			o.decode += float64(d.Decode.To) / float64(len(late))
		}
		changes := 0
		for i := range late {
			if late[i].Prefill.To != late[i].Prefill.From || late[i].Decode.To != late[i].Decode.From {
				changes++
			}
		}
		t.Logf("%-22s TTFT %.1f %%, TPOT %.1f %% of %d requests; %.2f prefill and %.2f decode replicas on average, %d changes, %.2f GPU-hours",
			name, 100*o.ttft, 100*o.tpot, n, o.prefill, o.decode, changes, r.GPUSeconds/3600)
		return o
	}
	known := judge("knows the truth", run(func(s *Scenario) { s.Spec.Service = truth }))
	result := run(func(s *Scenario) { s.Calibrate = true })
	learnt := judge("learns it", result)
	prior := judge("stays with the model", run(func(*Scenario) {}))
	for _, role := range []planner.Role{planner.Prefill, planner.Decode} {
		o := result.Lessons[role]
		t.Logf("%s: %d intervals taught, %v were refused; steps take %.3f +- %.3f of the model's; error %.1f %% before and %.1f %% after", role, o.Used, o.Refused,
			o.InUse.StepRatio, o.InUse.Uncertainty, 100*o.InUse.PriorError, 100*o.InUse.LearntError)
	}
	if learnt.ttft < 0.95 || learnt.tpot < 0.95 {
		t.Errorf("with calibration %.1f %% keep the TTFT objective and %.1f %% the TPOT objective", 100*learnt.ttft, 100*learnt.tpot)
	}
	if off := learnt.prefill - known.prefill; off < -1 || off > 1 {
		t.Errorf("%.2f prefill replicas with calibration, %.2f with the truth", learnt.prefill, known.prefill)
	}
	if off := learnt.decode - known.decode; off < -1 || off > 1 {
		t.Errorf("%.2f decode replicas with calibration, %.2f with the truth", learnt.decode, known.decode)
	}
	if prior.tpot >= 0.95 || prior.prefill <= learnt.prefill {
		t.Errorf("the model alone keeps the TPOT objective for %.1f %% with %.2f prefill replicas: this test shows nothing", 100*prior.tpot, prior.prefill)
	}
}
