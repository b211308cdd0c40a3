package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
)

// report tells what the round saw and did: metrics always, events where
// something began, the status where a person or a restart needs it.
func (c *Reconciler) report(ctx context.Context, r *round) {
	// What goes wrong is in the status, the events and the metrics; the log has
	// it as well, for the case that none of them can be written.
	log := ctrl.LoggerFrom(ctx)
	status := r.status()
	if r.statusError == nil && (r.heartbeat() || worthWriting(&r.base.Status, &status, func() bool { return c.mayWriteNumbers(r) })) {
		r.statusError = c.writeStatus(ctx, r, status)
	}
	if r.statusError == nil {
		r.statusError = c.release(ctx, r)
	}
	c.metrics.observe(r)
	c.show(r)
	c.announce(r)
	switch {
	case r.refused != nil:
		log.V(1).Info("no decision", "reason", r.refused.reason, "message", r.refused.message)
	case len(r.did.roles) > 0:
		log.Info("scaled", "decision", r.decision().Summary)
	default:
		log.V(1).Info("decided", "decision", r.decision().Summary)
	}
	for role, err := range r.writeErrors {
		log.Error(err, "the replicas of a role were not written", "role", role)
	}
	if r.statusError != nil {
		log.Error(r.statusError, "the status was not written")
	}
}
