package controller

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Reconciler carries out the rounds of all resources. It is safe for
// concurrent use by the workers of a queue that never gives one resource to two.
type Reconciler struct {
	client       client.Client // reads through a cache
	live         client.Reader // reads past it
	workload     Workload
	newCollector NewCollector
	recorder     Recorder
	metrics      *Metrics
	page         watcher // nil without a page
	clock        clock.PassiveClock
	decide       func(planner.Input) (planner.Decision, planner.Memory)
	store        *store
	recordsKept  int
	// afterStop is how long a round may go on when the manager stops, 0 for as long as it takes.
	afterStop time.Duration
	// signalHosts are the hosts that signals may be read from; none is any.
	signalHosts hostPatterns
}

// Reconcile does one round of one resource and asks for the next.
func (c *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	pda := &v1alpha1.PDAutoscaler{}
	err := c.client.Get(ctx, request.NamespacedName, pda)
	leaving := err == nil && pda.DeletionTimestamp != nil
	held := leaving && controllerutil.ContainsFinalizer(pda, v1alpha1.MoveFinalizer)
	if apierrors.IsNotFound(err) || leaving && !held {
		c.forget(request)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}

	interval := max(pda.Spec.Behavior.Interval.Duration, 0)
	if interval == 0 {
		interval = defaultInterval
	}
	ctx, cancel := roundContext(ctx, deadline(interval), c.afterStop)
	defer cancel()

	if held {
		return c.finish(ctx, request, pda)
	}
	r, err := c.begin(ctx, request, pda)
	if r == nil || err != nil {
		return reconcile.Result{}, err
	}
	c.observe(ctx, r)
	c.plan(ctx, r)
	r.planDrains()
	c.undrain(ctx, r)
	if c.persist(ctx, r) {
		c.apply(ctx, r)
	}
	c.conclude(r)
	c.report(ctx, r)
	r.svc.due = r.next()
	return reconcile.Result{RequeueAfter: max(r.svc.due.Sub(c.clock.Now()), shortestWait)}, nil
}

// begin makes the round, and the service of a resource that is seen for the
// first time. The round is nil where the resource has gone.
func (c *Reconciler) begin(ctx context.Context, request reconcile.Request, pda *v1alpha1.PDAutoscaler) (*round, error) {
	// Whole microseconds, in UTC and without the monotonic reading: what is
	// saved in a status or a record is then exactly what was decided from.
	r := &round{now: c.clock.Now().UTC().Round(0).Truncate(time.Microsecond)}
	r.svc = c.store.get(request.NamespacedName)
	if r.svc != nil && r.svc.uid != pda.UID {
		c.forget(request)
		r.svc = nil
	}
	if r.svc == nil {
		// The cache may not show yet what the controller before this one wrote
		// last. Decoding leaves what is absent as it is, hence the empty object.
		pda = &v1alpha1.PDAutoscaler{}
		if err := c.live.Get(ctx, request.NamespacedName, pda); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		r.svc = &service{key: request.NamespacedName, uid: pda.UID, gpus: gpuNames{}, records: newRing(c.recordsKept)}
		r.svc.memory, r.abandoned = restore(pda, r.now)
		r.svc.drains = restoreDrains(pda)
		for role, model := range map[planner.Role]string{planner.Prefill: pda.Status.Model.Prefill.GPU, planner.Decode: pda.Status.Model.Decode.GPU} {
			if model != "" {
				r.svc.gpus[role] = model
			}
		}
		c.store.put(r.svc)
	}
	if late, ok := r.svc.late(r.now); ok {
		c.metrics.late.Observe(late.Seconds())
	}
	r.base = r.svc.newest(pda)
	if r.foreign = foreignMove(&r.base.Status); r.foreign != "" {
		r.abandoned = ""
	}
	r.pda = r.base.DeepCopy()
	r.pda.Default()
	return r, nil
}

// conclude judges what was carried out and keeps the memory that follows from it.
func (c *Reconciler) conclude(r *round) {
	for role := range r.did.roles {
		if !slices.Contains(r.owed, role) {
			delete(r.drains, role) // they went
		}
	}
	if r.statusError == nil {
		r.svc.drains = r.drains
	}
	if d := r.decision(); d != nil {
		r.svc.memory = remember(r.before, r.after, d, r.did)
		return
	}
	r.svc.memory = r.before
}

// shortestWait is between two rounds at the least.
const shortestWait = 100 * time.Millisecond

// next is when the next round is due.
func (r *round) next() time.Time {
	if errors.Is(r.statusError, errStatusConflict) {
		return r.now.Add(min(r.interval(), time.Second))
	}
	due := dueAfter(r.svc.uid, r.now, r.interval())
	if !r.wakeAt.IsZero() && r.wakeAt.Before(due) {
		return r.wakeAt
	}
	return due
}

// forget drops what is kept of a resource that is gone. The replicas stay.
func (c *Reconciler) forget(request reconcile.Request) {
	svc := c.store.take(request.NamespacedName)
	if svc == nil {
		return
	}
	svc.close()
	if svc.target.Namespace != "" {
		c.workload.Forget(svc.target)
	}
	c.metrics.forget(request.Namespace, request.Name)
	if c.page != nil {
		c.page.Forget(request.Namespace, request.Name)
	}
	ctrl.Log.WithName("controller").Info("PDAutoscaler is gone; its target keeps its replicas", "namespace", request.Namespace, "name", request.Name)
}
