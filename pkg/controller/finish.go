package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// A resource that is deleted in the middle of a move leaves no half of it
// behind: GPUs that left the donor reach the receiver, or come back, and then
// the replicas are left as they are. A finalizer holds the resource for that
// long, and only then: without a move there is none.

// guard adds the finalizer before the first write of a move or a drain.
func (c *Reconciler) guard(ctx context.Context, r *round) error {
	if r.after.Move == nil && len(r.drains) == 0 || controllerutil.ContainsFinalizer(r.base, v1alpha1.MoveFinalizer) {
		return nil
	}
	return c.writeFinalizer(ctx, r, controllerutil.AddFinalizer)
}

// release takes it away when nothing runs any more.
func (c *Reconciler) release(ctx context.Context, r *round) error {
	if r.foreign != "" || r.svc.memory.Move != nil || len(r.svc.drains) > 0 || !controllerutil.ContainsFinalizer(r.base, v1alpha1.MoveFinalizer) {
		return nil
	}
	return c.writeFinalizer(ctx, r, controllerutil.RemoveFinalizer)
}

func (c *Reconciler) writeFinalizer(ctx context.Context, r *round, change func(client.Object, string) bool) error {
	updated := r.base.DeepCopy()
	change(updated, v1alpha1.MoveFinalizer)
	patch := client.MergeFromWithOptions(r.base, client.MergeFromWithOptimisticLock{})
	err := c.client.Patch(ctx, updated, patch, client.FieldOwner(fieldOwner))
	switch {
	case apierrors.IsConflict(err):
		return errStatusConflict
	case err != nil:
		return fmt.Errorf("the finalizer %s could not be written: %w", v1alpha1.MoveFinalizer, err)
	}
	r.svc.wrote(r.base.ResourceVersion, updated)
	r.base = updated
	return nil
}

// finish does one step towards the end of the move of a resource that is being
// deleted, and lets it go when there is nothing more to do.
func (c *Reconciler) finish(ctx context.Context, request reconcile.Request, pda *v1alpha1.PDAutoscaler) (reconcile.Result, error) {
	r, err := c.begin(ctx, request, pda)
	if r == nil || err != nil {
		return reconcile.Result{}, err
	}
	if r.base.DeletionTimestamp == nil {
		// It was deleted and made again, which the cache does not show yet.
		return reconcile.Result{RequeueAfter: time.Second}, nil
	}
	log := ctrl.LoggerFrom(ctx)
	step := c.lastStep(ctx, r)
	if step.to > step.from {
		// What was seen may be behind; see roomFor.
		held, err := c.workload.Confirm(ctx, r.target, r.now)
		switch {
		case err == nil && held <= r.heldGPUs():
		case r.overdue():
			step = ending{done: true, lost: true, why: fmt.Sprintf("its move was not ended, whether there is room for role %s is not known", step.role)}
		default:
			log.Info("the move of a deleted resource is not ended yet", "heldGPUs", held, "seenGPUs", r.heldGPUs(), "error", err)
			return reconcile.Result{RequeueAfter: r.interval()}, nil
		}
	}
	if step.to != step.from {
		err := c.workload.Apply(ctx, r.target, step.role, step.from, step.to)
		switch {
		case err == nil:
			log.Info("scaled", "role", step.role, "from", step.from, "to", step.to, "why", step.why)
		case r.overdue():
			step.done, step.lost, step.why = true, true, fmt.Sprintf("its move was not ended, role %s could not be scaled from %d to %d: %s", step.role, step.from, step.to, err)
		default:
			log.Error(err, "the move of a deleted resource could not be ended yet", "role", step.role)
			return reconcile.Result{RequeueAfter: r.interval()}, nil
		}
	}
	if !step.done || r.owesWord() {
		return reconcile.Result{RequeueAfter: r.interval()}, nil
	}
	r.foreign = ""
	if r.hookError != nil { // there is no round after this one that would say it
		c.event(r, corev1.EventTypeWarning, string(ReasonDrainHookFailed), "Decide", r.hookError.Error())
	}
	if step.lost {
		c.event(r, corev1.EventTypeWarning, "MoveFailed", "Move", "the resource is deleted: "+step.why)
	} else {
		c.event(r, corev1.EventTypeNormal, "MoveEnded", "Move", "the resource is deleted: "+step.why)
	}
	r.svc.memory.Move, r.svc.drains = nil, nil
	if err := c.release(ctx, r); err != nil {
		return reconcile.Result{RequeueAfter: time.Second}, client.IgnoreNotFound(err)
	}
	if len(r.base.Finalizers) == 0 {
		c.forget(request)
	}
	return reconcile.Result{}, nil
}

// owesWord reports whether a replica that stays still believes that it goes: the
// routers that watch it would send it nothing more, and nobody would know why. It
// is told again for as long as a drain may take.
func (r *round) owesWord() bool {
	if r.hookError == nil || len(r.drains) == 0 {
		return false
	}
	return r.now.Sub(r.base.DeletionTimestamp.Time) <= r.pda.Spec.Rebalance.DrainTimeout.Duration
}

// ending is one step of a move that is only to be ended: at most one write.
type ending struct {
	role     planner.Role
	from, to int
	done     bool
	// lost: the move stays as it is, because its target cannot be reached.
	lost bool
	why  string
}

// overdue reports whether a deleted resource was held for as long as a move may
// take: one that nobody can delete helps no one.
func (r *round) overdue() bool {
	b := rebalance(&r.pda.Spec.Rebalance)
	return r.now.Sub(r.base.DeletionTimestamp.Time) > (b.DrainTimeoutSeconds + b.StartTimeoutSeconds).Duration()
}

// lastStep looks at what the move has come to.
func (c *Reconciler) lastStep(ctx context.Context, r *round) ending {
	if r.foreign != "" {
		// A newer controller may still end it; a resource that nobody can delete helps no one.
		spec := rebalance(&r.pda.Spec.Rebalance)
		late := r.now.Sub(r.base.Status.Move.PhaseSince.Time) > (spec.DrainTimeoutSeconds + spec.StartTimeoutSeconds).Duration()
		return ending{done: late, why: r.foreign}
	}
	move := r.svc.memory.Move
	if move == nil {
		move = moveOf(r.base.Status.Move)
	}
	r.target = workload.TargetOf(r.pda)
	if r.svc.target.Namespace != "" && r.svc.turns(r) {
		// It was edited and deleted before a round saw either. What was begun is of the target before.
		c.leave(ctx, r)
		return ending{done: true, lost: move != nil, why: "the target was changed to " + r.target.String()}
	}
	r.svc.aim(c, r)
	seen, err := c.workload.Observe(ctx, r.target, r.now)
	if err != nil {
		r.unseen = unseen(r.target, err)
		if r.unseen.reason == ReasonTargetMissing {
			return ending{done: true, why: "the target is gone"}
		}
		return ending{done: r.overdue(), lost: true, why: "its move or drain was not ended, " + r.unseen.message}
	}
	r.seen, r.drains = &seen, map[planner.Role]drain{}
	c.undrain(ctx, r)
	switch {
	case move == nil:
		return ending{done: true, why: "no move was under way"}
	case r.svc.group != "" && r.svc.group != seen.UID:
		return ending{done: true, lost: true, why: "the target was deleted and made again"}
	case !r.auto():
		return ending{done: true, why: fmt.Sprintf("in mode %s nothing is written", r.pda.Spec.Mode)}
	case pausedBy(r.pda) != "":
		return ending{done: true, why: "nothing is written while it is paused"}
	}
	return endMove(move, &seen.Prefill, &seen.Decode, r.room(), rebalance(&r.pda.Spec.Rebalance), r.now)
}

// heldGPUs is what the target was seen to hold.
func (r *round) heldGPUs() int { return r.seen.Prefill.HeldGPUs() + r.seen.Decode.HeldGPUs() }

// room is how many GPUs the budget leaves.
func (r *round) room() int {
	held := r.heldGPUs()
	room := int(^uint(0) >> 1)
	if b := r.pda.Spec.Budget; b != nil {
		room = int(b.GPUs) - held
	}
	if gpus, _, limited := r.seen.BudgetGPUs(); limited {
		room = min(room, gpus-held)
	}
	return room
}

// endMove decides the step. What was written already is seen in the counts, so
// that it needs no memory of its own.
func endMove(m *planner.Move, prefill, decode *planner.Pool, room int, spec planner.Rebalance, now time.Time) ending {
	donor, receiver := prefill, decode
	if m.From == planner.Decode {
		donor, receiver = decode, prefill
	}
	if slices.ContainsFunc([]*planner.Pool{donor, receiver}, func(p *planner.Pool) bool { return p.Missing != "" || p.Writer != "" }) {
		return ending{done: true, why: "one of the roles is gone, or something else writes it"}
	}
	late := now.Sub(m.PhaseSince) > (spec.DrainTimeoutSeconds + spec.StartTimeoutSeconds).Duration()
	wait := func(role planner.Role) ending {
		return ending{done: late, why: fmt.Sprintf("pods of %s still hold the GPUs", role)}
	}
	grow := func(role planner.Role, p *planner.Pool, to int, why string) ending {
		switch {
		case p.Desired >= to:
			return ending{done: true, why: why}
		case (to-p.Desired)*p.GPUsPerReplica > room:
			return ending{done: true, why: fmt.Sprintf("the budget has no room for %s", role)}
		case p.Held != "" || p.HeldUp != "":
			return ending{done: late, why: p.Held + p.HeldUp}
		}
		return ending{role: role, from: p.Desired, to: to, done: true, why: why}
	}
	there := fmt.Sprintf("the GPUs went from %s to %s", m.From, m.To)
	switch m.Phase {
	case planner.Draining, planner.StartingUp:
		switch {
		case receiver.Desired >= m.ReceiverAfter:
			return ending{done: true, why: there}
		case donor.Desired > m.DonorAfter:
			return ending{done: true, why: fmt.Sprintf("%s was not asked for its GPUs yet", m.From)}
		case len(donor.Replicas) > m.DonorAfter:
			return wait(m.From)
		}
		return grow(m.To, receiver, m.ReceiverAfter, there)
	case planner.Returning:
		switch {
		case receiver.Desired > m.ReceiverBefore && receiver.Held == "":
			return ending{role: m.To, from: receiver.Desired, to: m.ReceiverBefore, why: fmt.Sprintf("%s gives the GPUs back", m.To)}
		case len(receiver.Replicas) > m.ReceiverBefore:
			return wait(m.To)
		}
		return grow(m.From, donor, m.DonorBefore, fmt.Sprintf("the GPUs are back at %s", m.From))
	}
	return ending{done: true, why: fmt.Sprintf("its phase %q is not known", m.Phase)}
}
