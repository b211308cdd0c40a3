package live

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// What is kept of the changes of one PDAutoscaler.
const (
	Events    = 200
	Decisions = 20
)

// event is one change on the time line.
type event struct {
	at        time.Time
	lane      string // a role, or laneMoves
	mark      page.Mark
	what, why string
}

const laneMoves = "moves"

// decision is one decision that changed something, or was bound by another reason than the one before.
type decision struct {
	at        time.Time
	explained *report.Explanation
	// told is false where the mode is not to write, or a write failed.
	written bool
}

// cause is what a decision comes down to; the next one is worth telling when its cause is another.
type cause struct {
	reason          string
	prefill, decode planner.Reason
	move            planner.MovePhase
}

func causeOf(r *Round) cause {
	if r.Decided == nil {
		return cause{reason: r.Reason}
	}
	var c cause
	for _, role := range r.Decided.Roles {
		if role.Role == planner.Prefill {
			c.prefill = role.Binding
		} else {
			c.decode = role.Binding
		}
	}
	if m := r.Decided.Move; m != nil {
		c.move = m.Phase
	}
	return c
}

// eventsOf are the changes of a round: a count that changes, a role that is held for another reason than before, and a move
// that begins or ends.
func eventsOf(r *Round, before cause, moving bool) []event {
	if r.Decided == nil {
		if before.reason == r.Reason {
			return nil
		}
		var all []event
		for _, role := range roles {
			all = append(all, event{r.At, string(role), page.Hold, "nothing is decided", r.Message})
		}
		return all
	}
	var all []event
	for _, role := range r.Decided.Roles {
		e := event{at: r.At, lane: string(role.Role), why: role.Sentence}
		was := before.prefill
		if role.Role == planner.Decode {
			was = before.decode
		}
		switch {
		case role.To > role.From:
			e.mark, e.what = page.Up, fmt.Sprintf("up from %d to %d", role.From, role.To)
		case role.To < role.From:
			e.mark, e.what = page.Down, fmt.Sprintf("down from %d to %d", role.From, role.To)
		case role.Binding != was:
			e.mark, e.what = page.Hold, fmt.Sprintf("%s at %d", kept(role.Binding), role.To)
		default:
			continue
		}
		if role.To != role.From && !r.Written {
			e.what += ", not written"
		}
		all = append(all, e)
	}
	if m := r.Decided.Move; m != nil && !moving {
		all = append(all, event{r.At, laneMoves, page.Move, fmt.Sprintf("a move of %d GPUs from %s to %s begins", m.GPUs, m.From, m.To), m.Sentence})
	}
	if m := r.Decided.Ended; m != nil {
		all = append(all, event{r.At, laneMoves, page.Move, fmt.Sprintf("the move of %d GPUs from %s to %s ends", m.GPUs, m.From, m.To), m.Sentence})
	}
	return all
}

// kept is the verb for a count that stays.
func kept(reason planner.Reason) string {
	if reason == planner.ReasonSteady {
		return "steady"
	}
	return "held"
}
