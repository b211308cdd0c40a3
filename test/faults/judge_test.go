package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// past is a history that a test writes.
type past struct {
	changes []Change
	at      time.Time
	hand    map[int64]bool
	rounds  rounds
}

// begin is a service of 2 prefill and 2 decode replicas within 12 GPUs, each with its pod.
func begin() *past {
	p := &past{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), hand: map[int64]bool{}}
	p.byHand(func() { p.group(2, 2) })
	p.budget(12)
	for _, role := range roleNames {
		p.object(kindInstanceSets, groupName+"-"+role, "group")
		p.byHand(func() { p.adapter(role, 2) })
		for i := range 2 {
			p.start(role, i)
		}
	}
	p.pass(time.Minute)
	return p
}

func (p *past) pass(d time.Duration) { p.at = p.at.Add(d) }

func (p *past) byHand(do func()) {
	do()
	p.hand[int64(len(p.changes))] = true
}

func (p *past) put(kind, name string, o *unstructured.Unstructured, pod *corev1.Pod) {
	p.changes = append(p.changes, Change{Revision: int64(len(p.changes) + 1), At: p.at, Kind: kind, Name: name, Object: o, Pod: pod})
}

func (p *past) group(prefill, decode int) {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"roles": []any{
		map[string]any{"name": RolePrefill, "replicas": int64(prefill)}, map[string]any{"name": RoleDecode, "replicas": int64(decode)},
	}}}}
	u.SetUID("group")
	p.put(kindGroups, groupName, u, nil)
}

func (p *past) budget(gpus int) {
	bounds := map[string]any{"min": int64(1), "max": int64(5)}
	p.put(kindAutoscalers, "qwen", &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"budget": map[string]any{"gpus": int64(gpus)}, "roles": map[string]any{RolePrefill: bounds, RoleDecode: bounds},
	}}}, nil)
}

func (p *past) adapter(role string, replicas int) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec":   map[string]any{"replicas": float64(replicas), "scaleTargetRef": map[string]any{"role": role}},
		"status": map[string]any{"phase": "Bound"},
	}}
	u.SetName(groupName + "-" + role)
	p.put(kindAdapters, u.GetName(), u, nil)
}

// bind is a change of an adapter's count by whoever binds it, scale one through /scale.
func (p *past) bind(role string, replicas int)  { p.managed(role, replicas, "") }
func (p *past) scale(role string, replicas int) { p.managed(role, replicas, "scale") }

func (p *past) managed(role string, replicas int, subresource string) {
	p.adapter(role, replicas)
	fields := metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)
	status := metav1.ManagedFieldsEntry{Manager: "rbg", Subresource: "status", FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:replicas":{}}}`)}
	p.changes[len(p.changes)-1].Object.SetManagedFields([]metav1.ManagedFieldsEntry{status, {Manager: "someone", Subresource: subresource, FieldsV1: fields}})
}

func (p *past) object(kind, name, owner string) {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetUID(types.UID(kind + "/" + name))
	u.SetOwnerReferences([]metav1.OwnerReference{{UID: types.UID(owner), Controller: new(true)}})
	p.put(kind, name, u, nil)
}

func name(role string, i int) string { return fmt.Sprintf("%s-%s-%d", groupName, role, i) }

// start makes a replica and its pod; leave begins to end it, and end ends it.
func (p *past) start(role string, i int) {
	p.object(kindInstances, name(role, i), kindInstanceSets+"/"+groupName+"-"+role)
	p.put(kindPods, name(role, i), nil, p.pod(role, i))
}

func (p *past) pod(role string, i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name(role, i), UID: types.UID(name(role, i)), Labels: map[string]string{rbgfake.LabelRoleName: role},
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(kindInstances + "/" + name(role, i)), Controller: new(true)}}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{controlplane.ResourceGPU: resource.MustParse("2")}}}}},
	}
}

func (p *past) leave(role string, i int) {
	p.put(kindInstances, name(role, i), nil, nil)
	pod := p.pod(role, i)
	pod.DeletionTimestamp = new(metav1.NewTime(p.at))
	p.put(kindPods, name(role, i), nil, pod)
}

func (p *past) end(role string, i int) { p.put(kindPods, name(role, i), nil, nil) }

// What the judge blames the controller for, and what not.
func TestJudge(t *testing.T) {
	for what, c := range map[string]struct {
		happens func(*past)
		blames  string // part of the one violation, empty for none
		excuses int
	}{
		"growth within the budget": {func(p *past) { p.adapter(RoleDecode, 4) }, "", 0},
		"growth above it":          {func(p *past) { p.adapter(RoleDecode, 5) }, "8 GPUs were held and 14 are, the budget is 12", 0},
		"in two steps":             {func(p *past) { p.adapter(RoleDecode, 4); p.adapter(RolePrefill, 3) }, "12 GPUs were held and 14 are", 0},
		"a shrink above it":        {func(p *past) { p.budget(4); p.pass(time.Minute); p.adapter(RoleDecode, 1) }, "", 0},
		"growth above a lowered budget, where pods are left to take": {func(p *past) {
			p.adapter(RoleDecode, 1)
			p.budget(6)
			p.pass(time.Minute)
			p.adapter(RoleDecode, 2) // the pods are still there: nothing more is held
		}, "8 GPUs were held and 8 are, the budget is 6", 0},
		"pods that terminate hold theirs": {func(p *past) {
			p.adapter(RolePrefill, 1)
			p.leave(RolePrefill, 1)
			p.adapter(RoleDecode, 5)
		}, "8 GPUs were held and 14 are", 0},
		"pods that are gone do not": {func(p *past) {
			p.adapter(RolePrefill, 1)
			p.leave(RolePrefill, 1)
			p.end(RolePrefill, 1)
			p.adapter(RoleDecode, 5)
		}, "", 0},
		"by hand": {func(p *past) { p.byHand(func() { p.adapter(RoleDecode, 5) }) }, "", 0},
		"by hand, and the controller goes on": {func(p *past) {
			p.byHand(func() { p.adapter(RoleDecode, 5) })
			p.pass(inFlight + time.Millisecond)
			p.adapter(RolePrefill, 3)
		}, "14 GPUs were held and 16 are, the budget is 12; others took 0", 0},
		"by hand, while the write was on its way": {func(p *past) {
			p.byHand(func() { p.adapter(RoleDecode, 4) })
			p.pass(inFlight)
			p.adapter(RolePrefill, 3)
		}, "", 1},
		"by hand, in a round that took a minute": {func(p *past) {
			p.rounds.wrote(groupName+"-"+RolePrefill, p.at, p.at.Add(time.Minute))
			p.byHand(func() { p.adapter(RoleDecode, 4) })
			p.pass(time.Minute)
			p.adapter(RolePrefill, 3)
		}, "", 1},
		"by hand, before such a round": {func(p *past) {
			p.byHand(func() { p.adapter(RoleDecode, 4) })
			p.pass(inFlight + time.Millisecond)
			p.rounds.wrote(groupName+"-"+RolePrefill, p.at, p.at.Add(time.Minute))
			p.pass(time.Minute)
			p.adapter(RolePrefill, 3)
		}, "others took 0", 0},
		"the budget was lowered while it was on its way": {func(p *past) { p.budget(8); p.adapter(RolePrefill, 3) }, "", 1},
		"more than was lowered":                          {func(p *past) { p.budget(10); p.adapter(RoleDecode, 5) }, "others took 2", 0},
		"its own write is no excuse":                     {func(p *past) { p.adapter(RoleDecode, 4); p.pass(time.Millisecond); p.adapter(RolePrefill, 3) }, "others took 0", 0},
		"growth above it, through /scale":                {func(p *past) { p.scale(RoleDecode, 5) }, "8 GPUs were held and 14 are", 0},
		"an adapter that is bound again":                 {func(p *past) { p.bind(RoleDecode, 5) }, "", 0},
		"and growth on top of it": {func(p *past) {
			p.scale(RoleDecode, 4)
			p.scale(RoleDecode, 2)
			p.bind(RoleDecode, 4)
			p.pass(time.Minute)
			p.scale(RolePrefill, 3)
		}, "12 GPUs were held and 14 are", 0},
		"below the minimum":                     {func(p *past) { p.adapter(RoleDecode, 0) }, "outside of [1, 5]", 0},
		"above the maximum":                     {func(p *past) { p.budget(100); p.adapter(RoleDecode, 6) }, "outside of [1, 5]", 0},
		"back from above the maximum":           {func(p *past) { p.byHand(func() { p.adapter(RoleDecode, 8) }); p.adapter(RoleDecode, 6) }, "", 0},
		"in the group, where an adapter counts": {func(p *past) { p.group(9, 9) }, "", 0},
		"in the group, where none does":         {func(p *past) { p.put(kindAdapters, groupName+"-decode", nil, nil); p.group(2, 5) }, "8 GPUs were held and 14 are", 0},
		"a pod of a deleted replica is no supply for the new": {func(p *past) {
			p.put(kindInstances, name(RoleDecode, 1), nil, nil)
			p.pass(time.Minute)
			p.adapter(RoleDecode, 4)
		}, "10 GPUs were held and 14 are", 0},
	} {
		t.Run(what, func(t *testing.T) {
			p := begin()
			c.happens(p)
			j := NewJudge()
			j.Hand, j.Began = p.hand, p.rounds.began
			for i := range p.changes {
				j.Add(&p.changes[i])
			}
			switch {
			case c.blames == "" && len(j.Violations) > 0:
				t.Errorf("blamed for %q", j.Violations)
			case c.blames != "" && (len(j.Violations) != 1 || !strings.Contains(j.Violations[0], c.blames)):
				t.Errorf("blamed for %q, want %q", j.Violations, c.blames)
			}
			if j.Excused != c.excuses {
				t.Errorf("%d writes were excused, want %d", j.Excused, c.excuses)
			}
			if t.Failed() {
				t.Log(strings.Join(j.Writes, "\n"))
			}
		})
	}
}

// A seed is a sequence, and every kind of fault is drawn.
func TestDraw(t *testing.T) {
	planned := func(Demand, int) (Counts, bool) { return Counts{1, 1}, true }
	kinds := map[Kind]bool{}
	for seed := range uint64(200) {
		a, b := Draw(seed, 8, planned), Draw(seed, 8, planned)
		if a.String() != b.String() {
			t.Fatalf("two sequences of seed %d:\n%s\n%s", seed, &a, &b)
		}
		for _, step := range a.Steps {
			if step.Fault != nil {
				kinds[step.Fault.Kind] = true
			}
		}
	}
	for _, kind := range drawn {
		if !kinds[kind] {
			t.Errorf("no sequence has %q", kind)
		}
	}
}

// The planned counts need all of the kinds: those that fill a budget, and those that are small.
func TestPlanned(t *testing.T) {
	w, err := newIdeal(autoscaler("none", false))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Counts]int{}
	unsure := 0
	for seed := range uint64(30) {
		s := Draw(seed, 1, w.planned)
		seen[s.Planned]++
		if got, ok := w.planned(s.Final, s.FinalBudget); !ok || got != s.Planned {
			t.Errorf("%s within %d GPUs gives %v, then %v", s.Final, s.FinalBudget, s.Planned, got)
		}
		if (s.Planned.Prefill+s.Planned.Decode)*GPUsPerReplica > s.FinalBudget {
			t.Errorf("%s is planned with %v, more than %d GPUs", s.Final, s.Planned, s.FinalBudget)
		}
		if _, ok := w.planned(s.Start, Budget); !ok {
			unsure++
		}
	}
	var all []string
	for counts, n := range seen {
		all = append(all, fmt.Sprintf("%d+%d: %d", counts.Prefill, counts.Decode, n))
	}
	slices.Sort(all)
	t.Logf("%v; %d of 30 demands have no counts of their own", all, unsure)
	if len(seen) < 6 {
		t.Errorf("only %d different counts are planned: %v", len(seen), all)
	}
}

// What counts as a write at which a controller is killed.
func TestBoundaries(t *testing.T) {
	for line, want := range map[string]string{
		"GET /api/v1/pods": "",
		"PATCH /apis/pdautoscaler.io/v1alpha1/namespaces/n/pdautoscalers/qwen":                                      "pdautoscalers",
		"PATCH /apis/pdautoscaler.io/v1alpha1/namespaces/n/pdautoscalers/qwen/status":                               "pdautoscalers/status",
		"PATCH /apis/workloads.x-k8s.io/v1alpha2/namespaces/n/rolebasedgroupscalingadapters/dynamo-pd-decode/scale": "rolebasedgroupscalingadapters/scale",
		"PATCH /api/v1/namespaces/n/pods/p":                                                                         "pods",
		"PUT /apis/coordination.k8s.io/v1/namespaces/n/leases/pdautoscaler.pdautoscaler.io":                         "",
		"POST /apis/events.k8s.io/v1/namespaces/n/events":                                                           "",
		"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews":                                               "",
	} {
		method, path, _ := strings.Cut(line, " ")
		request, err := newRequest(method, path)
		if err != nil {
			t.Fatal(err)
		}
		if got := written(request); got != want {
			t.Errorf("%s writes %q, want %q", line, got, want)
		}
	}
}

func newRequest(method, path string) (*http.Request, error) {
	return http.NewRequest(method, "https://127.0.0.1"+path, nil)
}
