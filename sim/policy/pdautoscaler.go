package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// own is the project's planner: the very code of the controller, with its memory from decision to decision.
type own struct {
	spec   planner.Spec
	memory planner.Memory
	moved  int
	// Observe is called with each decision's record, for those who want them.
	observe func(planner.Record)
}

func newPlanner(s *Setup) Policy { return &own{spec: s.Spec} }

func (p *own) Interval() time.Duration { return p.spec.Behavior.IntervalSeconds.Duration() }

func (p *own) moves() int { return p.moved }

func (p *own) Decide(in *Input) (Counts, string) {
	input := planner.Input{Spec: p.spec, Snapshot: in.Snapshot, Memory: p.memory, Now: in.Now}
	d, memory := planner.Plan(input)
	p.memory = memory
	if d.Ended != nil && d.Ended.Phase == planner.MoveDone {
		p.moved++
	}
	if p.observe != nil {
		p.observe(planner.Record{Version: planner.RecordVersion, Input: input, Decision: d})
	}
	return Counts{d.Prefill.To, d.Decode.To}, d.Summary
}
