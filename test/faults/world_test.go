package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/gpuwatch"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// How long a sequence is waited for: for its service to be there, and to be as planned once nothing disturbs it.
const (
	patience      = 8 * time.Minute
	stillFor      = 3 * time.Second
	lookEvery     = 100 * time.Millisecond
	nodesOfOne    = 2
	gpusOfNode    = 8
	finalizerHeld = "faults.pdautoscaler.io/stuck"
)

// suite is what all sequences share.
type suite struct {
	cp      *controlplane.ControlPlane
	client  client.Client // the administrator's
	rights  *rest.Config  // the controller's
	history *History
	ideal   *ideal

	mu     sync.Mutex
	deaths map[string]int // at which writes controllers were killed
}

func (s *suite) hit(when, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := string(boundaryOf(what))
	if at == "" {
		at = "of " + what
	}
	s.deaths[when+" a write "+at]++
}

// world is the service of one sequence.
type world struct {
	suite     *suite
	sequence  *Sequence
	namespace string
	nodes     []*corev1.Node
	demand    atomic.Pointer[Demand]
	silent    atomic.Bool
	hosts     *controllers

	standIn     sync.WaitGroup
	stopStandIn context.CancelFunc

	rounds rounds

	mu    sync.Mutex
	notes []string
	hand  map[int64]bool
	// role is what was taken out of the group, by name.
	roles map[string]any

	live   *Judge // as far as seen
	seen   int
	missed int // pods that the garbage collector missed
}

// Report is what became of a sequence.
type Report struct {
	Sequence *Sequence
	// Violations are all that was wrong; none is good.
	Violations []string
	Excused    int
	Writes     int
	// Missed are pods that Kubernetes' garbage collector left behind after an outage.
	Missed int
	// Settled is how long it took from the end of the faults to the planned counts.
	Settled time.Duration
	// Trace is what happened, for people.
	Trace string
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// byHand notes that an object's version is the test's own.
func (w *world) byHand(o client.Object) {
	var revision int64
	if _, err := fmt.Sscan(o.GetResourceVersion(), &revision); err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.hand[revision] = true
	}
}

// play plays a sequence from its beginning to its rest.
func (s *suite) play(ctx context.Context, sequence *Sequence) Report {
	w := &world{suite: s, sequence: sequence, hand: map[int64]bool{}, roles: map[string]any{}, live: NewJudge()}
	w.hosts = &controllers{w: w, now: map[int]*replica{}}
	w.demand.Store(&sequence.Start)
	report := Report{Sequence: sequence}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := w.build(ctx); err != nil {
		report.Violations = append(report.Violations, "the service could not be made: "+err.Error())
	} else {
		w.hosts.keep(ctx, map[bool]int{false: 1, true: 2}[sequence.Standby])
		if err := w.disturb(ctx); err != nil {
			report.Violations = append(report.Violations, "the faults could not be made: "+err.Error())
		} else if report.Settled, err = w.settle(ctx); err != nil {
			report.Violations = append(report.Violations, err.Error())
		}
	}
	judge, err := w.judgement(ctx)
	if err != nil {
		report.Violations = append(report.Violations, "the history is not whole: "+err.Error())
	}
	report.Violations = append(report.Violations, judge.Violations...)
	report.Excused, report.Writes, report.Missed = judge.Excused, len(judge.Writes), w.missed
	report.Trace = w.trace(judge)
	cancel()
	w.hosts.runs.Wait()
	if w.stopStandIn != nil {
		w.stopStandIn()
		w.standIn.Wait()
	}
	w.clear()
	return report
}

// judgement judges the whole history, now that it is known which writes were by hand.
func (w *world) judgement(ctx context.Context) (*Judge, error) {
	judge := NewJudge()
	if w.namespace == "" {
		return judge, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := w.suite.history.CatchUp(ctx)
	w.mu.Lock()
	judge.Hand, judge.Began = w.hand, w.rounds.began
	w.mu.Unlock()
	changes, hole := w.suite.history.Since(w.namespace, 0)
	for i := range changes {
		judge.Add(&changes[i])
	}
	return judge, errors.Join(err, hole)
}

func (w *world) trace(judge *Judge) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := append([]string{"namespace " + w.namespace}, w.notes...)
	lines = append(lines, "counts:")
	lines = append(lines, judge.Writes...)
	if judge.pda != nil {
		for _, field := range []string{"message", "move", "roles", "gpus", "memory", "drains", "decisions"} {
			if value, found, _ := unstructured.NestedFieldNoCopy(judge.pda.Object, "status", field); found {
				lines = append(lines, fmt.Sprintf("status.%s: %v", field, value))
			}
		}
	}
	return strings.Join(lines, "\n")
}

// build makes the namespace, its nodes and the service, and waits until it serves.
func (w *world) build(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not there after %s", patience))
	defer cancel()
	s := w.suite
	if err := w.try(ctx, func() (err error) {
		w.namespace, err = s.cp.NewNamespace(ctx, fmt.Sprintf("faults-%d", w.sequence.Seed))
		return err
	}); err != nil {
		return err
	}
	s.history.Open(w.namespace)
	w.note("namespace %s", w.namespace)
	product := "product-of-" + w.namespace
	for i := range nodesOfOne {
		node := gpuNode(fmt.Sprintf("%s-%d", w.namespace, i), product)
		if err := w.create(ctx, node.DeepCopy()); err != nil {
			return err
		}
		w.nodes = append(w.nodes, node)
	}
	if err := w.permitLeases(ctx); err != nil {
		return err
	}
	w.runStandIn()
	q := w.sequence
	group := rbgfake.DynamoPD(rbgfake.Example{
		Namespace: w.namespace, Name: groupName, PrefillReplicas: q.Prefill, DecodeReplicas: q.Decode, GPUsPerReplica: GPUsPerReplica,
		ReadyAfter: q.ReadyAfter, GoneAfter: q.GoneAfter, NoAdapters: !q.Adapters, NodeSelector: map[string]string{controlplane.LabelGPUProduct: product},
	})
	if err := w.create(ctx, group); err != nil {
		return err
	}
	if err := w.create(ctx, autoscaler(w.namespace, q.Drain)); err != nil {
		return err
	}
	for {
		if err := w.look(); err != nil {
			return err
		}
		if w.live.count(RolePrefill, w.live.ready) == q.Prefill && w.live.count(RoleDecode, w.live.ready) == q.Decode {
			return nil
		}
		if err := wait(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// gpuNode is a node of the sequence's own, which its pods select by the product.
func gpuNode(name, product string) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("192"), corev1.ResourceMemory: resource.MustParse("2Ti"), corev1.ResourcePods: resource.MustParse("110"),
		controlplane.ResourceGPU: *resource.NewQuantity(gpusOfNode, resource.DecimalSI),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, controlplane.LabelGPUProduct: product}},
		Status:     corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
}

// permitLeases gives the controller in this namespace what config/rbac gives it in its own.
func (w *world) permitLeases(ctx context.Context) error {
	const name = "pdautoscaler-leader-election"
	role := &rbacv1.Role{}
	if err := w.try(ctx, func() error {
		return w.suite.client.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: name}, role)
	}); err != nil {
		return err
	}
	role.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	if err := w.create(ctx, role); err != nil {
		return err
	}
	return w.create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: "pdautoscaler"}},
	})
}

// runStandIn runs RBG's stand-in for the namespace until the sequence is over.
func (w *world) runStandIn() {
	ctx, stop := context.WithCancel(context.Background())
	w.stopStandIn = stop
	w.standIn.Go(func() {
		for ctx.Err() == nil {
			if err := rbgfake.Run(ctx, w.suite.cp.Config, rbgfake.Options{Namespaces: []string{w.namespace}, SecondBinding: w.sequence.SecondBinding}); err != nil {
				w.note("the stand-in for RBG ended: %v", err)
			}
			_ = wait(ctx, restartAfter)
		}
	})
}

func (w *world) create(ctx context.Context, o client.Object) error {
	return w.try(ctx, func() error {
		err := w.suite.client.Create(ctx, o)
		if apierrors.IsAlreadyExists(err) { // the answer to the first try was lost
			err = nil
		}
		w.byHand(o)
		return err
	})
}

// try does something until it succeeds: the API server may be away.
func (w *world) try(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
			return err
		}
		if ended := w.suite.cp.Err(); ended != nil {
			return fmt.Errorf("%w (%w)", err, ended)
		}
		if ended := wait(ctx, 200*time.Millisecond); ended != nil {
			return fmt.Errorf("%w (%w)", err, ended)
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// look lets the live judge see what has happened since the last look.
func (w *world) look() error {
	changes, err := w.suite.history.Since(w.namespace, w.seen)
	for i := range changes {
		w.live.Add(&changes[i])
	}
	w.seen += len(changes)
	return err
}

// settle waits until the service is as planned and stays so.
func (w *world) settle(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	since := began
	orphans := map[string]time.Time{}
	for {
		if err := w.look(); err != nil {
			return 0, err
		}
		if err := w.collectMissed(ctx, orphans); err != nil {
			return 0, err
		}
		wrong := w.live.resting(w.sequence.Planned)
		if wrong != "" {
			since = time.Now()
		} else if time.Since(since) > stillFor {
			return since.Sub(began), nil
		}
		if err := wait(ctx, lookEvery); err != nil {
			return 0, fmt.Errorf("deadlock: not as planned %s after the last fault: %s", patience, wrong)
		}
	}
}

// missedAfter is how long a pod without its owner is left to Kubernetes' garbage collector.
const missedAfter = 20 * time.Second

// collectMissed tells pods to go whose owner is gone and that the collector has missed: an owner that is made again under its
// name while the collector's watch is cut off by an outage of the API server is no deletion to it, and its old pods would stay
// for good. That is an end of the outage, and none of the controller's business.
func (w *world) collectMissed(ctx context.Context, since map[string]time.Time) error {
	for name, p := range w.live.pods {
		orphan := (p.State == gpuwatch.Starting || p.State == gpuwatch.Ready) && p.Role != "" && !w.live.living(&p)
		first, known := since[name]
		switch {
		case !orphan:
			delete(since, name)
		case !known:
			since[name] = time.Now()
		case time.Since(first) > missedAfter:
			delete(since, name)
			w.note("the collector missed pod %s, whose owner is gone", name)
			w.missed++
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
			if err := w.try(ctx, func() error { return client.IgnoreNotFound(w.suite.client.Delete(ctx, pod)) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear takes the sequence's objects away.
func (w *world) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := w.suite.client
	if w.namespace != "" {
		w.suite.history.Close(w.namespace)
		pda := &v1alpha1.PDAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "qwen"}}
		_ = c.Patch(ctx, pda, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
		_ = w.release(ctx)
		_ = c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})
		_ = c.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(w.namespace), client.GracePeriodSeconds(0))
	}
	for _, node := range w.nodes {
		_ = c.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}})
	}
}
