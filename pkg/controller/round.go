package controller

import (
	"context"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// Deadlines of one round. A round must end before the next is due and within
// the manager's grace period; the collector may take half of it, so that what
// does not answer cannot keep a decision from being written.
const (
	shortestDeadline = 5 * time.Second
	longestDeadline  = 20 * time.Second
)

// deadline is how long one round of a resource may take.
func deadline(interval time.Duration) time.Duration {
	return min(max(interval, shortestDeadline), longestDeadline)
}

// roundContext is the context of a round. A round that has begun is finished, also when the manager is asked to stop: half a
// move is worse than a stop that takes a second longer. A manager stops as well when it could not renew its lease, though, and
// its successor works once that has run out: afterStop is what may be left of it by then, and 0 where there is no lease.
func roundContext(manager context.Context, within, afterStop time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(manager), within)
	if afterStop <= 0 {
		return ctx, cancel
	}
	forget := context.AfterFunc(manager, func() {
		select {
		case <-time.After(afterStop):
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { forget(); cancel() }
}

// defaultInterval is used for a resource whose interval is missing.
const defaultInterval = 10 * time.Second

// round is one pass over one resource, filled in step by step.
type round struct {
	// pda is the resource with its defaults; base is as the API server has it
	// and is what status writes start from.
	pda  *v1alpha1.PDAutoscaler
	base *v1alpha1.PDAutoscaler
	svc  *service
	now  time.Time

	target workload.Target
	// seen is nil where the target could not be observed; unseen says why.
	seen   *workload.Observation
	unseen *refusalError

	signals planner.Signals
	reports []signals.SourceReport
	// readings are those besides the planner's, for people.
	readings []signals.Reading
	model    namedModel
	spec     planner.Spec

	// foreign is why the running move of the status is left alone: a newer
	// controller wrote it and this one does not understand it.
	foreign string
	// refused is why there was no decision; record is the decision otherwise.
	refused *refusalError
	record  *planner.Record

	// before and after are the memory around the decision, not yet judged by
	// what was carried out.
	before, after planner.Memory
	did           carried

	// loads is how many requests each replica has, where that is known.
	loads map[string]float64
	// drains are the scale-downs whose replicas are to be drained first, owed the
	// roles of those whose word could not be taken back, waiting says of those that
	// still wait what for, and wakeAt is when the first of them need wait no longer.
	drains  map[planner.Role]drain
	owed    []planner.Role
	waiting map[planner.Role]string
	wakeAt  time.Time
	// hookError is why a replica could not be told that it goes, or be chosen.
	hookError error
	// unseenGPUs are those that replicas hold by what the resource says, and that the workload does not show.
	unseenGPUs int
	// quota is what keeps the budget below the spec's, empty where nothing does.
	quota string
	// abandoned is why a running move was dropped without the planner.
	abandoned string
	// writeErrors are the counts that could not be written, by role.
	writeErrors map[planner.Role]error
	statusError error
}

// auto reports whether the resource asks for its decisions to be written.
func (r *round) auto() bool { return r.pda.Spec.Mode == v1alpha1.ModeAuto }

// decision returns the round's decision, nil where there is none.
func (r *round) decision() *planner.Decision {
	if r.record == nil {
		return nil
	}
	return &r.record.Decision
}

// interval between two rounds.
func (r *round) interval() time.Duration {
	if d := r.pda.Spec.Behavior.Interval.Duration; d > 0 {
		return d
	}
	return defaultInterval
}

// roles are the planner's roles, in the order that is shown.
var roles = [...]planner.Role{planner.Prefill, planner.Decode}

// roleDecision returns one role's part of a decision.
func roleDecision(d *planner.Decision, role planner.Role) *planner.RoleDecision {
	if role == planner.Prefill {
		return &d.Prefill
	}
	return &d.Decode
}

// pool returns what was seen of one role.
func pool(o *workload.Observation, role planner.Role) *planner.Pool {
	if role == planner.Prefill {
		return &o.Prefill
	}
	return &o.Decode
}

func roleSpecOf(s *planner.Spec, role planner.Role) *planner.RoleSpec {
	if role == planner.Prefill {
		return &s.Prefill
	}
	return &s.Decode
}
