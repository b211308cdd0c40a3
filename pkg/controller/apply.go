package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// apply writes the decision's counts: first what gives GPUs back, then what
// takes them. One role's failure does not keep the other from being written.
func (c *Reconciler) apply(ctx context.Context, r *round) {
	order := slices.Clone(roles[:])
	d := r.decision()
	slices.SortStableFunc(order, func(a, b planner.Role) int { return growth(d, a) - growth(d, b) })
	r.writeErrors = map[planner.Role]error{}
	for _, role := range order {
		rd := roleDecision(d, role)
		if rd.To == rd.From {
			continue
		}
		if rd.To < rd.From {
			if !c.drained(ctx, r, role) {
				continue
			}
			if err := c.choose(ctx, r, role); err != nil {
				r.writeErrors[role] = err
				continue
			}
		} else if err := c.roomFor(ctx, r, role, rd.To-rd.From); err != nil {
			r.writeErrors[role] = err
			continue
		}
		if err := c.workload.Apply(ctx, r.target, role, rd.From, rd.To); err != nil {
			r.writeErrors[role] = err
			continue
		}
		r.did.roles[role] = true
	}
}

// roomFor makes sure, with what is held at this moment, that the budget has room
// for more replicas of a role. What the decision was made from may be behind.
func (c *Reconciler) roomFor(ctx context.Context, r *round, role planner.Role, replicas int) error {
	if r.spec.BudgetGPUs == 0 {
		return nil
	}
	held, err := c.workload.Confirm(ctx, r.target, r.now)
	if err != nil {
		return fmt.Errorf("role %s was not grown: what is held now could not be read: %w", r.target.RoleName(role), err)
	}
	held += r.unseenGPUs
	gpus := pool(r.seen, role).GPUsPerReplica
	if gpus == 0 {
		gpus = roleSpecOf(&r.spec, role).GPUsPerReplica
	}
	if more := replicas * gpus; held+more > r.spec.BudgetGPUs {
		return fmt.Errorf("role %s was not grown: %d GPUs are held by now, %d more would be over the budget of %d", r.target.RoleName(role), held, more, r.spec.BudgetGPUs)
	}
	return nil
}

func growth(d *planner.Decision, role planner.Role) int {
	rd := roleDecision(d, role)
	return rd.To - rd.From
}
