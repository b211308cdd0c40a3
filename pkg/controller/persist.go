package controller

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// persist puts on record what a controller that starts after this one was
// killed needs in order to finish, or not to repeat, what is about to be
// written: the move and the caps. It reports whether the round may write.
func (c *Reconciler) persist(ctx context.Context, r *round) bool {
	d := r.decision()
	if d == nil || !r.auto() {
		return false
	}
	r.did = carried{intent: true, roles: map[planner.Role]bool{}}
	if d.Prefill.To == d.Prefill.From && d.Decode.To == d.Decode.From {
		return false // nothing to write: the status written at the end of the round will do
	}
	if err := c.guard(ctx, r); err != nil {
		r.did, r.statusError = carried{}, err
		return false
	}
	status := r.base.Status.DeepCopy()
	status.Move = moveStatus(r.after.Move)
	status.Memory = r.memoryStatus(&r.after)
	status.Drains = drainsStatus(r.drains)
	if equality.Semantic.DeepEqual(intent(status), intent(&r.base.Status)) {
		return c.unchanged(ctx, r)
	}
	// The spec that the move was made for; see restore.
	status.ObservedGeneration = r.base.Generation
	if err := c.writeStatus(ctx, r, *status); err != nil {
		r.did = carried{}
		r.statusError = err
		return false
	}
	return true
}

// intent is the part of a status that must be on record before replica counts
// are written. When a role last changed is not, nor how far its demand rose: neither is of this decision.
func intent(s *v1alpha1.PDAutoscalerStatus) v1alpha1.PDAutoscalerStatus {
	memory := s.Memory
	memory.Version = 0 // it goes with what it is the version of
	for _, role := range []*v1alpha1.RoleMemoryStatus{&memory.Prefill, &memory.Decode} {
		role.LastUp, role.LastDown, role.QuietUntil, role.Surge = nil, nil, nil, nil
	}
	return v1alpha1.PDAutoscalerStatus{Move: s.Move, Memory: memory, Drains: s.Drains}
}

// unchanged reports whether the resource is still what this round was decided
// for. A person's hand is obeyed at once, also where the cache does not show it
// yet; a status write tells by itself, and where none is due this read does.
func (c *Reconciler) unchanged(ctx context.Context, r *round) bool {
	now := &v1alpha1.PDAutoscaler{}
	err := c.live.Get(ctx, r.svc.key, now)
	_, paused := now.Annotations[v1alpha1.PausedAnnotation]
	_, was := r.base.Annotations[v1alpha1.PausedAnnotation]
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		r.statusError = fmt.Errorf("the resource could not be read before its counts were written: %w", err)
	case err != nil, now.UID != r.base.UID, now.Generation != r.base.Generation, now.DeletionTimestamp != nil, paused != was:
		r.statusError = errStatusConflict
	default:
		return true
	}
	r.did = carried{}
	return false
}

// errStatusConflict: the round was made from a resource that is no longer the
// one on record.
var errStatusConflict = errors.New("the status was not written: the resource was changed in the meantime, and is looked at again at once")

// writeStatus replaces the status, if the resource is still the one that this
// round began with: an edit that came in between (a pause, another mode) makes
// it fail, and the next round sees it.
func (c *Reconciler) writeStatus(ctx context.Context, r *round, status v1alpha1.PDAutoscalerStatus) error {
	updated := r.base.DeepCopy()
	updated.Status = status
	patch := client.MergeFromWithOptions(r.base, client.MergeFromWithOptimisticLock{})
	err := c.client.Status().Patch(ctx, updated, patch, client.FieldOwner(fieldOwner))
	switch {
	case apierrors.IsConflict(err):
		return errStatusConflict
	case err != nil:
		return fmt.Errorf("the status could not be written: %w", err)
	}
	r.svc.wrote(r.base.ResourceVersion, updated)
	r.svc.writtenAt = r.now
	r.base = updated
	return nil
}

// wrote remembers the resource after a write, until the cache shows it.
func (s *service) wrote(replaced string, updated *v1alpha1.PDAutoscaler) {
	if s.written == nil || s.written.ResourceVersion != replaced {
		s.superseded = map[string]bool{}
	}
	s.superseded[replaced] = true
	s.written = updated.DeepCopy()
}

// newest returns the resource as the last write left it where the cache still
// shows a version that this write replaced.
func (s *service) newest(pda *v1alpha1.PDAutoscaler) *v1alpha1.PDAutoscaler {
	if s.written != nil && s.superseded[pda.ResourceVersion] {
		return s.written.DeepCopy()
	}
	s.written, s.superseded = nil, nil
	return pda
}

// fieldOwner is the name under which the controller writes.
const fieldOwner = "pdautoscaler"
