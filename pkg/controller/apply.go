package controller

import (
	"context"
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
		}
		if err := c.workload.Apply(ctx, r.target, role, rd.From, rd.To); err != nil {
			r.writeErrors[role] = err
			continue
		}
		r.did.roles[role] = true
	}
}

func growth(d *planner.Decision, role planner.Role) int {
	rd := roleDecision(d, role)
	return rd.To - rd.From
}
