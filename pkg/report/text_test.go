package report

import (
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

func TestLatencySentence(t *testing.T) {
	for name, c := range map[string]struct {
		role RoleExplanation
		want string
	}{
		"no objective": {RoleExplanation{}, ""},
		"nothing known": {RoleExplanation{From: 2, To: 2, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedWhy: "no pod answers"}},
			"p95 TTFT: objective 2000 ms, not observed (no pod answers)."},
		"stays": {RoleExplanation{From: 2, To: 2, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(640.0), LowMs: 500, HighMs: 1000,
			PredictedFromMs: new(936.4), PredictedToMs: new(936.4)}},
			"p95 TTFT: objective 2000 ms, observed 640 ms; predicted 936 ms with 2."},
		"objective within the bucket": {RoleExplanation{From: 2, To: 2, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(1600.0), LowMs: 1000, HighMs: 2500}},
			"p95 TTFT: objective 2000 ms, observed 1600 ms (the histogram only says between 1000 and 2500 ms)."},
		"last bucket": {RoleExplanation{From: 2, To: 2, Latency: Latency{Name: "p95 TPOT", ObjectiveMs: 40, ObservedMs: new(30.0), LowMs: 30}},
			"p95 TPOT: objective 40 ms, observed 30 ms (the histogram only says more than 30 ms)."},
		"grows": {RoleExplanation{From: 2, To: 4, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(3100.0), PredictedFromMs: new(2600.0), PredictedToMs: new(1480.0)}},
			"p95 TTFT: objective 2000 ms, observed 3100 ms; predicted 2600 ms with 2 and 1480 ms with 4."},
		"out of overload": {RoleExplanation{From: 2, To: 4, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(3100.0), OverloadedFrom: true, PredictedToMs: new(1480.0)}},
			"p95 TTFT: objective 2000 ms, observed 3100 ms; with 2 the queue would grow without end, with 4 it is 1480 ms."},
		"into overload": {RoleExplanation{From: 4, To: 2, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(640.0), OverloadedTo: true, PredictedFromMs: new(1480.0)}},
			"p95 TTFT: objective 2000 ms, observed 640 ms; predicted 1480 ms with 4, and with 2 the queue would grow without end."},
		"overload all the way": {RoleExplanation{From: 1, To: 2, Latency: Latency{Name: "p95 TTFT", ObjectiveMs: 2000, ObservedMs: new(9000.0), OverloadedFrom: true, OverloadedTo: true}},
			"p95 TTFT: objective 2000 ms, observed 9000 ms; with 1 the queue would grow without end, and with 2 too."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.role.LatencySentence(); got != c.want {
				t.Errorf("it says\n%s\nand should say\n%s", got, c.want)
			}
		})
	}
}

func TestStepSentences(t *testing.T) {
	for _, c := range []struct {
		step planner.Step
		from int
		want string
	}{
		{planner.Step{Reason: planner.ReasonObjective, Before: 2, After: 5, Detail: "5 hold it"}, 2, "Tried 5: 5 hold it."},
		{planner.Step{Reason: planner.ReasonMaxStep, Before: 5, After: 3, Detail: "one at once"}, 2, "Cut to 3: one at once."},
		{planner.Step{Reason: planner.ReasonDisabled, Before: 5, After: 2}, 2, "Rejected 5: this direction is disabled for the role."},
		{planner.Step{Reason: planner.ReasonWarmUp, Before: 1, After: 4}, 4, "Rejected 1: no whole scale-down window was seen since the start."},
		{planner.Step{Reason: planner.ReasonBudget, Before: 3, After: 2}, 5, "Set to 2: the GPU budget does not hold more."},
		{planner.Step{Reason: planner.ReasonActivity, Before: 3, After: 3}, 3, "Kept 3: the GPUs are busier than the model expects."},
		{planner.Step{Reason: "Newer", Before: 3, After: 4}, 3, "Set to 4: Newer."},
	} {
		if got := StepOf(c.step, c.from).Sentence; got != c.want {
			t.Errorf("%+v from %d says %q and should say %q", c.step, c.from, got, c.want)
		}
	}
}

func TestMoveSentences(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for phase, want := range map[planner.MovePhase]string{
		planner.Draining:     "for 20s it has been waiting until the pods of prefill let go of their GPUs.",
		planner.StartingUp:   "the GPUs are free, and for 20s it has been waiting until decode is ready.",
		planner.Returning:    "it goes back, for 20s so far.",
		planner.MoveDone:     "is done after 1m30s.",
		planner.MoveReturned: "was taken back after 1m30s.",
		planner.MoveGivenUp:  "was given up after 1m30s.",
		"Newer":              ": Newer.",
	} {
		m := moveOf(&planner.Move{From: planner.Prefill, To: planner.Decode, DonorBefore: 3, DonorAfter: 2, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2,
			Phase: phase, StartedAt: at.Add(-90 * time.Second), PhaseSince: at.Add(-20 * time.Second)}, at)
		if !strings.HasPrefix(m.Sentence, "2 GPUs from prefill to decode (prefill 3 -> 2, decode 1 -> 2)") || !strings.HasSuffix(m.Sentence, want) {
			t.Errorf("%s says %q and should end with %q", phase, m.Sentence, want)
		}
	}
}

func TestGPUSentences(t *testing.T) {
	for _, c := range []struct {
		gpus GPUs
		want string
	}{
		{GPUs{Held: 1}, "1 GPU is held, and there is no budget."},
		{GPUs{Held: 6, Budget: 12, Requested: 4}, "6 GPUs are held of a budget of 12; this decision asks for 4 more."},
		{GPUs{Held: 14, Budget: 12}, "14 GPUs are held of a budget of 12, which is 2 too many."},
	} {
		if got := gpuSentence(c.gpus); got != c.want {
			t.Errorf("%+v says %q and should say %q", c.gpus, got, c.want)
		}
	}
}

// What is true of both roles is said once.
func TestTextSaysANoteOnce(t *testing.T) {
	e := Explanation{At: time.Unix(0, 0), Notes: []Note{{"Paused", planner.Prefill, "ask Mira."}, {"Paused", planner.Decode, "ask Mira."}}}
	var b strings.Builder
	if err := e.Text(&b, time.Time{}); err != nil || strings.Count(b.String(), "ask Mira.") != 1 {
		t.Errorf("%v:\n%s", err, b.String())
	}
}
