package live

import (
	"fmt"
	"maps"
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

// decision is one decision that there was something to tell of.
type decision struct {
	at        time.Time
	explained *report.Explanation
	// written is false where the mode is not to write, or a write failed.
	written bool
}

// told remembers what was told of one PDAutoscaler, so that a reason that comes and goes is told once between two changes.
type told struct {
	refused string        // why nothing is decided; empty while something is
	holds   map[hold]bool // since the role's count last changed
	counts  map[planner.Role]int
	phase   planner.MovePhase // of the running move; empty where none is
	started time.Time         // when it was
}

type hold struct {
	role   planner.Role
	reason planner.Reason
}

// eventsOf are the changes of a round: a count that changes, a role that is held for a reason that was not told since, a move
// that begins, goes on to its next phase or ends, and why nothing can be decided.
func (t *told) eventsOf(r *Round) (all []event) {
	if r.Decided == nil {
		if t.refused != r.Reason {
			for _, role := range roles {
				all = append(all, event{r.At, string(role), page.Hold, "nothing is decided", r.Message})
			}
		}
		t.refused, t.holds = r.Reason, nil
		return all
	}
	t.refused = ""
	if t.holds == nil {
		t.holds = map[hold]bool{}
	}
	if t.counts == nil {
		t.counts = map[planner.Role]int{}
	}
	for i := range r.Decided.Roles {
		if e, worth := t.ofRole(r, &r.Decided.Roles[i]); worth {
			all = append(all, e)
		}
	}
	return append(all, t.ofMove(r)...)
}

func (t *told) ofRole(r *Round, role *report.RoleExplanation) (e event, worth bool) {
	e = event{at: r.At, lane: string(role.Role), why: role.Sentence}
	if last, known := t.counts[role.Role]; known && last != role.From {
		t.forget(role.Role) // somebody changed it: what holds it now is news
	}
	t.counts[role.Role] = role.From
	if role.To == role.From {
		this := hold{role.Role, role.Binding}
		if t.holds[this] {
			return e, false
		}
		t.holds[this] = true
		e.mark, e.what = page.Hold, fmt.Sprintf("%s at %d", kept(role.Binding), role.To)
		return e, true
	}
	e.mark, e.what = page.Up, fmt.Sprintf("up from %d to %d", role.From, role.To)
	if role.To < role.From {
		e.mark, e.what = page.Down, fmt.Sprintf("down from %d to %d", role.From, role.To)
	}
	if r.Written {
		t.forget(role.Role)
		t.counts[role.Role] = role.To
		return e, true
	}
	// The same is proposed in every round until someone does it.
	this := hold{role.Role, planner.Reason(fmt.Sprint(role.Binding, role.From, role.To))}
	worth = !t.holds[this]
	t.holds[this] = true
	e.what += ", not written"
	return e, worth
}

// forget lets everything be told of a role once more.
func (t *told) forget(role planner.Role) {
	maps.DeleteFunc(t.holds, func(h hold, _ bool) bool { return h.role == role })
}

func (t *told) ofMove(r *Round) (all []event) {
	add := func(what, why string) { all = append(all, event{r.At, laneMoves, page.Move, what, why}) }
	if m := r.Decided.Ended; m != nil {
		add(fmt.Sprintf("the move of %d GPUs from %s to %s ends", m.GPUs, m.From, m.To), m.Sentence)
	}
	m := r.Decided.Move
	switch {
	case m == nil:
		t.phase = ""
		return all
	case t.phase == "" || !t.started.Equal(m.StartedAt): // one may begin where another ends
		add(fmt.Sprintf("a move of %d GPUs from %s to %s begins", m.GPUs, m.From, m.To), m.Sentence)
	case t.phase != m.Phase:
		add(fmt.Sprintf("the move of %d GPUs from %s to %s goes on: %s", m.GPUs, m.From, m.To, m.Phase), m.Sentence)
	}
	t.phase, t.started = m.Phase, m.StartedAt
	return all
}

// kept is the verb for a count that stays.
func kept(reason planner.Reason) string {
	if reason == planner.ReasonSteady {
		return "steady"
	}
	return "held"
}
