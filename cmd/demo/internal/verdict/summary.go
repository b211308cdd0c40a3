package verdict

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// Run is what was recorded of one run.
type Run struct {
	Story      story.Story
	Objectives engine.Objectives
	// Start is when the load began.
	Start time.Time
	// Requests are all that arrived, and Decisions the controller's records, oldest first.
	Requests  []engine.Record
	Decisions []planner.Record
	Budget    Budget
	GPUHours  float64
	Fixed     Fixed
	// WantMove is true where the story is made so that a move must happen.
	WantMove bool
}

// Budget is what the API server's watch history says of the GPUs held.
type Budget struct {
	GPUs int `json:"gpus"`
	// Peak is the most that was held after any event of the history.
	Peak          int     `json:"peak"`
	PeakAtSeconds float64 `json:"peakAtSeconds"`
	// Events is the number of pod events counted.
	Events int `json:"events"`
	// Hole says why the history is not whole; empty when it is.
	Hole string `json:"hole,omitempty"`
	Kept bool   `json:"kept"`
}

// Decisions counts the controller's decisions.
type Decisions struct {
	Made    int `json:"made"`
	Changed int `json:"changed"`
	// Replayed is how many gave the same decision again from their saved input, bit for bit.
	Replayed int `json:"replayed"`
}

// Range is the least and the most of something.
type Range struct {
	Least int `json:"least"`
	Most  int `json:"most"`
}

// Summary is how a run went.
type Summary struct {
	// Good is the verdict, and Problems why it is not good.
	Good     bool     `json:"good"`
	Problems []string `json:"problems,omitempty"`

	Started       time.Time         `json:"started"`
	LengthSeconds float64           `json:"lengthSeconds"`
	Objectives    engine.Objectives `json:"objectives"`
	Acts          []Act             `json:"acts"`
	// Judged is all judged requests together, Everything adds those of the warm-ups.
	Judged     engine.Attainment `json:"judged"`
	Everything engine.Attainment `json:"everything"`

	Budget   Budget  `json:"budget"`
	GPUHours float64 `json:"gpuHours"`
	Fixed    Fixed   `json:"fixed"`

	Decisions Decisions `json:"decisions"`
	Prefill   Range     `json:"prefillReplicas"`
	Decode    Range     `json:"decodeReplicas"`
	Moves     []Move    `json:"moves"`
	Changes   []Change  `json:"changes"`
}

// Of judges a run.
func Of(r Run) Summary {
	whole := func(name string, keep func(*engine.Record) bool) engine.Attainment {
		return engine.Attain(name, r.Requests, r.Objectives, keep)
	}
	s := Summary{
		Started: r.Start, LengthSeconds: r.Story.Load.Duration().Seconds(), Objectives: r.Objectives,
		Acts:       judgeActs(r.Story, r.Requests, r.Objectives),
		Judged:     whole("judged", func(q *engine.Record) bool { return judged(r.Story, q.Phase) }),
		Everything: whole("everything", nil),
		Budget:     r.Budget, GPUHours: r.GPUHours, Fixed: r.Fixed,
		Moves: movesIn(r.Decisions, r.Start), Changes: changesIn(r.Decisions, r.Start),
	}
	s.Budget.Kept = s.Budget.Hole == "" && s.Budget.Peak <= s.Budget.GPUs
	s.Decisions = Decisions{Made: len(r.Decisions), Changed: len(s.Changes)}
	s.countReplicas(r.Decisions)
	s.replay(r.Decisions)
	s.findProblems(r.WantMove)
	s.Good = len(s.Problems) == 0
	return s
}

// countReplicas finds between which counts each role was scaled.
func (s *Summary) countReplicas(records []planner.Record) {
	see := func(r *Range, n int) {
		if *r == (Range{}) {
			*r = Range{n, n}
		}
		r.Least, r.Most = min(r.Least, n), max(r.Most, n)
	}
	for i := range records {
		d := &records[i].Decision
		see(&s.Prefill, d.Prefill.To)
		see(&s.Decode, d.Decode.To)
	}
}

func (s *Summary) replay(records []planner.Record) {
	for i := range records {
		if again, err := report.MakeAgain(records[i]); err == nil && again.Equal {
			s.Decisions.Replayed++
		}
	}
}

func (s *Summary) findProblems(wantMove bool) {
	problem := func(format string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(format, args...)) }
	for _, a := range s.Acts {
		for _, o := range []struct {
			name string
			engine.Met
		}{{"TTFT", a.Attainment.TTFT}, {"TPOT", a.Attainment.TPOT}} {
			if !o.Met.Met() {
				problem("%s: %.1f %% of %d requests had a %s within %s, %.0f %% are asked for",
					a.Name, 100*o.Share, o.Judged, o.name, inMs(o.ObjectiveMs), 100*o.Needed)
			}
		}
	}
	if s.Budget.Hole != "" {
		problem("the budget is not proved: %s", s.Budget.Hole)
	}
	if s.Budget.Peak > s.Budget.GPUs {
		problem("%d GPUs were held %.1f s after the start and the budget is %d", s.Budget.Peak, s.Budget.PeakAtSeconds, s.Budget.GPUs)
	}
	if wantMove && s.movesDone() == 0 {
		problem("no move of GPUs from one role to the other was completed")
	}
	if s.Decisions.Made == 0 {
		problem("the controller served no decision record")
	}
	if n := s.Decisions.Made - s.Decisions.Replayed; n > 0 {
		problem("%d of %d decision records do not give the same decision again", n, s.Decisions.Made)
	}
}

func (s *Summary) movesDone() int {
	n := 0
	for _, m := range s.Moves {
		if m.Outcome == planner.MoveDone {
			n++
		}
	}
	return n
}
