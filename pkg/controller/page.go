package controller

import (
	"fmt"
	"strconv"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/live"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// watcher is shown what each round saw and decided; it has no way to answer.
type watcher interface {
	Add(r live.Round)
	Forget(namespace, name string)
}

var _ watcher = (*live.Board)(nil)

// show tells the page of a round; without a page it does nothing.
func (c *Reconciler) show(r *round) {
	if c.page != nil {
		c.page.Add(r.shown())
	}
}

// shown is the round as the page shows it.
func (r *round) shown() live.Round {
	slo := &r.pda.Spec.SLO
	out := live.Round{
		Namespace: r.pda.Namespace, Name: r.pda.Name, At: r.now, Interval: r.interval(), Mode: string(r.pda.Spec.Mode), Paused: pausedBy(r.pda),
		Model: r.model.Name, PrefillGPU: r.svc.gpus[planner.Prefill], DecodeGPU: r.svc.gpus[planner.Decode],
		TTFT: r.shownLatency("TTFT", slo.TTFT, r.signals.TTFTMs), TPOT: r.shownLatency("TPOT", slo.TPOT, r.signals.TPOTMs),
		SLO: string(r.sloStatus(r.base.Status.SLO).State), HeldGPUs: int(r.gpusStatus(r.base.Status.GPUs).Held),
		Moving: r.svc.memory.Move != nil, Written: r.decision() != nil && r.applied(),
	}
	if b := r.pda.Spec.Budget; b != nil {
		out.BudgetGPUs = int(b.GPUs)
	}
	out.Reason, out.Message = r.headline()
	maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
	rate := r.signals.RequestsPerSecond.Fresh(r.now, maxAge)
	out.RequestsPerSecond = value(rate)
	out.InputTokensPerSecond = product(rate, r.signals.InputTokens.Fresh(r.now, maxAge))
	out.OutputTokensPerSecond = product(rate, r.signals.OutputTokens.Fresh(r.now, maxAge))
	out.Prefill, out.Decode = r.shownRole(planner.Prefill), r.shownRole(planner.Decode)
	if d := r.decision(); d != nil {
		explained := report.OfRecord(*r.record)
		out.Decided = &explained
		out.TTFT.PredictedMs, out.TPOT.PredictedMs = d.Prefill.AfterMs, d.Decode.AfterMs
	}
	return out
}

func (r *round) shownLatency(name string, o v1alpha1.Objective, seen planner.Quantile) live.Latency {
	return live.Latency{Name: fmt.Sprintf("p%s %s", strconv.FormatFloat(float64(o.Percentile), 'f', -1, 64), name), ObjectiveMs: milliseconds(o.Target.Duration),
		ObservedMs: value(seen.Fresh(r.now, seconds(r.pda.Spec.Behavior.MaxAge)))}
}

func (r *round) shownRole(role planner.Role) live.Role {
	if r.seen == nil || pool(r.seen, role).Missing != "" {
		return live.Role{}
	}
	p := pool(r.seen, role)
	out := live.Role{Seen: true, Desired: p.Desired, GPUsPerReplica: p.GPUsPerReplica}
	for i := range p.Replicas {
		replica := &p.Replicas[i]
		switch replica.State {
		case planner.Ready:
			out.Ready++
			out.ReadyGPUs += replica.GPUs
		case planner.Starting:
			out.Starting++
			out.StartingGPUs += replica.GPUs
		case planner.Terminating:
			out.Terminating++
			out.TerminatingGPUs += replica.GPUs
		}
	}
	waiting := r.signals.PrefillWaiting
	if role == planner.Decode {
		waiting = r.signals.DecodeWaiting
	}
	out.Waiting = value(waiting.Fresh(r.now, seconds(r.pda.Spec.Behavior.MaxAge)))
	d := r.decision()
	if d == nil {
		return out
	}
	rd := roleDecision(d, role)
	if r.did.roles[role] {
		out.Desired = rd.To
	}
	if load := knownLoad(rd); load != nil {
		out.Load = new(*load)
	}
	if ms := r.queueMilliseconds(role); ms != nil {
		out.QueueSeconds = new((time.Duration(*ms) * time.Millisecond).Seconds())
	}
	return out
}

// value is a reading's, nil where there is none.
func value(r planner.Reading) *float64 {
	if !r.Ok() {
		return nil
	}
	return new(r.Or(0))
}

func product(a, b planner.Reading) *float64 {
	if !a.Ok() || !b.Ok() {
		return nil
	}
	return new(a.Or(0) * b.Or(0))
}
