package planner

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// holdToPrior keeps a role from needing fewer replicas than a share of what the model asked for before the service
// corrected it, at the demand and with the tolerance on top of it. The share is rounded up: of two replicas, seven tenths are two.
func (p *round) holdToPrior(r *roleRound, traffic, more capacity.Traffic) {
	prior := p.spec.Prior
	if prior == nil {
		return
	}
	least := func(t capacity.Traffic) int {
		c := p.curveBy(&prior.Service, r, t)
		n, _ := c.smallest(r.spec.Max)
		return int(math.Ceil(prior.LeastShare*float64(n) - 1e-9))
	}
	if n := least(traffic); n > r.need {
		r.kept = sprintf("need %s by what the service has shown (%d are held: at least %.0f %% of what the model asked for before that)",
			replicas(r.need), n, 100*prior.LeastShare)
		r.need = n
	}
	r.keep = max(r.keep, r.need, least(more))
}
