package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// plan lets the planner decide, or leaves in the round why it cannot. It
// returns an error only where the API server could not be asked.
func (c *Reconciler) plan(ctx context.Context, r *round) {
	r.before = r.svc.memory
	if !r.auto() && r.before.Move != nil {
		// A move that nobody carries out is no move.
		r.before.Move = nil
		r.abandoned = "the mode is " + string(r.pda.Spec.Mode)
	}
	r.after = r.before
	if r.refused == nil {
		r.refused = r.unseen
	}
	if r.refused == nil && r.foreign != "" {
		r.refused = refuse(ReasonStatusNewer, r.foreign)
	}
	if r.refused != nil {
		return
	}
	spec, err := c.specOf(ctx, r)
	if err != nil {
		if !errors.As(err, &r.refused) {
			r.refused = refuse(ReasonModelUnknown, err.Error())
		}
		return
	}
	r.spec = spec
	in := planner.Input{
		Spec: spec,
		Snapshot: planner.Snapshot{
			Signals: r.signals, Prefill: r.seen.Prefill, Decode: r.seen.Decode, FreeGPUsByNode: r.seen.FreeGPUsByNode,
		},
		Memory: r.before,
		Now:    r.now,
	}
	decision, after := c.decide(in)
	r.after = after
	r.record = &planner.Record{Version: planner.RecordVersion, Input: in, Decision: decision}
	r.svc.records.add(*r.record)
}

// specOf reads the model and turns the resource into the planner's spec.
func (c *Reconciler) specOf(ctx context.Context, r *round) (planner.Spec, error) {
	model, err := readModel(ctx, c.live, r.pda)
	if err != nil {
		return planner.Spec{}, err
	}
	r.model = model
	spec, err := plannerSpec(r.pda, model, &r.seen.Prefill, &r.seen.Decode, r.svc.gpus)
	if err == nil {
		err = r.calibrate(&spec)
	}
	if err == nil {
		r.countUnknownGPUs(&spec)
		r.limitByQuota(&spec)
	}
	return spec, err
}

// countUnknownGPUs counts the replicas of a role of which the workload does not
// tell the GPUs (a resource claim that may be shared, a template that is not
// understood) as the resource says: held for nothing, they would leave the other
// role more of the budget than there is.
func (r *round) countUnknownGPUs(spec *planner.Spec) {
	for _, role := range roles {
		p, gpus := pool(r.seen, role), roleSpecOf(spec, role).GPUsPerReplica
		if p.GPUsPerReplica > 0 || gpus == 0 {
			continue
		}
		before := p.HeldGPUs()
		for i := range p.Replicas {
			if p.Replicas[i].GPUs == 0 {
				p.Replicas[i].GPUs = gpus
			}
		}
		counted := *p
		counted.GPUsPerReplica = gpus // for those that have no pod yet
		r.unseenGPUs += counted.HeldGPUs() - before
	}
}

// limitByQuota makes what a quota leaves the budget where it is less: a replica
// that the quota refuses would never start, and GPUs may still move within it.
func (r *round) limitByQuota(spec *planner.Spec) {
	gpus, from, limited := r.seen.BudgetGPUs()
	if !limited || spec.BudgetGPUs > 0 && spec.BudgetGPUs <= gpus {
		return
	}
	spec.BudgetGPUs = max(gpus, 1) // the planner takes 0 for no budget
	r.quota = fmt.Sprintf("%s lets the service hold %d GPUs now", from, gpus)
}
