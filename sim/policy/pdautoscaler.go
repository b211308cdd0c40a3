package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// own is the project's planner: the very code of the controller, with its memory from decision to decision. Its knob is what a
// person has to make it more careful on the way down: it multiplies the scale-down window, and sets the tolerance, which is
// the scenario's at 1, goes to 0 below and grows by 0.4 for each 1 above.
type own struct {
	spec   planner.Spec
	memory planner.Memory
	moved  int
}

func newPlanner(s *Setup) Policy {
	p, knob := &own{spec: s.Spec}, s.knob()
	b := &p.spec.Behavior
	b.DownWindowSeconds *= planner.Seconds(knob)
	if knob < 1 {
		b.Tolerance *= knob
	} else {
		b.Tolerance = min(0.9, b.Tolerance+0.4*(knob-1))
	}
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
