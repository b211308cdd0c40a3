package controller

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func offered(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeMetrics }

// In mode Metrics the plan is in the status in the same round and no replica
// is written; the other replicas of the controller learn from the status alone
// that the leader lives, so it is never older than half of what it counts for.
func TestModeMetrics(t *testing.T) {
	w := newWorld(t, example(offered))
	w.decide = scaleTo(3, 1)
	pda := w.rounds(1)
	if got := pda.Status.Roles.Prefill.Desired; got != 3 {
		t.Errorf("the plan in the status is %d replicas, want 3", got)
	}
	writes, oldest := 0, time.Duration(0)
	for range 60 { // ten minutes in which nothing changes
		before := len(w.log)
		pda = w.rounds(1)
		writes += len(w.log) - before
		oldest = max(oldest, w.clock.Now().Sub(pda.Status.LastDecisionTime.Time))
	}
	if limit := pda.Spec.StaleAfter() / 2; oldest > limit {
		t.Errorf("the status was %s old, and counts for twice %s", oldest, limit)
	}
	if writes > 21 {
		t.Errorf("%d writes in 60 rounds: once in 3 would do", writes)
	}
	if other := slices.IndexFunc(w.log, func(what string) bool { return what != "status" }); other >= 0 {
		t.Errorf("mode Metrics wrote %q", w.log[other])
	}
}

// Rounds that cannot decide keep the time fresh and say that the demand is not
// known: the time alone is no plan.
func TestModeMetricsWithoutDecision(t *testing.T) {
	w := newWorld(t, example(offered))
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := scaleTo(2, 1)(in)
		d.Prefill.Demand, d.Decode.Demand = planner.Demand{Known: true, RequestsPerSecond: 4}, planner.Demand{Known: true}
		return d, m
	}
	if s := w.rounds(1).Status.Roles; s.Prefill.DemandMilliRequestsPerSecond == nil || s.Decode.DemandMilliRequestsPerSecond == nil || *s.Decode.DemandMilliRequestsPerSecond != 0 {
		t.Fatalf("the demand is %v and %v, want 4000 and a confirmed 0", s.Prefill.DemandMilliRequestsPerSecond, s.Decode.DemandMilliRequestsPerSecond)
	}
	w.service.observe = errors.New("timeout")
	if s := w.rounds(1).Status.Roles; s.Prefill.DemandMilliRequestsPerSecond != nil || s.Prefill.QueueMilliseconds != nil || s.Prefill.LoadPercent != nil || s.Prefill.Desired != 2 {
		t.Errorf("nothing could be read, and the status says %+v", s.Prefill)
	}
}

// A load is a share of ready replicas: while there are none it is not known, and
// not the zero of an idle role, by which an HPA would go down.
func TestLoadOfNoReadyReplica(t *testing.T) {
	for name, tc := range map[string]struct {
		ready int
		known bool
	}{"ready": {2, true}, "none is ready": {0, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example(offered))
			w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
				d, m := scaleTo(2, 1)(in)
				d.Prefill.Demand, d.Prefill.Ready = planner.Demand{Known: true, RequestsPerSecond: 4}, tc.ready
				return d, m
			}
			if got := w.round().Status.Roles.Prefill.LoadPercent; (got != nil) != tc.known {
				t.Errorf("the load is %v, known %t is wanted", got, tc.known)
			}
			if _, got := w.values()[`role_load{role="prefill"}`]; got != tc.known {
				t.Errorf("a series of the load: %t, want %t", got, tc.known)
			}
		})
	}
}

// A queue is as long as the ready replicas need for it.
func TestQueue(t *testing.T) {
	for name, tc := range map[string]struct {
		waiting planner.Reading
		serves  float64
		ready   int
		wantMs  int64 // negative: not known
	}{
		"nobody waits":          {planner.Zero(start, "test"), 2, 2, 0},
		"nobody waits or works": {planner.Zero(start, "test"), 0, 0, 0},
		"ten":                   {planner.Known(10, start, "test"), 2, 2, 2500},
		"no replica is ready":   {planner.Known(10, start, "test"), 2, 0, -1},
		"not known":             {planner.Unknown("no answer"), 2, 2, -1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example(offered))
			w.service.signals.PrefillWaiting = tc.waiting
			w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
				d, m := scaleTo(2, 1)(in)
				d.Prefill.Demand, d.Prefill.ServesPerSecond, d.Prefill.Ready = planner.Demand{Known: true}, tc.serves, tc.ready
				return d, m
			}
			got := w.round().Status.Roles.Prefill.QueueMilliseconds
			switch {
			case tc.wantMs < 0 && got != nil:
				t.Errorf("the queue is %d ms, want none", *got)
			case tc.wantMs >= 0 && (got == nil || *got != tc.wantMs):
				t.Errorf("the queue is %v, want %d ms", got, tc.wantMs)
			}
		})
	}
}
