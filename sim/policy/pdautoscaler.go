package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// own is the project's planner: the very code of the controller, with its memory from decision to decision. Its knob is the
// headroom that a person asks for (spec.behavior.headroomPercent): the scenario's at 1, and 0.7 of the knob's change more or less.
type own struct {
	spec   planner.Spec
	memory planner.Memory
	moved  int
}

const headroomPerKnob = 0.7

func newPlanner(s *Setup) Policy {
	p := &own{spec: s.Spec}
	b := &p.spec.Behavior
	b.Headroom += headroomPerKnob * (s.knob() - 1)
	return p
}

func (p *own) Interval() time.Duration { return p.spec.Behavior.IntervalSeconds.Duration() }

func (p *own) moves() int { return p.moved }

func (p *own) Decide(in *Input) (Counts, string) {
	d, memory := planner.Plan(planner.Input{Spec: p.spec, Snapshot: in.Snapshot, Memory: p.memory, Now: in.Now})
	p.memory = memory
	if d.Ended != nil && d.Ended.Phase == planner.MoveDone {
		p.moved++
	}
	return Counts{d.Prefill.To, d.Decode.To}, d.Summary
}
