package controller

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// The whole spine with the real planner: more load than the replicas hold, and
// the counts that were decided are written, once.
func TestAutoWritesWhatWasPlanned(t *testing.T) {
	w := newWorld(t, example())
	w.service.traffic(12, 3000, 300)
	status := w.round().Status
	record := w.controller.store.get(w.key).records.last(1)[0]
	d := record.Decision
	if d.Prefill.To <= 2 && d.Decode.To <= 1 {
		t.Fatalf("the planner asked for nothing (%s): the test has no subject", d.Summary)
	}
	for _, role := range roles {
		if got, want := w.service.pools[role].Desired, roleDecision(&d, role).To; got != want {
			t.Errorf("%s was set to %d; the planner said %d", role, got, want)
		}
	}
	if status.Roles.Prefill.Desired != int32(d.Prefill.To) || status.Roles.Prefill.Current != int32(d.Prefill.To) || !status.Decisions[0].Applied {
		t.Errorf("the status says %+v, %+v; %d were written", status.Roles.Prefill, status.Decisions, d.Prefill.To)
	}
	if status.Model.Name != "Qwen3-32B" || status.Model.Prefill.TensorParallel != 2 || status.Model.Decode.AlphaMicroseconds <= 0 ||
		status.Model.Decode.BetaNanosecondsPerSequence <= 0 || status.Model.Decode.KappaPicosecondsPerToken <= 0 || status.Model.Prefill.TokensPerSecond <= 0 {
		t.Errorf("the model in the status is %+v", status.Model)
	}
	if n := w.countEvents("Normal ScaledUp"); n == 0 {
		t.Errorf("no event for the scale-up: %q", w.events)
	}
}

func TestModesThatDoNotWrite(t *testing.T) {
	for _, mode := range []v1alpha1.Mode{v1alpha1.ModeRecommend, v1alpha1.ModeMetrics} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
				p.Spec.Mode = mode
				p.Spec.Roles.Prefill.ScaleUp.Period = v1alpha1.Every(time.Hour)
			}))
			// Who writes here is another; the decision is for them to take.
			w.service.pools[planner.Prefill].Writer = "HorizontalPodAutoscaler default/theirs"
			w.service.traffic(12, 3000, 300)
			var status v1alpha1.PDAutoscalerStatus
			for range 12 {
				status = w.rounds(1).Status
				if status.Roles.Prefill.Desired <= 2 {
					// A period since a change that was never made must not hold the next one.
					t.Fatalf("prefill is wanted at %d (%s), a period after a change that was not made", status.Roles.Prefill.Desired, status.Roles.Prefill.Message)
				}
			}
			for _, write := range w.log {
				if write != "status" {
					t.Errorf("mode %s wrote %s", mode, write)
				}
			}
			if len(status.Decisions) != 1 || status.Decisions[0].Applied {
				t.Errorf("the same decision, never carried out, is listed as %+v", status.Decisions)
			}
			w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionFalse, ReasonNotAuto)
			if n := w.countEvents("Normal Scaled"); n != 0 {
				t.Errorf("%d events of scaling that did not happen", n)
			}
		})
	}
}

// In Recommend mode a move is shown, and never runs.
func TestRecommendBeginsNoMove(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeRecommend }))
	var started []time.Time
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		d, m := beginsMove(in)
		started = append(started, d.Move.StartedAt)
		return d, m
	}
	status := w.rounds(3).Status
	if status.Move != nil || w.controller.store.get(w.key).memory.Move != nil {
		t.Errorf("a move that nobody carries out is remembered: %+v", status.Move)
	}
	if len(slices.Compact(started)) != 3 {
		t.Errorf("a move that was not begun went on: %v", started)
	}
	if n := w.countEvents("Normal MoveStarted"); n != 0 {
		t.Errorf("%d events of a move that did not begin", n)
	}
	if record := w.controller.store.get(w.key).records.last(1)[0]; record.Decision.Move == nil {
		t.Error("the decision that is shown lacks its move")
	}
}

// Taking a running service out of Auto ends its move, and says so.
func TestLeavingAutoAbandonsTheMove(t *testing.T) {
	w := newWorld(t, example())
	w.decide = beginsMove
	w.rounds(1)
	if w.resource().Status.Move == nil {
		t.Fatal("no move has begun")
	}
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeRecommend })
	w.log = nil
	w.rounds(1)
	w.wantLog("status", `finalizers []`)
	if m := w.resource().Status.Move; m != nil {
		t.Errorf("the status still has the move %+v", m)
	}
	if n := w.countEvents("Warning MoveAbandoned"); n != 1 {
		t.Errorf("the end of the move was announced %d times: %q", n, w.events)
	}
}

func TestPauseIsObeyedAtOnce(t *testing.T) {
	w := newWorld(t, example())
	w.rounds(1)
	w.service.traffic(12, 3000, 300)
	w.edit(func(p *v1alpha1.PDAutoscaler) {
		p.Annotations = map[string]string{v1alpha1.PausedAnnotation: "load test on Friday"}
	})
	w.log = nil
	w.rounds(3)
	for _, write := range w.log {
		if write != "status" {
			t.Errorf("paused, and wrote %s", write)
		}
	}
	message := w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionFalse, planner.ReasonPaused)
	if want := `the annotation pdautoscaler.io/paused is set to "load test on Friday"`; message != want {
		t.Errorf("the condition says %q, want %q", message, want)
	}
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Annotations = nil })
	w.log = nil
	w.round()
	if len(w.log) < 2 {
		t.Errorf("the pause is over and what was written is %q", w.log)
	}
	w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionTrue, "Active")
}

func TestShrinksAreWrittenBeforeGrows(t *testing.T) {
	for name, c := range map[string]struct {
		prefill, decode int
		want            []string
	}{
		"decode grows":  {1, 2, []string{"prefill 2->1", "decode 1->2", "status"}},
		"prefill grows": {3, 0, []string{"decode 1->0", "prefill 2->3", "status"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example())
			w.decide = scaleTo(c.prefill, c.decode)
			w.round()
			w.wantLog(c.want...)
		})
	}
}

// A write that fails is said, does not keep the other role from being written,
// is not remembered as done, and is tried again.
func TestFailedWrite(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(3, 2)
	w.service.refuse[planner.Prefill] = errors.New("admission webhook says no")
	w.rounds(2)
	w.wantLog("decode 1->2", "status", "status") // the second: decode is not asked for again
	message := w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionFalse, ReasonWriteFailed)
	if message != "admission webhook says no" {
		t.Errorf("the condition says %q", message)
	}
	memory := w.controller.store.get(w.key).memory
	if !memory.Prefill.LastUp.IsZero() || memory.Decode.LastUp.IsZero() {
		t.Errorf("prefill went up at %v, decode at %v; only decode did", memory.Prefill.LastUp, memory.Decode.LastUp)
	}
	if n := w.countEvents("Warning WriteFailed"); n != 1 {
		t.Errorf("%d events in two rounds that failed alike: %q", n, w.events)
	}
	delete(w.service.refuse, planner.Prefill)
	w.rounds(1)
	w.wantLog("prefill 2->3", "status")
	w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionTrue, "Active")
}

// What comes and goes is said once per repeatAfter; what comes back and stays is said when that has passed.
func TestStateThatReturnsIsSaidAgain(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(3, 1)
	broken := errors.New("admission webhook says no")
	want := func(when string, events int) {
		t.Helper()
		if n := w.countEvents("Warning WriteFailed"); n != events {
			t.Errorf("%s: %d events, want %d: %q", when, n, events, w.events)
		}
	}
	w.service.refuse[planner.Prefill] = broken
	w.rounds(2)
	want("it begins", 1)
	delete(w.service.refuse, planner.Prefill)
	w.rounds(1)
	w.decide = scaleTo(4, 1)
	w.service.refuse[planner.Prefill] = broken
	w.rounds(2)
	want("back at once", 1)
	for range int(repeatAfter/(10*time.Second)) + 1 {
		w.rounds(1)
	}
	want("back, and stays", 2)
	w.pass(2 * repeatAfter)
	w.rounds(2)
	want("still there", 2)
}

// Someone scaled by hand between the observation and the write: that stands.
func TestConflictingWriteIsLeft(t *testing.T) {
	w := newWorld(t, example())
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		if w.service.pools[planner.Prefill].Desired == 2 {
			w.service.grow(planner.Prefill, 3) // the hand
		}
		return scaleTo(3, 1)(in)
	}
	w.rounds(1)
	if got := w.service.pools[planner.Prefill].Desired; got != 5 {
		t.Errorf("prefill is at %d; a person set 5", got)
	}
	w.wantCondition(v1alpha1.ConditionActive, metav1.ConditionFalse, ReasonWriteFailed)
}

// A manager that is asked to stop lets the round that runs come to its end.
func TestRoundOutlivesTheSignalToStop(t *testing.T) {
	w := newWorld(t, example())
	ctx, stop := context.WithCancel(t.Context())
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		stop()
		return scaleTo(1, 2)(in)
	}
	if _, err := w.controller.Reconcile(ctx, reconcile.Request{NamespacedName: w.key}); err != nil {
		t.Fatal(err)
	}
	w.wantLog("prefill 2->1", "decode 1->2", "status")
}

// What does not answer may take half of a round, so that the other half is
// left to write the decision in.
func TestCollectionHasItsOwnDeadline(t *testing.T) {
	w := newWorld(t, example())
	before := time.Now()
	w.round()
	after := time.Now()
	const half = 5 * time.Second // of an interval of 10 s
	if until := w.service.until; until.Before(before.Add(half)) || until.After(after.Add(half)) {
		t.Errorf("a collection of a round between %s and %s may take until %s, want %s from its beginning", before, after, until, half)
	}
}

// Deletion leaves the replicas, and nothing behind in the controller.
func TestDeletion(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(3, 1)
	w.rounds(1)
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.log = nil
	result, err := w.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: w.key})
	if err != nil || result.RequeueAfter != 0 {
		t.Errorf("a resource that is gone asks for another round: %+v, %v", result, err)
	}
	w.wantLog()
	if w.service.pools[planner.Prefill].Desired != 3 || w.service.closed != 1 || len(w.service.forgotten) != 1 {
		t.Errorf("prefill %d, %d collectors closed, %d targets forgotten; want 3, 1, 1", w.service.pools[planner.Prefill].Desired, w.service.closed, len(w.service.forgotten))
	}
	families, err := w.registry.Gather()
	left := slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == RoundsLate }) // that is of all resources
	if err != nil || len(left) != 0 {
		t.Errorf("%d metric families are left (%v)", len(left), err)
	}
}

// A resource of the same name that was made again begins with nothing of the old one.
func TestMadeAgain(t *testing.T) {
	w := newWorld(t, example())
	w.decide = beginsMove
	w.rounds(1)
	if err := w.api.Delete(t.Context(), w.resource()); err != nil {
		t.Fatal(err)
	}
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Finalizers = nil }) // by force
	again := example()
	again.UID = "pda-2"
	if err := w.api.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
		if in.Memory.Move != nil {
			t.Error("the move of the deleted resource goes on")
		}
		return scaleTo(2, 1)(in)
	}
	w.rounds(1)
	if w.service.closed != 1 {
		t.Errorf("%d collectors were closed, want the old one", w.service.closed)
	}
}

// What was learnt of one target says nothing of another.
func TestChangedTargetStartsOver(t *testing.T) {
	for name, change := range map[string]func(*world){
		"another group": func(w *world) {
			w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Target.Name = "other" })
		},
		"the group was made again": func(w *world) { w.service.uid = "group-2" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example())
			w.decide = beginsMove
			w.rounds(5)
			change(w)
			now := w.clock.Now()
			w.decide = func(in planner.Input) (planner.Decision, planner.Memory) {
				if in.Memory.Move != nil || !in.Memory.Since.Equal(now) {
					t.Errorf("the memory is from %s, with move %+v", in.Memory.Since, in.Memory.Move)
				}
				return scaleTo(2, 1)(in)
			}
			w.round()
			if n := w.countEvents("Warning MoveAbandoned"); n != 1 {
				t.Errorf("the end of the move was announced %d times", n)
			}
			if w.service.closed != 1 || w.service.collectors != 2 {
				t.Errorf("%d collectors made and %d closed, want a new one for the old one", w.service.collectors, w.service.closed)
			}
		})
	}
}

// The pages that are read: pods with an address that speak for their replica,
// exporters on the service's nodes.
func TestTargets(t *testing.T) {
	exporter := func(name, node, ip string) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Namespace: "gpu-operator", Name: name, Labels: map[string]string{"app": "nvidia-dcgm-exporter", "node": node, "ip": ip}}
	}
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Signals.DCGM = &v1alpha1.DCGMSignals{}
		p.Spec.Signals.Direct.Ports.Decode = 8100
		p.Default()
	}), exporterPod(exporter("ours", "node-0", "127.244.9.1")), exporterPod(exporter("theirs", "node-7", "127.244.9.2")))
	w.service.shrink(planner.Prefill, 1) // terminates, and is not asked any more
	w.service.grow(planner.Decode, 1)    // starts
	w.decide = scaleTo(1, 2)
	w.round()
	type page struct {
		Kind  signals.Kind
		Port  string
		Ready bool
	}
	var got []page
	for _, target := range w.service.targets {
		got = append(got, page{target.Kind, target.URL[len(target.URL)-len(":8000/metrics"):], target.Ready})
	}
	want := []page{
		{signals.KindFrontend, ":8000/metrics", true}, {signals.KindPrefill, ":8000/metrics", true},
		{signals.KindDecode, ":8100/metrics", true}, {signals.KindDecode, ":8100/metrics", false}, {signals.KindExporter, ":9400/metrics", true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}
