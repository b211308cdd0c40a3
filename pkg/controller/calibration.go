package controller

import (
	"fmt"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// The model of the replicas is corrected by what they show: each round hands the
// interval since the last to the role's learner (pkg/perfmodel/calibrate), and
// what that has in use replaces the prior in the planner's spec, which the
// record holds. What the interval itself cannot know is judged here: whether the
// role's replicas are those that it is of.

// lesson is what one role has taught.
type lesson struct {
	online calibrate.Online
	// refused is why the last interval taught nothing, empty where it did; looked is whether there was one.
	refused calibrate.Refusal
	looked  bool
	// rollout is whether one was in progress.
	rollout bool
	// prior is the replica without it, before replica is corrected.
	prior perfmodel.Replica
	// used is set where decisions use it.
	used bool
}

// intervals is what a Collector may have for it.
type intervals interface {
	Intervals() (prefill, decode calibrate.Interval)
}

var _ intervals = (*signals.Collector)(nil)

// kindOf is a role's kind of step.
func kindOf(role planner.Role) calibrate.Kind {
	if role == planner.Prefill {
		return calibrate.Prefill
	}
	return calibrate.Decode
}

// calibrate takes the round's interval in and puts what was learnt into the spec.
func (r *round) calibrate(spec *planner.Spec) error {
	if r.pda.Spec.Model.Calibration == v1alpha1.CalibrationOff {
		r.svc.lessons = map[planner.Role]*lesson{}
		return nil
	}
	if r.svc.lessons == nil {
		r.svc.lessons = restoreLessons(r.base.Status.Model.Calibration)
	}
	prior := planner.Prior{Service: spec.Service, LeastShare: calibrate.LeastRatio}
	for _, role := range roles {
		l := r.svc.lessons[role]
		if l == nil {
			l = &lesson{}
			r.svc.lessons[role] = l
		}
		replica := &spec.Service.Prefill
		if role == planner.Decode {
			replica = &spec.Service.Decode
		}
		if err := r.learn(role, l, replica); err != nil {
			return refuse(ReasonModelDoesNotFit, fmt.Sprintf("roles.%s: %s", role, err))
		}
		if l.used {
			spec.Prior = &prior
		}
	}
	return nil
}

// learn takes one role's interval in and corrects its replica.
func (r *round) learn(role planner.Role, l *lesson, replica *perfmodel.Replica) error {
	scaled := &r.pda.Spec.Roles.Prefill.ScaledRole
	if role == planner.Decode {
		scaled = &r.pda.Spec.Roles.Decode.ScaledRole
	}
	gpu, options, err := roleDeployment(r.pda, role, scaled, pool(r.seen, role), r.svc.gpus)
	if err != nil {
		return err
	}
	belief, err := perfmodel.NewBelief(r.model.Model, gpu, options)
	if err != nil {
		return err
	}
	learner, err := calibrate.NewLearner(kindOf(role), belief, string(r.pda.Spec.Signals.Engine))
	if err != nil {
		return err
	}
	if role == planner.Prefill {
		learner.PadTokens = int(r.pda.Spec.Roles.Prefill.PadTokens)
	}
	l.prior = *replica
	if rollout := pool(r.seen, role).Rollout; rollout != l.rollout {
		if l.rollout = rollout; !rollout {
			l.online = learner.Loosen(l.online)
		}
	}
	interval, told := r.lastInterval(role)
	if l.looked = told; told {
		l.online, l.refused = learner.Learn(l.online, interval)
	}
	corrected, used := learner.Replica(l.online)
	if l.used = used; used {
		replica.Prefill, replica.Decode, replica.BusyActivity = corrected.Prefill, corrected.Decode, corrected.BusyActivity
	}
	return nil
}

// lastInterval is what the role's replicas showed since the last round, with what
// the workload says against it; false where the collector knows no such thing.
func (r *round) lastInterval(role planner.Role) (calibrate.Interval, bool) {
	told, ok := r.svc.collector.(intervals)
	if !ok {
		return calibrate.Interval{}, false
	}
	interval, decode := told.Intervals()
	if role == planner.Decode {
		interval = decode
	}
	if why := doubtful(pool(r.seen, role)); why != "" {
		interval.Doubt = why
	}
	if r.pda.Spec.Model.Calibration == v1alpha1.CalibrationFrozen {
		interval.Doubt = calibrate.RefusedFrozen
	}
	return interval, true
}

// doubtful says why a role's replicas are not what the model is of. One that
// finds no node serves nothing and holds nothing up.
func doubtful(p *planner.Pool) calibrate.Refusal {
	live := 0
	for i := range p.Replicas {
		replica := &p.Replicas[i]
		switch {
		case p.GPUsPerReplica > 0 && replica.GPUs != p.GPUsPerReplica:
			return calibrate.RefusedMixed
		case replica.State == planner.Terminating, replica.State == planner.Starting && replica.Unschedulable == "":
			return calibrate.RefusedChanging
		}
		live++
	}
	if p.Rollout || live < p.Desired {
		return calibrate.RefusedChanging
	}
	return ""
}

// restoreLessons reads what a controller before this one wrote. What cannot be read is learnt again.
func restoreLessons(was *v1alpha1.CalibrationStatus) map[planner.Role]*lesson {
	lessons := map[planner.Role]*lesson{}
	if was == nil {
		return lessons
	}
	for role, memory := range map[planner.Role]string{planner.Prefill: was.Prefill.Memory, planner.Decode: was.Decode.Memory} {
		if memory == "" {
			continue
		}
		if online, err := calibrate.Unpack(kindOf(role), memory); err == nil {
			lessons[role] = &lesson{online: online}
		}
	}
	return lessons
}
