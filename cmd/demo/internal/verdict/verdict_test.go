package verdict

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// requests returns n requests of a phase, of which the given share kept both objectives.
func requests(phase, n int, share float64) []engine.Record {
	all := make([]engine.Record, n)
	for i := range all {
		all[i] = engine.Record{Phase: phase, OutputTokens: 10, FirstToken: true, TTFTMs: 100, TPOTMs: 15, Outcome: engine.Finished}
		if float64(i) >= share*float64(n) {
			all[i].TTFTMs, all[i].TPOTMs = 5000, 80
		}
	}
	return all
}

// replayable returns the record of a real decision, made from an input that the planner refuses.
func replayable(at time.Time) planner.Record {
	in := planner.Input{Now: at}
	d, _ := planner.Plan(in)
	return planner.Record{Version: planner.RecordVersion, Input: in, Decision: d}
}

// good is a run with which nothing is wrong.
func good(t *testing.T) Run {
	t.Helper()
	told := story.Demo()
	r := Run{
		Story: told, Objectives: stage.Objectives, Start: start,
		Decisions: []planner.Record{replayable(start.Add(time.Second)), replayable(start.Add(3 * time.Second))},
		Budget:    Budget{GPUs: 12, Peak: 12, Events: 50}, GPUHours: 0.6,
		Fixed: Fixed{Found: true, Prefill: 4, Decode: 4, GPUs: 16, GPUHours: 1.067},
	}
	for i := range told.Load.Phases {
		r.Requests = append(r.Requests, requests(i, 100, 0.96)...)
	}
	return r
}

func TestGoodRun(t *testing.T) {
	s := Of(good(t))
	if !s.Good {
		t.Fatalf("problems: %q", s.Problems)
	}
	if s.Decisions.Replayed != 2 || s.Judged.Requests != 400 || s.Everything.Requests != 100*len(story.Demo().Load.Phases) {
		t.Errorf("%d decisions replayed, %d requests judged, %d in all", s.Decisions.Replayed, s.Judged.Requests, s.Everything.Requests)
	}
	var b bytes.Buffer
	if err := s.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The objectives and the budget were kept.", "4 prefill and 4 decode", "(-44 %)", "more than the budget"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the summary does not say %q:\n%s", want, b.String())
		}
	}
}

// Each thing that can go wrong makes the verdict bad, and says what it was.
func TestBadRuns(t *testing.T) {
	warmUp := func(phase int) bool {
		return strings.HasSuffix(story.Demo().Load.Phases[phase].Name, story.WarmUpSuffix)
	}
	lower := func(r *Run, share float64, which func(int) bool) {
		r.Requests = slices.DeleteFunc(r.Requests, func(q engine.Record) bool { return which(q.Phase) })
		for i := range r.Story.Load.Phases {
			if which(i) {
				r.Requests = append(r.Requests, requests(i, 100, share)...)
			}
		}
	}
	lastAct := func(phase int) bool { return phase == len(story.Demo().Load.Phases)-1 }
	tests := map[string]struct {
		spoil func(*Run)
		want  string // empty: it is still good
	}{
		"bad warm-ups are not judged": {func(r *Run) { lower(r, 0, warmUp) }, ""},
		"one act misses":              {func(r *Run) { lower(r, 0.94, lastAct) }, "lull: 94.0 % of 100 requests had a TTFT within 2 s"},
		"failed requests": {func(r *Run) {
			for i := range r.Requests {
				if lastAct(r.Requests[i].Phase) {
					r.Requests[i].Outcome, r.Requests[i].FirstToken = engine.Failed, false
				}
			}
		}, "lull: 0.0 %"},
		"over the budget":    {func(r *Run) { r.Budget.Peak = 14 }, "14 GPUs were held"},
		"a hole":             {func(r *Run) { r.Budget.Hole = "the watch was cut" }, "the watch was cut"},
		"no move":            {func(r *Run) { r.WantMove = true }, "no move"},
		"no decisions":       {func(r *Run) { r.Decisions = nil }, "no decision record"},
		"a changed decision": {func(r *Run) { r.Decisions[1].Decision.Prefill.To++ }, "1 of 2 decision records"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := good(t)
			tc.spoil(&r)
			s := Of(r)
			if s.Good != (tc.want == "") {
				t.Fatalf("good is %t, problems %q", s.Good, s.Problems)
			}
			if all := strings.Join(s.Problems, "\n"); !strings.Contains(all, tc.want) {
				t.Errorf("problems %q, want one with %q", s.Problems, tc.want)
			}
		})
	}
}

func TestMovesIn(t *testing.T) {
	move := func(phase planner.MovePhase) *planner.Move {
		return &planner.Move{From: planner.Prefill, To: planner.Decode, DonorBefore: 4, DonorAfter: 3, ReceiverBefore: 2, ReceiverAfter: 3,
			GPUs: 2, Phase: phase, StartedAt: start.Add(10 * time.Second), Reason: "decode needs them"}
	}
	at := func(seconds int, d planner.Decision) planner.Record {
		d.At = start.Add(time.Duration(seconds) * time.Second)
		return planner.Record{Decision: d}
	}
	second := move(planner.Draining)
	second.StartedAt = start.Add(20 * time.Second)
	got := movesIn([]planner.Record{
		at(8, planner.Decision{}), at(10, planner.Decision{Move: move(planner.Draining)}), at(14, planner.Decision{Move: move(planner.StartingUp)}),
		at(20, planner.Decision{Ended: move(planner.MoveDone), Move: second}),
	}, start)
	if len(got) != 2 {
		t.Fatalf("%d moves, want 2: %+v", len(got), got)
	}
	if m := got[0]; m.AtSeconds != 10 || m.EndedAtSeconds != 20 || m.Outcome != planner.MoveDone || m.GPUs != 2 {
		t.Errorf("first move %+v", m)
	}
	if m := got[1]; m.AtSeconds != 20 || m.EndedAtSeconds != 0 || m.Outcome != planner.Draining {
		t.Errorf("second move %+v", m)
	}
}

// The demo's load is made so that no fixed counts within the budget hold it: the claim of the whole demo.
func TestNoFixedCountsHoldTheDemo(t *testing.T) {
	cfg, err := stage.Engine(1)
	if err != nil {
		t.Fatal(err)
	}
	within, err := CheapestFixed(cfg, story.Demo(), 1, stage.BudgetGPUs, stage.Objectives)
	if err != nil {
		t.Fatal(err)
	}
	if within.Found {
		t.Errorf("%d prefill and %d decode replicas hold the demo's load within the budget", within.Prefill, within.Decode)
	}
	beyond, err := CheapestFixed(cfg, story.Demo(), 1, 2*stage.BudgetGPUs, stage.Objectives)
	if err != nil {
		t.Fatal(err)
	}
	if !beyond.Found || beyond.GPUs <= stage.BudgetGPUs {
		t.Errorf("fixed counts beyond the budget: %+v", beyond)
	}
	t.Logf("cheapest fixed: %d prefill and %d decode, %d GPUs", beyond.Prefill, beyond.Decode, beyond.GPUs)
}
