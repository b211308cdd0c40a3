package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// The product itself, against this controller: what pkg/workload sees of a service, and what comes of its writes.
func productBehaviours() []behaviour {
	return []behaviour{
		{
			name: "product/sees replicas and their GPUs", gpus: 6,
			fact:  "counts are of pods by owner; GPUs per replica are those of the resolved template",
			check: seesReplicas,
		},
		{
			name: "product/scales through the adapter", gpus: 6,
			fact:  "one write to the bound adapter's /scale carries a decision out; a decision from a count that is no longer true is refused",
			check: scalesThroughAdapter,
		},
		{
			name: "product/scales in the role", gpus: 6,
			fact:  "without an adapter one JSON patch of the role does",
			check: scalesInRole,
		},
		{
			name: "product/follows a scale-down to the end", gpus: 3,
			fact:  "a replica that goes is terminating and holds its GPUs until its pods are gone, whatever the status says",
			check: followsScaleDown,
		},
		{
			name: "product/says why a replica does not start", gpus: 3,
			fact:  "a replica without a place is starting, with the scheduler's reason",
			check: saysWhyNotStarting,
		},
		{
			name: "product/GPUs of a leader-worker replica", api: v1alpha2, gpus: 6,
			fact:  "a replica of size pods takes size times the GPUs of one; leaders serve",
			check: leaderWorkerGPUs,
		},
		{
			name: "product/names who goes", gpus: 3,
			fact:  "with identities the replica named as the next victim is the one that goes",
			check: namesVictim,
		},
		{
			name: "product/chooses who goes", api: v1alpha2, gpus: 3,
			fact:  "without identities the least loaded replica is made to go by its deletion cost",
			check: choosesVictim,
		},
		{
			name: "product/marks who goes", gpus: 3,
			fact:  "a drain mark is on the victim's pods before they go, and is taken back when they stay",
			check: marksVictim,
		},
	}
}

// A product is pkg/workload looking at the trial's group.
type product struct {
	*trial
	workload *workload.Workload
	target   workload.Target
}

func (t *trial) product() *product {
	t.Helper()
	if t.cluster.resource != "nvidia.com/gpu" {
		t.skip("pkg/workload counts nvidia.com/gpu, not CONFORMANCE_RESOURCE=%s", t.cluster.resource)
	}
	d, err := discovery.NewDiscoveryClientForConfig(t.config)
	t.must("discovery", err)
	p := &product{trial: t, workload: workload.New(t.client, t.client, workload.WithDiscovery(d)), target: workload.Target{
		Namespace: t.ns, Group: groupName, // without the UID of a PDAutoscaler: no others are looked for
		Roles: map[planner.Role]string{planner.Prefill: "prefill", planner.Decode: "decode"},
	}}
	return p
}

func (p *product) observe() workload.Observation {
	p.Helper()
	o, err := p.workload.Observe(p.Context(), p.target, time.Now())
	p.must("observe the group", err)
	return o
}

func (p *product) apply(role planner.Role, from, to int) {
	p.Helper()
	p.must(fmt.Sprintf("scale %s from %d to %d", role, from, to), p.workload.Apply(p.Context(), p.target, role, from, to))
}

// sees waits until a role looks as it should: "2: ready/2 ready/2" is two desired, and each replica with its GPUs.
func (p *product) sees(role planner.Role, want string) workload.Observation {
	p.Helper()
	var o workload.Observation
	p.eventually(fmt.Sprintf("pkg/workload to see %s as %q", role, want), func() error {
		var err error
		if o, err = p.workload.Observe(p.Context(), p.target, time.Now()); err != nil {
			return err
		}
		pool := &o.Prefill
		if role == planner.Decode {
			pool = &o.Decode
		}
		if got := inBrief(pool); got != want {
			return fmt.Errorf("it sees %q, held by %q", got, pool.Held)
		}
		return nil
	})
	return o
}

func inBrief(pool *planner.Pool) string {
	parts := []string{fmt.Sprintf("%d:", pool.Desired)}
	for i := range pool.Replicas {
		parts = append(parts, fmt.Sprintf("%s/%d", pool.Replicas[i].State, pool.Replicas[i].GPUs))
	}
	return strings.Join(parts, " ")
}

// pair is the service that the product looks at.
func pair(gpus int, adapters bool) []role {
	return []role{
		{name: "prefill", replicas: 2, gpus: gpus, adapter: adapters},
		{name: "decode", replicas: 1, gpus: gpus, adapter: adapters},
	}
}

func seesReplicas(t *trial) {
	t.create(pair(2, true)...)
	p := t.product()
	p.bound("prefill", "decode")
	p.sees(planner.Prefill, "2: ready/2 ready/2")
	o := p.sees(planner.Decode, "1: ready/2")
	if o.Prefill.GPUsPerReplica != 2 || o.Decode.GPUsPerReplica != 2 {
		t.Errorf("%d and %d GPUs per replica, want 2", o.Prefill.GPUsPerReplica, o.Decode.GPUsPerReplica)
	}
	if free, known := o.FreeGPUsByNode[t.place.node]; known && free != 0 {
		t.Errorf("%d GPUs are free on node %s, want none", free, t.place.node)
	}
	if len(o.Problems) > 0 || o.Prefill.Held != "" || o.Decode.Held != "" || o.Prefill.Rollout {
		t.Errorf("problems %v, held %q and %q, rollout %v; want none", o.Problems, o.Prefill.Held, o.Decode.Held, o.Prefill.Rollout)
	}
	if n := o.Startup[planner.Prefill].Total.Samples; n < 1 || n > 2 { // starts that were seen count before those that are guessed
		t.Errorf("%d starts were measured, want 1 or 2", n)
	}
}

func scalesThroughAdapter(t *trial) {
	t.create(pair(1, true)...)
	p := t.product()
	p.bound("prefill", "decode")
	p.sees(planner.Prefill, "2: ready/1 ready/1")
	p.apply(planner.Prefill, 2, 4)
	p.sees(planner.Prefill, "4: ready/1 ready/1 ready/1 ready/1")
	if err := p.workload.Apply(t.Context(), p.target, planner.Prefill, 2, 3); !errors.As(err, new(*workload.ConflictError)) {
		t.Errorf("a decision made from 2 replicas was carried out on 4: %v", err)
	}
	p.observe()
	p.apply(planner.Prefill, 4, 0)
	p.sees(planner.Prefill, "0:")
	p.apply(planner.Prefill, 0, 1)
	p.sees(planner.Prefill, "1: ready/1")
	p.sees(planner.Decode, "1: ready/1")
}

func scalesInRole(t *trial) {
	t.create(pair(1, false)...)
	p := t.product()
	p.sees(planner.Prefill, "2: ready/1 ready/1")
	p.apply(planner.Prefill, 2, 3)
	p.sees(planner.Prefill, "3: ready/1 ready/1 ready/1")
	p.apply(planner.Decode, 1, 2)
	p.sees(planner.Decode, "2: ready/1 ready/1")
	if err := p.workload.Apply(t.Context(), p.target, planner.Prefill, 2, 1); !errors.As(err, new(*workload.ConflictError)) {
		t.Errorf("a decision made from 2 replicas was carried out on 3: %v", err)
	}
	p.observe()
	p.apply(planner.Prefill, 3, 1)
	p.sees(planner.Prefill, "1: ready/1")
}

func followsScaleDown(t *trial) {
	roles := pair(1, true)
	roles[0].drains = drain
	t.create(roles...)
	p := t.product()
	p.bound("prefill", "decode")
	p.sees(planner.Prefill, "2: ready/1 ready/1")
	victim := ordinals("prefill", 2)[1]
	p.apply(planner.Prefill, 2, 1)
	sawTerminating := false
	t.eventually("the replica to be gone", func() error {
		before := t.pod(victim)
		o := p.observe()
		switch got := inBrief(&o.Prefill); {
		case got == "1: ready/1 terminating/1":
			sawTerminating = true
		case got == "1: ready/1" && before != nil && t.pod(victim) != nil:
			t.Errorf("the replica is not counted while its pod is %s", stateOf(before))
		}
		if t.pod(victim) != nil {
			return errors.New("its pod is there")
		}
		return nil
	})
	p.sees(planner.Prefill, "1: ready/1")
	if !sawTerminating {
		t.observed("pods end too fast here for a terminating replica to be seen")
	}
}

func saysWhyNotStarting(t *trial) {
	t.create(pair(1, true)...)
	p := t.product()
	p.bound("prefill", "decode")
	p.sees(planner.Prefill, "2: ready/1 ready/1")
	p.apply(planner.Prefill, 2, 3)
	t.eventually("the scheduler's reason", func() error {
		o := p.observe()
		if got := inBrief(&o.Prefill); got != "3: ready/1 ready/1 starting/1" {
			return fmt.Errorf("prefill is %q", got)
		}
		if why := o.Prefill.Replicas[2].Unschedulable; !strings.Contains(why, "Insufficient "+t.cluster.resource) {
			return fmt.Errorf("it says %q", why)
		}
		return nil
	})
}

func leaderWorkerGPUs(t *trial) {
	t.create(role{name: "prefill", replicas: 1, gpus: 1, adapter: true}, role{name: "decode", replicas: 1, size: 2, gpus: 2, adapter: true})
	p := t.product()
	p.bound("prefill", "decode")
	o := p.sees(planner.Decode, "1: ready/4")
	leaders := 0
	for i := range o.Pods {
		if o.Pods[i].Role == planner.Decode && o.Pods[i].Leader {
			leaders++
		}
	}
	if o.Decode.GPUsPerReplica != 4 || leaders != 1 || len(o.Problems) > 0 {
		t.Errorf("%d GPUs per replica, %d leaders, problems %v; want 4, 1 and none", o.Decode.GPUsPerReplica, leaders, o.Problems)
	}
}

func namesVictim(t *trial) {
	t.create(pair(1, true)...)
	p := t.product()
	p.bound("prefill", "decode")
	o := p.sees(planner.Prefill, "2: ready/1 ready/1")
	victims := workload.Victims(&o.Prefill, 1)
	p.apply(planner.Prefill, 2, 1)
	o = p.sees(planner.Prefill, "1: ready/1")
	if len(victims) != 1 || o.Prefill.Replicas[0].Name == victims[0] {
		t.Errorf("%v was said to go, and %s is left", victims, o.Prefill.Replicas[0].Name)
	}
}

func choosesVictim(t *trial) {
	roles := pair(1, true)
	roles[0].stateless = true
	t.create(roles...)
	p := t.product()
	p.bound("prefill", "decode")
	o := p.sees(planner.Prefill, "2: ready/1 ready/1")
	if !o.Stateless[planner.Prefill] {
		t.Fatalf("the role is not seen to be stateless")
	}
	idle := t.instances("prefill")
	slices.SortFunc(idle, func(a, b unstructured.Unstructured) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	load := map[string]float64{idle[0].GetName(): 0.1, idle[1].GetName(): 0.9} // the oldest is idle: age alone would spare it
	workload.OrderByLoad(&o.Prefill, nil, load)
	victims := workload.Victims(&o.Prefill, 1)
	if len(victims) != 1 || victims[0] != idle[0].GetName() {
		t.Fatalf("%v is to go, want the idle one, %s", victims, idle[0].GetName())
	}
	t.must("choose the victim", p.workload.Choose(t.Context(), p.target, planner.Prefill, victims))
	p.apply(planner.Prefill, 2, 1)
	o = p.sees(planner.Prefill, "1: ready/1")
	if left := o.Prefill.Replicas[0].Name; left != idle[1].GetName() {
		t.Errorf("%s is left, want the busy one, %s", left, idle[1].GetName())
	}
}

func marksVictim(t *trial) {
	t.create(pair(1, true)...)
	p := t.product()
	p.bound("prefill", "decode")
	o := p.sees(planner.Prefill, "2: ready/1 ready/1")
	victims := workload.Victims(&o.Prefill, 1)
	hook := workload.Hook{Annotation: &workload.Mark{Key: "conformance.pdautoscaler.io/drain", Value: "true"}}
	marked := func(pod *corev1.Pod) bool { return pod.Annotations[hook.Annotation.Key] == hook.Annotation.Value }
	_, err := p.workload.Drain(t.Context(), p.target, hook, o.PodsOf(victims))
	t.must("mark the victim", err)
	for _, pod := range t.pods("prefill") {
		if name := labelOf(&pod, instanceLabels); marked(&pod) != (name == victims[0] || name == "" && pod.Name == victims[0]) {
			t.Errorf("pod %s is marked: %t, and %v is to go", pod.Name, marked(&pod), victims)
		}
	}
	t.must("take the mark back", p.workload.Undrain(t.Context(), p.target, hook, o.PodsOf(victims)))
	for _, pod := range t.pods("prefill") {
		if marked(&pod) {
			t.Errorf("pod %s is still marked", pod.Name)
		}
	}
}
