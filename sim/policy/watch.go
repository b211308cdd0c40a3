package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Decision is what a policy decided at one moment, whether it changed anything or not.
type Decision struct {
	At time.Duration
	// From is what was asked for before and Wanted what the policy asks for now, before the limits that all share.
	From, Wanted Counts
	Why          string
	// Prefill and Decode are the reason for each role, where the policy gives one.
	Prefill, Decode string
	// Move is the transfer of GPUs that is under way, nil when none is.
	Move *planner.Move
}

// Watch returns the same policy, which calls each with every decision.
func Watch(p Policy, each func(Decision)) Policy { return &watched{p, each} }

type watched struct {
	Policy
	each func(Decision)
}

func (w *watched) moves() int {
	if m, ok := w.Policy.(mover); ok {
		return m.moves()
	}
	return 0
}

func (w *watched) Decide(in *Input) (Counts, string) {
	d := Decision{At: in.At, From: in.Desired}
	if p, ok := w.Policy.(*own); ok {
		// The planner is a pure function: asked again it says the same, and every reason with it.
		full, _ := planner.Plan(planner.Input{Spec: p.spec, Snapshot: in.Snapshot, Memory: p.memory, Now: in.Now})
		d.Prefill, d.Decode, d.Move = full.Prefill.Because, full.Decode.Because, full.Move
	}
	d.Wanted, d.Why = w.Policy.Decide(in)
	w.each(d)
	return d.Wanted, d.Why
}
