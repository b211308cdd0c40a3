package verdict

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Move is one move of GPUs from one role to the other.
type Move struct {
	AtSeconds float64 `json:"atSeconds"`
	// EndedAtSeconds is 0 while the move was under way at the end.
	EndedAtSeconds float64           `json:"endedAtSeconds,omitempty"`
	From           planner.Role      `json:"from"`
	To             planner.Role      `json:"to"`
	GPUs           int               `json:"gpus"`
	DonorBefore    int               `json:"donorBefore"`
	DonorAfter     int               `json:"donorAfter"`
	ReceiverBefore int               `json:"receiverBefore"`
	ReceiverAfter  int               `json:"receiverAfter"`
	Outcome        planner.MovePhase `json:"outcome"`
	Reason         string            `json:"reason"`
}

// Change is one decision that asked for other counts.
type Change struct {
	AtSeconds float64     `json:"atSeconds"`
	Prefill   CountChange `json:"prefill"`
	Decode    CountChange `json:"decode"`
	Summary   string      `json:"summary"`
}

// CountChange is one role's part of a change.
type CountChange struct {
	From    int            `json:"from"`
	To      int            `json:"to"`
	Reason  planner.Reason `json:"reason"`
	Because string         `json:"because"`
}

// movesIn finds the moves in decision records, which are in order of time.
func movesIn(records []planner.Record, start time.Time) []Move {
	var moves []Move
	index := map[time.Time]int{}
	see := func(m *planner.Move) *Move {
		i, known := index[m.StartedAt.UTC()]
		if !known {
			i = len(moves)
			index[m.StartedAt.UTC()] = i
			moves = append(moves, Move{
				AtSeconds: m.StartedAt.Sub(start).Seconds(), From: m.From, To: m.To, GPUs: m.GPUs,
				DonorBefore: m.DonorBefore, DonorAfter: m.DonorAfter, ReceiverBefore: m.ReceiverBefore, ReceiverAfter: m.ReceiverAfter,
				Reason: m.Reason,
			})
		}
		moves[i].Outcome = m.Phase
		return &moves[i]
	}
	for i := range records {
		d := &records[i].Decision
		if d.Ended != nil {
			see(d.Ended).EndedAtSeconds = d.At.Sub(start).Seconds()
		}
		if d.Move != nil {
			see(d.Move)
		}
	}
	return moves
}

// changesIn finds the decisions that asked for other counts.
func changesIn(records []planner.Record, start time.Time) []Change {
	var changes []Change
	for i := range records {
		if d := &records[i].Decision; Changed(d) {
			changes = append(changes, Change{
				AtSeconds: d.At.Sub(start).Seconds(), Summary: d.Summary,
				Prefill: CountChange{d.Prefill.From, d.Prefill.To, d.Prefill.Binding, d.Prefill.Because},
				Decode:  CountChange{d.Decode.From, d.Decode.To, d.Decode.Binding, d.Decode.Because},
			})
		}
	}
	return changes
}

// Changed reports whether a decision asks for another count than the present one.
func Changed(d *planner.Decision) bool {
	return d.Prefill.From != d.Prefill.To || d.Decode.From != d.Decode.To
}

// Sentences are the reasons of a decision, one for each role whose count it changed.
func Sentences(d *planner.Decision) []string {
	var all []string
	for _, r := range []*planner.RoleDecision{&d.Prefill, &d.Decode} {
		if r.From != r.To {
			all = append(all, r.Because)
		}
	}
	return all
}
