package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// drain is a scale-down whose replicas were told that they go and did not go yet.
// What they were told, and how, is taken back as it was said: the spec may say
// something else by then, or nothing.
type drain struct {
	replicas []string
	since    time.Time
	how      *v1alpha1.DrainHook // nil where that is not known
}

// is reports whether these replicas were told so before.
func (d drain) is(replicas []string, how *v1alpha1.DrainHook) bool {
	return slices.Equal(slices.Sorted(slices.Values(d.replicas)), slices.Sorted(slices.Values(replicas))) && equality.Semantic.DeepEqual(d.how, how)
}

// loads reads how busy each replica is; a Collector may have it.
type loads interface {
	// PodLoads is the requests in each pod, running and waiting, by the pod's UID.
	PodLoads() map[string]float64
}

// replicaLoads gathers the loads of the pods of each replica that serve. A
// replica of which one is not known has none.
func (r *round) replicaLoads() map[string]float64 {
	source, ok := r.svc.collector.(loads)
	if !ok {
		return nil
	}
	byPod, byReplica := source.PodLoads(), map[string]float64{}
	silent := map[string]bool{}
	for i := range r.seen.Pods {
		pod := &r.seen.Pods[i]
		if !pod.Leader || pod.Terminating {
			continue
		}
		load, known := byPod[string(pod.UID)]
		if !known {
			silent[pod.Instance] = true
		}
		byReplica[pod.Instance] += load
	}
	for name := range silent {
		delete(byReplica, name)
	}
	return byReplica
}

// orderVictims puts the least loaded replicas of roles without identities last,
// where the planner takes them from, and those that are draining behind them: a
// drain that began stays with its replicas.
func (r *round) orderVictims() {
	r.loads = r.replicaLoads()
	for _, role := range roles {
		if r.seen.Stateless[role] {
			workload.OrderByLoad(pool(r.seen, role), r.svc.drains[role].replicas, r.loads)
		}
	}
}

// hookOf is how replicas are told by the present spec, nil where they are not.
func hookOf(pda *v1alpha1.PDAutoscaler) *v1alpha1.DrainHook {
	if d := pda.Spec.Behavior.Drain; d != nil {
		return d.DrainHook.DeepCopy()
	}
	return nil
}

// workloadHook is how pkg/workload tells them; of nil, one that says nothing.
func workloadHook(d *v1alpha1.DrainHook) workload.Hook {
	if d == nil {
		return workload.Hook{}
	}
	mark := func(m *v1alpha1.PodMark) *workload.Mark {
		if m == nil {
			return nil
		}
		return &workload.Mark{Key: m.Key, Value: m.Value}
	}
	h := workload.Hook{Label: mark(d.Label), Annotation: mark(d.Annotation)}
	if d.HTTP != nil {
		h.HTTP = &workload.HTTPHook{Method: d.HTTP.Method, Port: d.HTTP.Port, Path: d.HTTP.Path, CancelPath: d.HTTP.CancelPath}
	}
	return h
}

// planDrains works out which replicas are to be drained after this decision,
// and which no longer.
func (r *round) planDrains() {
	r.drains = map[planner.Role]drain{}
	if r.decision() == nil { // nothing was decided: what was said stands
		maps.Copy(r.drains, r.svc.drains)
		return
	}
	how := hookOf(r.pda)
	for _, role := range roles {
		var victims []string
		if d := r.decision(); r.auto() && how != nil && roleDecision(d, role).To < roleDecision(d, role).From {
			victims = r.serving(role, workload.Victims(pool(r.seen, role), roleDecision(d, role).From-roleDecision(d, role).To))
		}
		was := r.svc.drains[role]
		switch {
		case len(victims) == 0:
		case was.is(victims, how):
			r.drains[role] = was
		default:
			r.drains[role] = drain{victims, r.now, how}
		}
	}
}

// checkDrainTimes says where a move would be given up before pods can have ended.
func (r *round) checkDrainTimes() {
	b := &r.pda.Spec.Rebalance
	if !r.auto() || !b.Allowed() || r.pda.Spec.Budget == nil {
		return
	}
	for _, role := range roles {
		hook := time.Duration(0)
		if d := r.pda.Spec.Behavior.Drain; d != nil {
			hook = d.Deadline.Duration
		}
		if ends := time.Duration(r.seen.GraceSeconds[role])*time.Second + hook; ends > b.DrainTimeout.Duration {
			r.seen.Problems = append(r.seen.Problems, workload.Problem{Role: role, Reason: string(ReasonDrainTooShort), Message: fmt.Sprintf(
				"a pod of %s may take %s to end (terminationGracePeriodSeconds and the drain's deadline) and rebalance.drainTimeout is %s: a move would be given up before its GPUs are free",
				r.target.RoleName(role), ends, b.DrainTimeout.Duration)})
		}
	}
}

// serving picks the replicas that serve: the others have nothing to drain.
func (r *round) serving(role planner.Role, names []string) []string {
	var ready []string
	for _, replica := range pool(r.seen, role).Replicas {
		if replica.State == planner.Ready && slices.Contains(names, replica.Name) {
			ready = append(ready, replica.Name)
		}
	}
	return ready
}

// stays lists the replicas of a role that were told that they go, and stay after
// all or are to be told in another way.
func (r *round) stays(role planner.Role) []string {
	was, now := r.svc.drains[role], r.drains[role]
	if !equality.Semantic.DeepEqual(was.how, now.how) {
		return was.replicas
	}
	var names []string
	for _, name := range was.replicas {
		if !slices.Contains(now.replicas, name) {
			names = append(names, name)
		}
	}
	return names
}

// undrain takes back what was said to replicas that stay. Where that fails the
// whole drain is kept in mind, and the next round tries again; one that answers
// that it cannot take it back is not asked twice.
func (c *Reconciler) undrain(ctx context.Context, r *round) {
	if r.seen == nil {
		return
	}
	for _, role := range roles {
		names, was := r.stays(role), r.svc.drains[role]
		if len(names) == 0 {
			continue
		}
		err := c.workload.Undrain(ctx, r.target, workloadHook(was.how), r.seen.PodsOf(names))
		r.hookError = errors.Join(r.hookError, err)
		if err != nil && !errors.As(err, new(*workload.NotTakenBackError)) {
			r.drains[role], r.owed = was, append(r.owed, role)
			continue
		}
		delete(r.svc.drains, role) // over, also where this round cannot be recorded
	}
}

// leave takes back what was said to replicas of a target that the resource names
// no longer: they stay, and nobody else knows what they were told. It is tried
// once; what could not be told is an event.
func (c *Reconciler) leave(ctx context.Context, r *round) {
	if len(r.svc.drains) == 0 || r.svc.target.Namespace == "" || !r.svc.turns(r) {
		return
	}
	seen, err := c.workload.Observe(ctx, r.svc.target, r.now)
	if err == nil {
		for _, role := range roles {
			d := r.svc.drains[role]
			err = errors.Join(err, c.workload.Undrain(ctx, r.svc.target, workloadHook(d.how), seen.PodsOf(d.replicas)))
		}
	}
	if !errors.As(err, new(*workload.MissingError)) { // gone, with all that were told
		r.hookError = err
	}
	r.svc.drains = map[planner.Role]drain{}
}

// drained reports whether the role's count may be written now: nothing is to be
// drained, all is, or the deadline has passed. While a word is to be taken back
// none is given.
func (c *Reconciler) drained(ctx context.Context, r *round, role planner.Role) bool {
	d, ok := r.drains[role]
	if !ok || r.pda.Spec.Behavior.Drain == nil {
		return true
	}
	done := false
	if !slices.Contains(r.owed, role) {
		var err error
		if done, err = c.workload.Drain(ctx, r.target, workloadHook(d.how), r.seen.PodsOf(d.replicas)); err != nil {
			r.hookError = errors.Join(r.hookError, err)
		}
	}
	deadline := d.since.Add(r.pda.Spec.Behavior.Drain.Deadline.Duration)
	if done || r.idle(d.replicas) || !r.now.Before(deadline) {
		return true
	}
	if r.waiting == nil {
		r.waiting = map[planner.Role]string{}
	}
	r.waiting[role] = fmt.Sprintf("%s %s before it goes, until %s at the latest", strings.Join(d.replicas, ", "), verb(len(d.replicas)), deadline.UTC().Format(time.TimeOnly))
	r.wakeAt = earliest(r.wakeAt, deadline)
	return false
}

// idle reports whether all of the replicas are known to have no request, a
// while after they were told: a router takes a moment to hear of it.
func (r *round) idle(names []string) bool {
	for _, name := range names {
		if load, known := r.loads[name]; !known || load > 0 {
			return false
		}
	}
	for _, role := range roles {
		if d := r.drains[role]; slices.Equal(d.replicas, names) {
			return r.now.Sub(d.since) >= r.interval()
		}
	}
	return false
}

// choose makes the replicas that the planner took the first to go.
func (c *Reconciler) choose(ctx context.Context, r *round, role planner.Role) error {
	if !r.seen.Stateless[role] || len(r.loads) == 0 && len(r.drains[role].replicas) == 0 {
		return nil
	}
	rd := roleDecision(r.decision(), role)
	err := c.workload.Choose(ctx, r.target, role, workload.Victims(pool(r.seen, role), rd.From-rd.To))
	if apierrors.IsForbidden(err) {
		// Without the right to choose, the target chooses.
		r.hookError = errors.Join(r.hookError, err)
		return nil
	}
	return err
}

// drainsStatus and restoreDrains are how drains survive a restart.
func drainsStatus(drains map[planner.Role]drain) []v1alpha1.DrainStatus {
	var all []v1alpha1.DrainStatus
	for _, role := range roles {
		if d, ok := drains[role]; ok {
			all = append(all, v1alpha1.DrainStatus{Role: string(role), Replicas: d.replicas, Since: metav1.NewMicroTime(d.since), How: d.how})
		}
	}
	return all
}

func restoreDrains(pda *v1alpha1.PDAutoscaler) map[planner.Role]drain {
	drains := map[planner.Role]drain{}
	for i := range pda.Status.Drains {
		d := pda.Status.Drains[i].DeepCopy()
		if d.How == nil { // an older controller did not write it
			d.How = hookOf(pda)
		}
		drains[planner.Role(d.Role)] = drain{d.Replicas, d.Since.UTC(), d.How}
	}
	return drains
}

func verb(n int) string {
	if n == 1 {
		return "drains"
	}
	return "drain"
}

// earliest takes the zero time for no time at all.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
