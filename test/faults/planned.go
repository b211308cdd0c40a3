package faults

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// The service of every sequence: the running example, with times that fit into a test.
const (
	RolePrefill = rbgfake.RolePrefill
	RoleDecode  = rbgfake.RoleDecode

	Budget         = 12 // GPUs
	GPUsPerReplica = 2
	MaxReplicas    = 5
	groupName      = "dynamo-pd"
	modelName      = "Qwen3-32B"
	gpuName        = "H200"

	interval        = time.Second // the shortest that the API allows
	downWindow      = 3 * time.Second
	rebalanceWindow = 2 * time.Second
	startupTime     = time.Second
	startTimeout    = 10 * time.Second // a busy machine takes its time to start a pod that is sound
	drainTimeout    = 4 * time.Second
	cooldown        = 3 * time.Second
	maxAge          = 30 * time.Second
)

// autoscaler is the resource of a sequence.
func autoscaler(namespace string, drain bool) *v1alpha1.PDAutoscaler {
	pda := &v1alpha1.PDAutoscaler{}
	pda.Namespace, pda.Name = namespace, "qwen"
	pda.Spec = v1alpha1.PDAutoscalerSpec{
		Mode:   v1alpha1.ModeAuto,
		Target: v1alpha1.TargetReference{Name: groupName},
		Roles: v1alpha1.Roles{
			Prefill: v1alpha1.PrefillRole{Name: RolePrefill, ScaledRole: v1alpha1.ScaledRole{Max: MaxReplicas}},
			Decode:  v1alpha1.DecodeRole{Name: RoleDecode, ScaledRole: v1alpha1.ScaledRole{Max: MaxReplicas}},
		},
		Model: v1alpha1.Model{Name: modelName},
		GPU:   gpuName,
		SLO: v1alpha1.SLO{
			TTFT: v1alpha1.Objective{Target: v1alpha1.Every(2 * time.Second)},
			TPOT: v1alpha1.Objective{Target: v1alpha1.Every(50 * time.Millisecond)},
		},
		Budget: &v1alpha1.Budget{GPUs: Budget},
		Behavior: v1alpha1.Behavior{
			Interval: v1alpha1.Every(interval), ScaleDownWindow: v1alpha1.Every(downWindow), MaxAge: v1alpha1.Every(maxAge),
			StartupTime: v1alpha1.Every(startupTime), StartTimeout: v1alpha1.Every(startTimeout),
		},
		Rebalance: v1alpha1.Rebalance{
			Window: v1alpha1.Every(rebalanceWindow), DrainTimeout: v1alpha1.Every(drainTimeout),
			StartTimeout: v1alpha1.Every(startTimeout), Cooldown: v1alpha1.Every(cooldown),
		},
	}
	if drain {
		pda.Spec.Behavior.Drain = &v1alpha1.Drain{Deadline: v1alpha1.Every(time.Second), DrainHook: v1alpha1.DrainHook{Label: &v1alpha1.PodMark{Key: "example.com/draining"}}}
	}
	pda.Default()
	return pda
}

// ideal is a service that obeys at once and never fails, under a clock of its own.
type ideal struct {
	spec planner.Spec
	now  time.Time
}

// newIdeal says the resource's spec once more, in the planner's words.
func newIdeal(pda *v1alpha1.PDAutoscaler) (*ideal, error) {
	model, err := perfmodel.LookupModel(pda.Spec.Model.Name)
	if err != nil {
		return nil, err
	}
	gpu, err := perfmodel.LookupGPU(pda.Spec.GPU)
	if err != nil {
		return nil, err
	}
	replica, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: GPUsPerReplica, MemoryFraction: float64(pda.Spec.Model.MemoryPercent) / 100})
	if err != nil {
		return nil, err
	}
	role := planner.RoleSpec{Min: 1, Max: MaxReplicas, GPUsPerReplica: GPUsPerReplica}
	objective := func(o v1alpha1.Objective) capacity.Objective {
		return capacity.Objective{Quantile: float64(o.Percentile) / 100, Ms: o.Target.Seconds() * 1000}
	}
	b := &pda.Spec.Behavior
	return &ideal{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), spec: planner.Spec{
		Prefill: role, Decode: role,
		Service: capacity.Service{Prefill: replica, Decode: replica, TTFTEndsAt: capacity.TTFTEnd(pda.Spec.SLO.TTFTEndsAt), MaxSequences: int(pda.Spec.Roles.Decode.MaxSequences)},
		TTFT:    objective(pda.Spec.SLO.TTFT), TPOT: objective(pda.Spec.SLO.TPOT),
		Behavior: planner.Behavior{
			IntervalSeconds: planner.Seconds(interval.Seconds()), DownWindowSeconds: planner.Seconds(downWindow.Seconds()),
			Headroom: float64(*b.HeadroomPercent) / 100, Tolerance: float64(b.TolerancePercent) / 100, MaxAgeSeconds: planner.Seconds(maxAge.Seconds()),
			StartupSeconds: planner.Seconds(startupTime.Seconds()), StartTimeoutSeconds: planner.Seconds(startTimeout.Seconds()), BreachSeconds: 60,
		},
		Rebalance: planner.Rebalance{
			Enabled: true, WindowSeconds: planner.Seconds(rebalanceWindow.Seconds()), DrainTimeoutSeconds: planner.Seconds(drainTimeout.Seconds()),
			StartTimeoutSeconds: planner.Seconds(startTimeout.Seconds()), CooldownSeconds: planner.Seconds(cooldown.Seconds()),
		},
	}}, nil
}

// planned is where a demand comes to rest within a budget, if that is the same from every start.
func (w *ideal) planned(d Demand, budget int) (Counts, bool) {
	var rest Counts
	most := budget/GPUsPerReplica - 1
	for i, start := range []Counts{{1, 1}, {most, 1}, {1, most}, {(most + 1) / 2, (most + 1) / 2}} {
		at, ok := w.settle(d, budget, start)
		if !ok || i > 0 && at != rest {
			return Counts{}, false
		}
		rest = at
	}
	return rest, true
}

// Rounds that a service is given to come to rest, and in which nothing may change then.
const (
	roundsToSettle = 25
	roundsAtRest   = 15
)

func (w *ideal) settle(d Demand, budget int, at Counts) (Counts, bool) {
	spec := w.spec
	spec.BudgetGPUs = budget
	var memory planner.Memory
	now, still := w.now, 0
	for range roundsToSettle + roundsAtRest {
		in := planner.Input{Spec: spec, Memory: memory, Now: now, Snapshot: planner.Snapshot{
			Signals: signalsOf(d, now), Prefill: idealPool(RolePrefill, at.Prefill, now), Decode: idealPool(RoleDecode, at.Decode, now),
		}}
		decision, next := planner.Plan(in)
		memory = next
		to := Counts{decision.Prefill.To, decision.Decode.To}
		if to != at {
			still = 0
		}
		at = to
		still++
		now = now.Add(interval)
	}
	return at, still > roundsAtRest && memory.Move == nil
}

func idealPool(role string, n int, now time.Time) planner.Pool {
	p := planner.Pool{Desired: n, GPUsPerReplica: GPUsPerReplica, GPUType: gpuName}
	for i := range n {
		p.Replicas = append(p.Replicas, planner.Replica{Name: fmt.Sprint(role, "-", i), State: planner.Ready, Since: now.Add(-time.Hour), GPUs: GPUsPerReplica, Node: "node"})
	}
	return p
}

// signalsOf is what metrics say of a demand.
func signalsOf(d Demand, now time.Time) planner.Signals {
	known := func(v float64) planner.Reading { return planner.Known(v, now, "sequence") }
	return planner.Signals{
		RequestsPerSecond: known(d.RequestsPerSecond), ArrivalSCV: known(1), InputTokens: known(d.InputTokens), InputSCV: known(0.3),
		OutputTokens: known(d.OutputTokens), OutputSCV: known(0.3), CachedShare: known(0),
	}
}
