package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// observe looks at the workload and, where it is there, reads its metrics.
func (c *Reconciler) observe(ctx context.Context, r *round) {
	r.target = workload.TargetOf(r.pda)
	c.leave(ctx, r)
	r.svc.aim(c, r)
	seen, err := c.workload.Observe(ctx, r.target, r.now)
	if err != nil {
		r.unseen = unseen(r.target, err)
		return
	}
	r.svc.recognise(r, &seen)
	if !r.auto() {
		// Who else writes matters only to one who writes.
		seen.Prefill.Writer, seen.Decode.Writer = "", ""
	}
	r.seen = &seen
	c.collect(ctx, r)
	r.orderVictims()
	r.checkDrainTimes()
}

// unseen says why a target could not be observed.
func unseen(t workload.Target, err error) *refusalError {
	if missing := new(workload.MissingError); errors.As(err, &missing) {
		return refuse(ReasonTargetMissing, missing.Error())
	}
	return refuse(ReasonTargetUnread, fmt.Sprintf("%s could not be read: %s", t, err))
}

// aim makes what is remembered about the target that the resource names now. A
// memory of another service, or of other roles, says nothing of this one.
func (s *service) aim(c *Reconciler, r *round) {
	if !s.turns(r) {
		return
	}
	if s.target.Namespace != "" {
		c.workload.Forget(s.target)
		s.startOver(r, "the target was changed to "+r.target.String())
	}
	s.target = r.target
	s.target.Autoscaler = ""
}

// turns reports whether the resource names another target than the last round's.
func (s *service) turns(r *round) bool {
	t := r.target
	t.Autoscaler = ""
	return !reflect.DeepEqual(s.target, t)
}

// recognise starts over where the group was deleted and made again.
func (s *service) recognise(r *round, seen *workload.Observation) {
	if s.group != "" && s.group != seen.UID {
		s.startOver(r, "the target was deleted and made again")
	}
	s.group = seen.UID
}

// startOver forgets all that was learnt about the target so far.
func (s *service) startOver(r *round, why string) {
	if s.memory.Move != nil {
		r.abandoned = why
	}
	s.memory = planner.Memory{Version: planner.RecordVersion, Since: r.now, LastAt: r.now}
	s.group, s.gpus, s.lessons = "", gpuNames{}, map[planner.Role]*lesson{}
	s.close()
}

// collect reads the service's metrics into the round. Whatever fails leaves
// readings unknown and a report behind; a configuration that cannot be used
// leaves a refusal.
func (c *Reconciler) collect(ctx context.Context, r *round) {
	config, err := c.collectorConfig(ctx, r)
	if err != nil {
		r.refused = refuse(planner.ReasonInvalidSpec, "spec.signals: "+err.Error())
		return
	}
	if r.svc.collector == nil || !reflect.DeepEqual(r.svc.collectorConfig, config) {
		r.svc.close()
		collector, err := c.newCollector(config)
		if err != nil {
			r.refused = refuse(planner.ReasonInvalidSpec, "spec.signals: "+err.Error())
			return
		}
		r.svc.collector, r.svc.collectorConfig = collector, config
	}
	targets := withPaths(r.pda, podTargets(r.pda, r.seen.Pods))
	exporters, err := exporterTargets(ctx, c.client, r.pda, r.seen.Pods)
	if err != nil {
		r.reports = append(r.reports, signals.SourceReport{Source: "dcgm-exporter pods", Kind: signals.KindExporter, Error: err.Error()})
	}
	ctx, cancel := context.WithTimeout(ctx, deadline(r.interval())/2)
	defer cancel()
	read, reports := r.svc.collector.Collect(ctx, append(targets, exporters...), r.now)
	r.signals, r.reports = withoutNonNumbers(read), append(r.reports, reports...)
	if others, ok := r.svc.collector.(otherReadings); ok {
		r.readings = others.Readings()
	}
}
