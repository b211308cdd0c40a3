package planner

import (
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// validate returns what is wrong with an input in one sentence, or nothing.
// A wrong input changes nothing: every count stays as it is.
func validate(in *Input) string {
	s := &in.Spec
	for _, r := range []struct {
		name string
		spec RoleSpec
		pool Pool
	}{{"prefill", s.Prefill, in.Snapshot.Prefill}, {"decode", s.Decode, in.Snapshot.Decode}} {
		switch {
		case r.spec.Min < 0 || r.spec.Max < 1 || r.spec.Min > r.spec.Max || r.spec.Max > maxReplicas:
			return sprintf("roles.%s: min is %d and max is %d; allowed is 0 <= min <= max and 1 <= max <= %d", r.name, r.spec.Min, r.spec.Max, maxReplicas)
		case !within(r.spec.GPUsPerReplica, maxGPUsPerReplica) || !within(r.pool.GPUsPerReplica, maxGPUsPerReplica):
			return sprintf("roles.%s: a replica takes %d GPUs by the spec and %d by the target; allowed is 0 (unknown) to %d",
				r.name, r.spec.GPUsPerReplica, r.pool.GPUsPerReplica, maxGPUsPerReplica)
		case r.spec.Up.MaxStep < 0 || r.spec.Down.MaxStep < 0 || r.spec.Up.PeriodSeconds < 0 || r.spec.Down.PeriodSeconds < 0:
			return sprintf("roles.%s: a step or period is negative; allowed is 0 (no limit) or more", r.name)
		case !within(r.pool.Desired, maxReplicas) || len(r.pool.Replicas) > 2*maxReplicas:
			return sprintf("roles.%s: the target asks for %d replicas and has %d; allowed is 0 to %d", r.name, r.pool.Desired, len(r.pool.Replicas), maxReplicas)
		}
		for i := range r.pool.Replicas {
			if replica := &r.pool.Replicas[i]; !within(replica.GPUs, maxGPUsPerReplica) {
				return sprintf("roles.%s: replica %q holds %d GPUs; allowed is 0 to %d", r.name, replica.Name, replica.GPUs, maxGPUsPerReplica)
			}
		}
	}
	type named struct {
		name    string
		replica *perfmodel.Replica
	}
	replicas := []named{{"service.prefill", &s.Service.Prefill}, {"service.decode", &s.Service.Decode}}
	if prior := s.Prior; prior != nil {
		replicas = append(replicas, named{"prior.service.prefill", &prior.Service.Prefill}, named{"prior.service.decode", &prior.Service.Decode})
		if !(prior.LeastShare >= 0 && prior.LeastShare <= 1) {
			return sprintf("prior.leastShare is %g; allowed is 0 to 1", prior.LeastShare)
		}
	}
	for _, r := range replicas {
		if !physical(r.replica) {
			return sprintf("%s: the model's step times are negative, not finite, or fall with more work", r.name)
		}
	}
	for _, o := range []struct {
		name string
		obj  capacity.Objective
	}{{"slo.ttft", s.TTFT}, {"slo.tpot", s.TPOT}} {
		if !(o.obj.Ms > 0) || !finite(o.obj.Ms) || !(o.obj.Quantile > 0 && o.obj.Quantile < 1) {
			return sprintf("%s: quantile %g of %g ms; allowed is a quantile between 0 and 1 and a target above 0 ms", o.name, o.obj.Quantile, o.obj.Ms)
		}
	}
	b := s.Behavior
	switch {
	case !(s.LocalPrefillShare >= 0 && s.LocalPrefillShare < 1):
		return sprintf("localPrefillShare is %g; allowed is 0 up to below 1", s.LocalPrefillShare)
	case s.BudgetGPUs < 0:
		return sprintf("budget.gpus is %d; allowed is 0 (no budget) or more", s.BudgetGPUs)
	case !(b.Headroom >= -mostHeadroomBelow && b.Headroom <= mostHeadroom):
		return sprintf("behavior.headroom is %g; allowed is %g to %g", b.Headroom, -mostHeadroomBelow, mostHeadroom)
	case !(b.Tolerance >= 0 && b.Tolerance < 1):
		return sprintf("behavior.tolerance is %g; allowed is 0 up to below 1", b.Tolerance)
	case !(b.IntervalSeconds > 0 && b.DownWindowSeconds >= 0 && b.MaxAgeSeconds > 0 && b.StartupSeconds >= 0 && b.StartTimeoutSeconds > 0 && b.BreachSeconds >= 0):
		return "behavior: a duration is missing or negative; interval, maxAge and startTimeout must be above 0"
	case s.Rebalance.WindowSeconds < 0 || s.Rebalance.DrainTimeoutSeconds < 0 || s.Rebalance.StartTimeoutSeconds < 0 || s.Rebalance.CooldownSeconds < 0:
		return "rebalance: a duration is negative; allowed is 0 or more"
	case in.Now.IsZero():
		return "the time of the decision is missing"
	}
	return ""
}

// Bounds of what is planned for, so that a typing error asks for nothing absurd.
const (
	maxReplicas       = 4096
	maxGPUsPerReplica = 4096
	mostHeadroom      = 4.0
	mostHeadroomBelow = 0.5
)

func within(n, most int) bool { return n >= 0 && n <= most }

// physical reports whether a replica's step times are times: positive, finite
// and no shorter with more work. A record that was edited may hold anything.
func physical(r *perfmodel.Replica) bool {
	last := [3]float64{}
	for _, n := range []float64{0, 1, 100, 1e4, 1e6} {
		now := [3]float64{r.Prefill.StepMs(n, n), r.Decode.StepMs(n, 100*n), r.Transfer.Ms(n)}
		for i, ms := range now {
			if !finite(ms) || ms < last[i] {
				return false
			}
		}
		last = now
	}
	return finite(r.KVCapacityTokens) && r.KVCapacityTokens >= 0
}
