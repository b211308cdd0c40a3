package controller

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// Recorder sends events about a resource (client-go's tools/events has it).
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// maxNoteBytes is what the API server accepts in an event.
const maxNoteBytes = 1024

// repeatAfter is when something that comes and goes is said again. What goes on is in the conditions.
const repeatAfter = 10 * time.Minute

// said remembers when each event that describes a state was sent.
type said map[saidKey]saidAt

type saidKey struct {
	reason planner.Reason
	role   planner.Role
}

type saidAt struct {
	at   time.Time
	told bool // since it began
}

// announce sends the round's events: each change once, each state when it begins.
func (c *Reconciler) announce(r *round) {
	c.announceChanges(r)
	c.announceStates(r)
}

// announceChanges tells what was done in this round.
func (c *Reconciler) announceChanges(r *round) {
	if r.abandoned != "" {
		c.event(r, corev1.EventTypeWarning, "MoveAbandoned", "Move", "the running move of GPUs is not continued: "+r.abandoned)
	}
	d := r.decision()
	if d == nil {
		return
	}
	for _, role := range roles {
		rd := roleDecision(d, role)
		switch {
		case !r.did.roles[role]:
		case rd.To > rd.From:
			c.event(r, corev1.EventTypeNormal, "ScaledUp", action("Scale", role), rd.Because)
		default:
			c.event(r, corev1.EventTypeNormal, "ScaledDown", action("Scale", role), rd.Because+r.gone(role))
		}
	}
	if !r.did.intent {
		return
	}
	if m := r.begun(); m != nil {
		c.event(r, corev1.EventTypeNormal, "MoveStarted", "Move", fmt.Sprintf("%d GPUs go from %s to %s: %s", m.GPUs, m.From, m.To, m.Reason))
	}
	if m := d.Ended; m != nil {
		took := m.PhaseSince.Sub(m.StartedAt).Round(time.Second)
		if m.Phase == planner.MoveDone {
			c.event(r, corev1.EventTypeNormal, "MoveEnded", "Move", fmt.Sprintf("%d GPUs went from %s to %s in %s", m.GPUs, m.From, m.To, took))
		} else {
			c.event(r, corev1.EventTypeWarning, "MoveFailed", "Move", fmt.Sprintf("the move of %d GPUs from %s to %s ended as %s after %s: %s", m.GPUs, m.From, m.To, m.Phase, took, m.Reason))
		}
	}
}

// begun is the move that this round began, nil where it did not: one may begin in the round in which another ends.
func (r *round) begun() *planner.Move {
	m := r.after.Move
	if m != nil && r.before.Move != nil && r.before.Move.StartedAt.Equal(m.StartedAt) {
		return nil
	}
	return m
}

// gone names the replicas that a scale-down takes.
func (r *round) gone(role planner.Role) string {
	rd := roleDecision(r.decision(), role)
	names := workload.Victims(pool(r.seen, role), rd.From-rd.To)
	if len(names) == 0 {
		return ""
	}
	return "; " + strings.Join(names, ", ") + " goes"
}

// announceStates tells what is wrong, or in the way, when it begins.
func (c *Reconciler) announceStates(r *round) {
	now := map[saidKey]string{}
	if r.refused != nil {
		now[saidKey{reason: r.refused.reason}] = r.refused.message
	}
	if r.statusError != nil {
		now[saidKey{reason: ReasonStatusNotWritten}] = r.statusError.Error()
	}
	for role, err := range r.writeErrors {
		now[saidKey{ReasonWriteFailed, role}] = fmt.Sprintf("the replicas of %s were not written: %s", role, err)
	}
	if r.hookError != nil {
		now[saidKey{reason: ReasonDrainHookFailed}] = r.hookError.Error()
	}
	for role, message := range r.waiting {
		now[saidKey{ReasonDraining, role}] = message
	}
	if r.seen != nil {
		for _, p := range r.seen.Problems {
			now[saidKey{planner.Reason(p.Reason), p.Role}] = p.Message
		}
	}
	if d := r.decision(); d != nil {
		for _, n := range d.Notes {
			if n.Reason == planner.ReasonDemandUnknown && r.justStarted() {
				continue // a rate takes two readings
			}
			now[saidKey{n.Reason, n.Role}] = n.Message
		}
	}
	if r.svc.said == nil {
		r.svc.said = said{}
	}
	for key, message := range now {
		last, known := r.svc.said[key]
		again := r.now.Sub(last.at) >= repeatAfter
		if !last.told && (again || !known) {
			c.event(r, eventType(key.reason), string(key.reason), action("Decide", key.role), message)
			last = saidAt{r.now, true}
		}
		r.svc.said[key] = last
	}
	for key, last := range r.svc.said {
		if _, still := now[key]; !still {
			last.told = false
			r.svc.said[key] = last
		}
	}
}

// justStarted reports whether readings may still be missing because this
// controller has only begun to read.
func (r *round) justStarted() bool {
	return r.now.Sub(r.before.Since) < r.pda.Spec.Behavior.MaxAge.Duration
}

// eventType: what a person asked for is no warning.
func eventType(reason planner.Reason) string {
	if reason == planner.ReasonPaused || reason == ReasonDraining {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// action names what was done, and to which role: of two events about one resource
// that differ in their note only, the second counts as the first going on, and
// what it says is lost.
func action(verb string, role planner.Role) string {
	switch role {
	case planner.Prefill:
		return verb + "Prefill"
	case planner.Decode:
		return verb + "Decode"
	}
	return verb
}

func (c *Reconciler) event(r *round, eventtype, reason, action, note string) {
	if len(note) > maxNoteBytes {
		// A character that was cut through is left out: as JSON each of its bytes
		// would be three, and the event too long for the API server.
		note = strings.ToValidUTF8(note[:maxNoteBytes-3], "") + "..."
	}
	c.recorder.Eventf(r.base, nil, eventtype, reason, action, "%s", note)
}
