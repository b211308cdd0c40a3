package controller

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// restore returns the memory that a controller starts with: the running move,
// the caps, the surges and the times of the last changes as the status has them,
// and empty windows that begin now, so that nothing goes down before a whole one was seen.
//
// A move is only taken up where the spec is still the one it was made for;
// without it the planner sees free GPUs and a role that needs them. The text
// says why a move was dropped.
func restore(pda *v1alpha1.PDAutoscaler, now time.Time) (m planner.Memory, dropped string) {
	status := &pda.Status
	m = planner.Memory{
		Version: planner.RecordVersion, Since: now, LastAt: now,
		Prefill:       restoreRole(&status.Memory.Prefill, now),
		Decode:        restoreRole(&status.Memory.Decode, now),
		MoveNotBefore: timeOf(status.Memory.MoveNotBefore),
	}
	move := status.Move
	switch {
	case move == nil:
	case status.ObservedGeneration != pda.Generation:
		dropped = "the spec changed while no controller ran"
	case !isMove(move):
		dropped = fmt.Sprintf("the status says from %q to %q in phase %q, which is no move", move.From, move.To, move.Phase)
	default:
		m.Move = moveOf(move)
	}
	return m, dropped
}

// foreignMove is why a running move is none of this controller's business: a newer one wrote it, in a way that this one does
// not understand. To drop it would leave half a move, and to go on with it might break it.
func foreignMove(s *v1alpha1.PDAutoscalerStatus) string {
	if s.Move == nil || isMove(s.Move) || s.Memory.Version <= planner.RecordVersion {
		return ""
	}
	return fmt.Sprintf("version %d of the controller's rules began a move of %d GPUs from %s to %s, and this controller, of version %d, does not understand its phase %q: nothing is written until a newer one leads or status.move is cleared",
		s.Memory.Version, s.Move.GPUs, s.Move.From, s.Move.To, planner.RecordVersion, s.Move.Phase)
}

// memoryStatus is what of a memory must survive, under the newest version that ever wrote it: what a newer controller wrote
// besides stays, and is its own.
func (r *round) memoryStatus(m *planner.Memory) v1alpha1.MemoryStatus {
	s := memoryStatus(m)
	s.Version = max(planner.RecordVersion, r.base.Status.Memory.Version)
	return s
}

// moveOf is the move that a status holds, nil where it holds none.
func moveOf(move *v1alpha1.MoveStatus) *planner.Move {
	if move == nil || !isMove(move) {
		return nil
	}
	return &planner.Move{
		From: planner.Role(move.From), To: planner.Role(move.To),
		DonorBefore: int(move.DonorBefore), DonorAfter: int(move.DonorAfter),
		ReceiverBefore: int(move.ReceiverBefore), ReceiverAfter: int(move.ReceiverAfter),
		GPUs: int(move.GPUs), Phase: planner.MovePhase(move.Phase),
		StartedAt: move.StartedAt.UTC(), PhaseSince: move.PhaseSince.UTC(), Reason: move.Reason,
	}
}

func isMove(m *v1alpha1.MoveStatus) bool {
	isRole := func(r string) bool { return r == string(planner.Prefill) || r == string(planner.Decode) }
	phase := planner.MovePhase(m.Phase)
	return isRole(m.From) && isRole(m.To) && m.From != m.To &&
		(phase == planner.Draining || phase == planner.StartingUp || phase == planner.Returning) &&
		m.DonorAfter >= 0 && m.DonorBefore >= m.DonorAfter && m.ReceiverBefore >= 0 && m.ReceiverAfter >= m.ReceiverBefore
}

func restoreRole(s *v1alpha1.RoleMemoryStatus, now time.Time) planner.RoleMemory {
	m := planner.RoleMemory{
		LastUp: timeOf(s.LastUp), LastDown: timeOf(s.LastDown),
		CappedUntil: timeOf(s.CappedUntil), CapSeconds: seconds(s.CapTime), QuietUntil: timeOf(s.QuietUntil),
	}
	if s.CappedAt != nil {
		m.CappedAt = int(*s.CappedAt)
	}
	if s.Surge != nil {
		m.Rises = []forecast.Rise{{From: now, Amount: float64(s.Surge.TokensPerSecond), Share: float64(s.Surge.Percent) / 100}}
	}
	return m
}

// moveStatus and memoryStatus are the other direction.
func moveStatus(m *planner.Move) *v1alpha1.MoveStatus {
	if m == nil {
		return nil
	}
	return &v1alpha1.MoveStatus{
		From: string(m.From), To: string(m.To),
		DonorBefore: int32(m.DonorBefore), DonorAfter: int32(m.DonorAfter),
		ReceiverBefore: int32(m.ReceiverBefore), ReceiverAfter: int32(m.ReceiverAfter),
		GPUs: int32(m.GPUs), Phase: string(m.Phase),
		StartedAt: metav1.NewMicroTime(m.StartedAt), PhaseSince: metav1.NewMicroTime(m.PhaseSince),
		Reason: truncate(m.Reason, maxMessageRunes),
	}
}

func memoryStatus(m *planner.Memory) v1alpha1.MemoryStatus {
	return v1alpha1.MemoryStatus{
		MoveNotBefore: microTime(m.MoveNotBefore),
		Prefill:       roleMemoryStatus(&m.Prefill),
		Decode:        roleMemoryStatus(&m.Decode),
	}
}

func roleMemoryStatus(m *planner.RoleMemory) v1alpha1.RoleMemoryStatus {
	s := v1alpha1.RoleMemoryStatus{
		LastUp: microTime(m.LastUp), LastDown: microTime(m.LastDown), QuietUntil: microTime(m.QuietUntil),
	}
	if !m.CappedUntil.IsZero() {
		s.CappedAt, s.CappedUntil = new(int32(m.CappedAt)), microTime(m.CappedUntil)
		s.CapTime = v1alpha1.Every(m.CapSeconds.Duration())
	}
	if tokens, share := forecast.Usual(m.Rises); tokens > 0 && share > 0 {
		s.Surge = &v1alpha1.SurgeStatus{TokensPerSecond: int64(min(math.Ceil(tokens), mostSurgeTokens)), Percent: int32(min(math.Ceil(100*share-1e-9), mostSurgePercent))}
	}
	return s
}

// Beyond these a rise says nothing more: it counts for at most half of the demand.
const mostSurgeTokens, mostSurgePercent = 1e9, 10_000

func timeOf(t *metav1.MicroTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewMicroTime(t))
}

// carried says how much of a decision was carried out.
type carried struct {
	// intent: the move and the caps may stand, because the status has them or will have them.
	intent bool
	// roles are those whose count was written.
	roles map[planner.Role]bool
}

// remember returns what to keep of a round. What the planner believes it did
// and was not done is taken back: a role that was not written did not go up or
// down, and a move that is not on record has not begun.
func remember(before, after planner.Memory, d *planner.Decision, did carried) planner.Memory {
	if !did.intent {
		after.Move, after.MoveNotBefore = before.Move, before.MoveNotBefore
	}
	changed := map[planner.Role]bool{planner.Prefill: d.Prefill.To != d.Prefill.From, planner.Decode: d.Decode.To != d.Decode.From}
	if !did.intent || changed[planner.Prefill] && !did.roles[planner.Prefill] {
		after.Prefill = undone(before.Prefill, after.Prefill, d.At)
	}
	if !did.intent || changed[planner.Decode] && !did.roles[planner.Decode] {
		after.Decode = undone(before.Decode, after.Decode, d.At)
	}
	return after
}

// undone keeps what was seen of a role, and forgets what was decided for it.
func undone(before, after planner.RoleMemory, now time.Time) planner.RoleMemory {
	kept := before
	kept.Needs, kept.Rises, kept.BreachSince, kept.MissingSince = after.Needs, after.Rises, after.BreachSince, after.MissingSince
	if after.BreachSince.Equal(now) && !before.BreachSince.IsZero() {
		kept.BreachSince = before.BreachSince // a breach is used up by the replica that it adds
	}
	return kept
}
