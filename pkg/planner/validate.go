package planner

import (
	"fmt"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

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
		case r.spec.GPUsPerReplica < 0 || r.pool.GPUsPerReplica < 0:
			return sprintf("roles.%s: GPUs per replica are negative; allowed is 0 (unknown) or more", r.name)
		case r.spec.Up.MaxStep < 0 || r.spec.Down.MaxStep < 0 || r.spec.Up.PeriodSeconds < 0 || r.spec.Down.PeriodSeconds < 0:
			return sprintf("roles.%s: a step or period is negative; allowed is 0 (no limit) or more", r.name)
		case r.pool.Desired < 0:
			return sprintf("roles.%s: the target asks for %d replicas; allowed is 0 or more", r.name, r.pool.Desired)
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
	case s.BudgetGPUs < 0:
		return sprintf("budget.gpus is %d; allowed is 0 (no budget) or more", s.BudgetGPUs)
	case !(b.Tolerance >= 0 && b.Tolerance < 1):
		return sprintf("behavior.tolerance is %g; allowed is 0 up to below 1", b.Tolerance)
	case !(b.IntervalSeconds > 0 && b.DownWindowSeconds >= 0 && b.MaxAgeSeconds > 0 && b.StartupSeconds >= 0 && b.StartTimeoutSeconds > 0 && b.BreachSeconds >= 0):
		return "behavior: a duration is missing or negative; interval, maxAge and startTimeout must be above 0"
	case in.Now.IsZero():
		return "the time of the decision is missing"
	}
	return ""
}

// maxReplicas bounds a role, so that a typing error cannot ask for millions.
const maxReplicas = 4096
