package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// world is one API server with one PDAutoscaler on one service, under a clock
// that stands still until it is moved.
type world struct {
	t     *testing.T
	key   types.NamespacedName
	clock *clocktesting.FakePassiveClock
	// log is what was written, in order: "status", "prefill 2->3".
	log []string
	// patched is shown every patch of the status.
	patched func([]byte)
	// failStatus makes status writes fail.
	failStatus error
	// writes counts the writes; at the one of number killAt the controller dies,
	// after it or, unless killAfter, before it.
	writes, killAt  int
	killAfter, dead bool
	// failFinalizer makes writes of finalizers fail.
	failFinalizer error
	api           client.WithWatch
	service       *fakeService
	registry      *prometheus.Registry
	events        []string
	decide        func(planner.Input) (planner.Decision, planner.Memory)
	controller    *Reconciler
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// example is the running example: Qwen3-32B on H200, 2 prefill and 1 decode replicas of 2 GPUs.
func example(edit ...func(*v1alpha1.PDAutoscaler)) *v1alpha1.PDAutoscaler {
	pda := &v1alpha1.PDAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "qwen", UID: "pda-1", Generation: 1},
		Spec: v1alpha1.PDAutoscalerSpec{
			Mode:   v1alpha1.ModeAuto,
			Target: v1alpha1.TargetReference{Name: "dynamo-pd"},
			Roles: v1alpha1.Roles{
				Prefill: v1alpha1.PrefillRole{ScaledRole: v1alpha1.ScaledRole{Max: 8}},
				Decode:  v1alpha1.DecodeRole{ScaledRole: v1alpha1.ScaledRole{Max: 8}},
			},
			Model:  v1alpha1.Model{Name: "Qwen3-32B"},
			GPU:    "H200",
			SLO:    v1alpha1.SLO{TTFT: v1alpha1.Objective{Target: v1alpha1.Every(2 * time.Second)}, TPOT: v1alpha1.Objective{Target: v1alpha1.Every(50 * time.Millisecond)}},
			Budget: &v1alpha1.Budget{GPUs: 12},
		},
	}
	pda.Default()
	for _, e := range edit {
		e(pda)
	}
	return pda
}

func newWorld(t *testing.T, pda *v1alpha1.PDAutoscaler, others ...client.Object) *world {
	t.Helper()
	w := &world{t: t, key: client.ObjectKeyFromObject(pda), clock: clocktesting.NewFakePassiveClock(start), registry: prometheus.NewRegistry(), decide: planner.Plan}
	w.service = newService(w)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(pda).WithObjects(others...).WithStatusSubresource(&v1alpha1.PDAutoscaler{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if w.failStatus != nil {
					return w.failStatus
				}
				if data, err := p.Data(o); err == nil && w.patched != nil {
					w.patched(data)
				}
				return w.write(name, func() error { return c.SubResource(name).Patch(ctx, o, p, opts...) })
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				data, err := p.Data(o)
				if err != nil || !onlyFinalizers(data) {
					t.Errorf("the controller wrote something other than a status or a finalizer: %s (%v)", data, err)
					return nil
				}
				if w.failFinalizer != nil {
					return w.failFinalizer
				}
				return w.write(fmt.Sprintf("finalizers %q", o.GetFinalizers()), func() error { return c.Patch(ctx, o, p, opts...) })
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				return c.Update(ctx, o, opts...)
			},
		}).Build()
	w.restart()
	return w
}

// restart begins with a controller that remembers nothing.
func (w *world) restart() {
	w.dead, w.killAt = false, 0
	metrics, err := NewMetrics(w.registry)
	if err != nil {
		w.t.Fatal(err)
	}
	w.controller = &Reconciler{
		client: w.api, live: w.api, workload: w.service,
		newCollector: func(c signals.Config) (Collector, error) {
			if _, err := signals.New(c); err != nil {
				return nil, err
			}
			w.service.collectors++
			return w.service, nil
		},
		recorder: w, metrics: metrics, clock: w.clock, store: newStore(), recordsKept: 8,
		decide: func(in planner.Input) (planner.Decision, planner.Memory) { return w.decide(in) },
	}
}

// write makes one write of the controller, unless it is dead. The write at
// which it is killed happens or not; either way it never hears of it, and makes
// no other.
func (w *world) write(what string, do func() error) error {
	if w.dead {
		return errKilled
	}
	w.writes++
	killed := w.writes == w.killAt
	if killed && !w.killAfter {
		w.dead = true
		return errKilled
	}
	w.log = append(w.log, what)
	err := do()
	if killed {
		w.dead = true
		return errKilled
	}
	return err
}

var errKilled = errors.New("killed")

func (w *world) Eventf(_, _ runtime.Object, eventtype, reason, _, note string, args ...any) {
	w.events = append(w.events, eventtype+" "+reason+": "+fmt.Sprintf(note, args...))
}

// round does one round now and returns the resource after it.
func (w *world) round() *v1alpha1.PDAutoscaler {
	w.t.Helper()
	if _, err := w.controller.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: w.key}); err != nil {
		w.t.Fatalf("reconcile: %v", err)
	}
	return w.resource()
}

// rounds does n rounds, each an interval after the one before.
func (w *world) rounds(n int) *v1alpha1.PDAutoscaler {
	w.t.Helper()
	var pda *v1alpha1.PDAutoscaler
	for range n {
		pda = w.round()
		w.pass(10 * time.Second)
	}
	return pda
}

func (w *world) pass(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func (w *world) resource() *v1alpha1.PDAutoscaler {
	w.t.Helper()
	pda := &v1alpha1.PDAutoscaler{}
	if err := w.api.Get(w.t.Context(), w.key, pda); err != nil {
		w.t.Fatal(err)
	}
	return pda
}

// edit changes the resource as a person would; a change of the spec makes a new generation.
func (w *world) edit(change func(*v1alpha1.PDAutoscaler)) {
	w.t.Helper()
	pda := w.resource()
	spec := pda.Spec.DeepCopy()
	change(pda)
	if fmt.Sprint(*spec) != fmt.Sprint(pda.Spec) {
		pda.Generation++
	}
	if err := w.api.Update(w.t.Context(), pda); err != nil {
		w.t.Fatal(err)
	}
}

// wantCondition fails unless a condition stands so, and returns its message.
func (w *world) wantCondition(name string, status metav1.ConditionStatus, reason planner.Reason) string {
	w.t.Helper()
	for _, c := range w.resource().Status.Conditions {
		if c.Type == name {
			if c.Status != status || c.Reason != string(reason) {
				w.t.Errorf("condition %s is %s, %s (%s); want %s, %s", name, c.Status, c.Reason, c.Message, status, reason)
			}
			return c.Message
		}
	}
	w.t.Errorf("condition %s is missing", name)
	return ""
}

// onlyFinalizers reports whether a merge patch changes nothing else.
func onlyFinalizers(data []byte) bool {
	var patch struct {
		Metadata map[string]any `json:"metadata"`
		Spec     any            `json:"spec"`
		Status   any            `json:"status"`
	}
	if json.Unmarshal(data, &patch) != nil || patch.Spec != nil || patch.Status != nil {
		return false
	}
	delete(patch.Metadata, "resourceVersion")
	delete(patch.Metadata, "finalizers")
	return len(patch.Metadata) == 0
}

// wantLog fails unless exactly these writes were made since the last call.
func (w *world) wantLog(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.log, want) {
		w.t.Errorf("written was %q, want %q", w.log, want)
	}
	w.log = nil
}

// countEvents counts the events whose text begins so.
func (w *world) countEvents(prefix string) int {
	n := 0
	for _, e := range w.events {
		if strings.HasPrefix(e, prefix) {
			n++
		}
	}
	return n
}

// fakeService is both the workload and its metrics.
type fakeService struct {
	w         *world
	pools     map[planner.Role]*planner.Pool
	frontends []workload.Pod
	uid       types.UID
	observe   error                  // what Observe answers
	refuse    map[planner.Role]error // what Apply answers
	applied   func()                 // called by Apply when it has written
	forgotten []workload.Target

	hidden int // GPUs that are held and that a cache does not show
	// lose is how many writes are still to be lost: each is accepted and shown as
	// the desired count, no pod follows it, and after lostAfter more looks the
	// count before it is back, as when an adapter of RBG is bound once more.
	lose, lostAfter int
	losing          map[planner.Role]lostWrite
	stateless       map[planner.Role]bool
	loads           map[string]float64 // by pod
	grace           map[planner.Role]int64
	quota           *workload.Allowance
	told            []string // pods that were told to drain
	words           words    // what stands of that
	drained         bool     // what the hook answers
	refuseDrain     error
	refuseChoice    error

	signals    planner.Signals // read at the time of the collection
	reports    []signals.SourceReport
	readings   []signals.Reading
	intervals  map[planner.Role]calibrate.Interval // of each collection
	targets    []signals.Target                    // of the last collection
	until      time.Time                           // when the last collection had to end
	collectors int
	closed     int
	born       int
}

func newService(w *world) *fakeService {
	s := &fakeService{w: w, uid: "group-1", words: words{}, refuse: map[planner.Role]error{}, losing: map[planner.Role]lostWrite{}, pools: map[planner.Role]*planner.Pool{
		planner.Prefill: {GPUsPerReplica: 2, GPUType: "NVIDIA-H200"}, planner.Decode: {GPUsPerReplica: 2, GPUType: "NVIDIA-H200"},
	}}
	s.frontends = []workload.Pod{{Role: workload.FrontendRole, Name: "dynamo-pd-processor-0", UID: "f", IP: "127.244.0.1", Ready: true, Leader: true}}
	s.grow(planner.Prefill, 2)
	s.grow(planner.Decode, 1)
	s.settle()
	s.traffic(2, 2000, 200)
	return s
}

func (s *fakeService) grow(role planner.Role, n int) {
	p := s.pools[role]
	for range n {
		s.born++
		p.Replicas = append(p.Replicas, planner.Replica{Name: fmt.Sprintf("%s-%d", role, s.born), State: planner.Starting, Since: s.w.clock.Now().UTC(), Node: "node-0", GPUs: 2})
	}
	p.Desired += n
}

func (s *fakeService) shrink(role planner.Role, n int) {
	p := s.pools[role]
	p.Desired -= n
	for i := len(p.Replicas) - 1; i >= 0 && n > 0; i-- {
		if p.Replicas[i].State != planner.Terminating {
			p.Replicas[i].State, p.Replicas[i].Since = planner.Terminating, s.w.clock.Now().UTC()
			n--
		}
	}
}

// settle lets what starts be ready and what terminates be gone.
func (s *fakeService) settle() {
	for _, p := range s.pools {
		p.Replicas = slices.DeleteFunc(p.Replicas, func(r planner.Replica) bool { return r.State == planner.Terminating })
		for i := range p.Replicas {
			p.Replicas[i].State = planner.Ready
		}
	}
}

// traffic sets the demand: requests/s, and tokens of a mean request.
func (s *fakeService) traffic(rate, input, output float64) {
	known := func(v float64) planner.Reading { return planner.Known(v, time.Time{}, "fake") }
	s.signals = planner.Signals{
		RequestsPerSecond: known(rate), ArrivalSCV: known(1), InputTokens: known(input), InputSCV: known(0.5), OutputTokens: known(output), OutputSCV: known(0.5),
		CachedShare: known(0), PrefillWaiting: known(0), DecodeWaiting: known(0), DecodeRunning: known(8), DecodeKVUse: known(0.2), DecodeKVUseMax: known(0.2),
		TTFTMs: planner.Quantile{Reading: known(600), Percentile: 0.95, LowMs: 500, HighMs: 1000, MeanMs: 400},
		TPOTMs: planner.Quantile{Reading: known(30), Percentile: 0.95, LowMs: 25, HighMs: 50, MeanMs: 25},
	}
}

// lostWrite is one that was accepted and that nobody carries out.
type lostWrite struct{ before, looks int }

// bindAgain brings back the counts whose writes are lost by now.
func (s *fakeService) bindAgain() {
	for role, lost := range s.losing {
		if lost.looks--; lost.looks >= 0 {
			s.losing[role] = lost
			continue
		}
		s.pools[role].Desired = lost.before
		delete(s.losing, role)
	}
}

func (s *fakeService) Observe(context.Context, workload.Target, time.Time) (workload.Observation, error) {
	if s.observe != nil {
		return workload.Observation{}, s.observe
	}
	s.bindAgain()
	o := workload.Observation{UID: s.uid, Pods: slices.Clone(s.frontends), FreeGPUsByNode: map[string]int{"node-0": 10, "node-1": 16},
		Stateless: s.stateless, GraceSeconds: s.grace, QuotaGPUs: s.quota}
	o.Prefill, o.Decode = *s.pools[planner.Prefill], *s.pools[planner.Decode]
	for _, role := range roles {
		p := pool(&o, role)
		p.Replicas = slices.Clone(p.Replicas)
		for i, r := range p.Replicas {
			o.Pods = append(o.Pods, workload.Pod{Role: role, Name: r.Name, Instance: r.Name, UID: types.UID(r.Name), IP: fmt.Sprintf("127.244.1.%d", len(o.Pods)+i),
				Node: r.Node, Ready: r.State == planner.Ready, Terminating: r.State == planner.Terminating, Leader: true, GPUs: r.GPUs})
		}
	}
	return o, nil
}

func (s *fakeService) Apply(ctx context.Context, _ workload.Target, role planner.Role, from, to int) error {
	if err := cmp.Or(ctx.Err(), s.refuse[role]); err != nil {
		return err
	}
	return s.w.write(fmt.Sprintf("%s %d->%d", role, from, to), func() error { return s.scale(role, from, to) })
}

func (s *fakeService) scale(role planner.Role, from, to int) error {
	if have := s.pools[role].Desired; have != from {
		return &workload.ConflictError{What: "RoleBasedGroup default/dynamo-pd", Role: string(role), From: from}
	}
	switch {
	case s.lose > 0:
		s.lose--
		s.losing[role] = lostWrite{before: from, looks: s.lostAfter}
		s.pools[role].Desired = to
	case to > from:
		s.grow(role, to-from)
	default:
		s.shrink(role, from-to)
	}
	if s.applied != nil {
		s.applied()
	}
	return nil
}

// Confirm sees what Observe sees, and what is hidden from it.
func (s *fakeService) Confirm(context.Context, workload.Target, time.Time) (int, error) {
	return s.w.held() + s.hidden, s.observe
}

func (s *fakeService) Choose(_ context.Context, _ workload.Target, role planner.Role, victims []string) error {
	s.w.log = append(s.w.log, fmt.Sprintf("choose %s %s", role, strings.Join(victims, " ")))
	return s.refuseChoice
}

func (s *fakeService) Drain(_ context.Context, _ workload.Target, h workload.Hook, pods []workload.Pod) (bool, error) {
	for i := range pods {
		s.told = append(s.told, pods[i].Name)
		if s.refuseDrain == nil {
			s.words.say(pods[i].Name, h)
		}
	}
	return s.drained, s.refuseDrain
}

func (s *fakeService) Undrain(_ context.Context, _ workload.Target, h workload.Hook, pods []workload.Pod) error {
	for i := range pods {
		if s.refuseDrain == nil {
			s.words.takeBack(pods[i].Name, h)
		}
		s.w.log = append(s.w.log, "undrain "+pods[i].Name)
	}
	return s.refuseDrain
}

// PodLoads are the requests in each pod.
func (s *fakeService) PodLoads() map[string]float64 { return s.loads }

func (s *fakeService) Forget(t workload.Target) { s.forgotten = append(s.forgotten, t) }

func (s *fakeService) Collect(ctx context.Context, targets []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport) {
	s.targets = targets
	s.until, _ = ctx.Deadline()
	out := s.signals
	for _, r := range []*planner.Reading{&out.RequestsPerSecond, &out.ArrivalSCV, &out.InputTokens, &out.InputSCV, &out.OutputTokens, &out.OutputSCV, &out.CachedShare,
		&out.PrefillWaiting, &out.DecodeWaiting, &out.DecodeRunning, &out.DecodeKVUse, &out.DecodeKVUseMax, &out.TTFTMs.Reading, &out.TPOTMs.Reading} {
		if r.State != planner.StateUnknown {
			r.At = now
		}
	}
	return out, s.reports
}

func (s *fakeService) Readings() []signals.Reading { return s.readings }

func (s *fakeService) Intervals() (prefill, decode calibrate.Interval) {
	return s.intervals[planner.Prefill], s.intervals[planner.Decode]
}

func (s *fakeService) Close() { s.closed++ }

// scaleTo is a planner that always wants the same counts.
func scaleTo(prefill, decode int) func(planner.Input) (planner.Decision, planner.Memory) {
	return func(in planner.Input) (planner.Decision, planner.Memory) {
		d := planner.Decision{At: in.Now, Summary: fmt.Sprintf("to %d and %d", prefill, decode)}
		d.GPUs.Held = in.Snapshot.Prefill.HeldGPUs() + in.Snapshot.Decode.HeldGPUs()
		m := in.Memory
		for role, to := range map[planner.Role]int{planner.Prefill: prefill, planner.Decode: decode} {
			rd, p, rm := roleDecision(&d, role), &in.Snapshot.Prefill, &m.Prefill
			if role == planner.Decode {
				p, rm = &in.Snapshot.Decode, &m.Decode
			}
			rd.From, rd.To, rd.Wanted, rd.Binding, rd.Because = p.Desired, to, to, planner.ReasonObjective, fmt.Sprintf("%s to %d.", role, to)
			if to > rd.From {
				rm.LastUp = in.Now
			} else if to < rd.From {
				rm.LastDown = in.Now
			}
		}
		return d, m
	}
}

// beginsMove is a planner that begins a move of one replica from prefill to
// decode, and goes on with one that it finds.
func beginsMove(in planner.Input) (planner.Decision, planner.Memory) {
	from := in.Snapshot.Prefill.Desired
	m := in.Memory
	to := from - 1
	if m.Move != nil {
		to = m.Move.DonorAfter
	} else {
		m.Move = &planner.Move{From: planner.Prefill, To: planner.Decode, DonorBefore: from, DonorAfter: to, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2,
			Phase: planner.Draining, StartedAt: in.Now, PhaseSince: in.Now, Reason: "decode needs them more"}
	}
	d, m := scaleTo(to, in.Snapshot.Decode.Desired)(planner.Input{Snapshot: in.Snapshot, Memory: m, Now: in.Now})
	d.Move = m.Move
	return d, m
}

func configMap(name, key, text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{key: text}}
}

// exporterPod is a ready pod; its node and address are in its labels.
func exporterPod(m *metav1.ObjectMeta) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: *m, Spec: corev1.PodSpec{NodeName: m.Labels["node"]}, Status: corev1.PodStatus{
		PodIP: m.Labels["ip"], Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}}
}
