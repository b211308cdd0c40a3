package conformance

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func policyBehaviours() []behaviour {
	return []behaviour{
		{
			name: "policy/OrderScheduled holds every role (deadlock 2)", gpus: 3,
			fact:  "while a growing role has a replica that is not scheduled, all roles of the policy keep their current count: decode up first, then prefill down, and prefill never shrinks",
			check: func(t *trial) { policyDeadlock(t, "OrderScheduled") },
		},
		{
			name: "policy/OrderReady holds every role", gpus: 3,
			fact:  "the same with OrderReady, until every replica of a growing role is ready",
			check: func(t *trial) { policyDeadlock(t, "OrderReady") },
		},
		{
			name: "policy/without a progression nothing is held", api: v1alpha2, gpus: 3,
			fact:  "an empty progression never blocks",
			check: policyWithoutProgression,
		},
		{
			name: "policy/maxSkew must be a percentage", api: v1alpha2,
			fact:  "maxSkew as a whole number is refused at every reconcile (\"percentage string must end with '%'\"), and no role changes; event FailedCalculateScaling",
			check: policyWholeNumber,
		},
		{
			name: "policy/roles grow in step", api: v1alpha2, gpus: 3,
			fact:  "a role is told at most maxSkew more of its way than the one furthest behind",
			check: policyInStep,
		},
		{
			name: "policy/rollout settings reach the workloads", api: v1alpha2,
			fact:  "rollingUpdate of a policy gives its roles their maxUnavailable and partition, over what the roles say",
			check: policyRollout,
		},
	}
}

// coordinate writes how the group's roles are coordinated: a CoordinatedPolicy of the group's name, or the group's own field of v1alpha1.
func (t *trial) coordinate(g *unstructured.Unstructured, strategy map[string]any) {
	t.Helper()
	rule := map[string]any{"name": "pd", "roles": []any{"prefill", "decode"}, "strategy": strategy}
	if t.api == v1alpha1 {
		g.Object["spec"].(map[string]any)["coordination"] = []any{rule}
		return
	}
	if !t.serves(rbg(t.api, kindPolicy)) {
		t.skip("the cluster does not serve %s", kindPolicy)
	}
	p := object(rbg(t.api, kindPolicy), t.ns, groupName)
	p.Object["spec"] = map[string]any{"policies": []any{rule}}
	t.must("make the CoordinatedPolicy", t.client.Create(t.Context(), p))
}

// coordinated makes the service of the GPU moves, its roles coordinated. RBG from v0.7 converts the coordination of a group of
// v1alpha1 into a CoordinatedPolicy whose rules have no name, which its own definition refuses: such a group never comes up.
func (t *trial) coordinated(strategy map[string]any) {
	t.Helper()
	g := t.group(role{name: "prefill", replicas: 2, gpus: 1, adapter: true}, role{name: "decode", replicas: 1, gpus: 1, adapter: true})
	t.coordinate(g, strategy)
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	other, patience := t.otherVersion(t.api), t.timeout
	if t.api == v1alpha1 && other != "" {
		patience /= 3 // it is known not to come up
	}
	err := t.within(patience, t.readyCondition("True", "AllRolesReady"))
	if err != nil && t.api == v1alpha1 && other != "" {
		t.skip("this RBG serves %s too, and does not carry out a group of v1alpha1 with a coordination: %v", other, err)
	}
	t.must("wait for the group to be Ready", err)
	t.bound("prefill", "decode")
}

func scalingStrategy(maxSkew any, progression string) map[string]any {
	s := map[string]any{"maxSkew": maxSkew}
	if progression != "" {
		s["progression"] = progression
	}
	return map[string]any{"scaling": s}
}

func policyDeadlock(t *trial, progression string) {
	t.coordinated(scalingStrategy("10%", progression))
	t.scale("decode", 2)
	t.eventually("the second decode pod to have no place", t.unschedulable(ordinals("decode", 2)[1]))
	t.eventually("the group to count it, not ready", t.counts("decode", 2, 1))
	t.scale("decode", 3) // it grows still
	t.scale("prefill", 1)
	t.eventually("the scale-down to reach the group", func() error {
		if n := t.onDisk("prefill"); n != 1 {
			return fmt.Errorf("the group says %d", n)
		}
		return nil
	})
	t.stays("prefill has changed while decode waits", t.wants("prefill", 2))
	t.stays("prefill has changed while decode waits", t.hasPods("prefill", ordinals("prefill", 2)...))
	t.scale("decode", 1)
	t.eventually("prefill to shrink at last", t.hasReady("prefill", ordinals("prefill", 1)...))
}

func policyWithoutProgression(t *trial) {
	t.coordinated(scalingStrategy("10%", ""))
	t.scale("decode", 2)
	t.eventually("the second decode pod to have no place", t.unschedulable(ordinals("decode", 2)[1]))
	t.scale("decode", 3)
	t.scale("prefill", 0)
	t.eventually("prefill to shrink and decode to take its GPUs", t.hasReady("decode", ordinals("decode", 3)...))
}

func policyWholeNumber(t *trial) {
	g := t.group(role{name: "prefill", replicas: 1}, role{name: "decode", replicas: 1})
	t.coordinate(g, scalingStrategy(int64(1), "OrderScheduled"))
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	t.eventually("the refusal", t.happened("FailedCalculateScaling"))
	t.stays("roles were made under a policy that is refused", t.hasPods("prefill"))
}

func policyInStep(t *trial) {
	g := t.group(role{name: "prefill", replicas: 1, gpus: 1, adapter: true}, role{name: "decode", replicas: 1, nowhere: true})
	t.coordinate(g, scalingStrategy("25%", "OrderScheduled"))
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	t.eventually("prefill", t.hasReady("prefill", ordinals("prefill", 1)...))
	t.eventually("decode without a place", t.unschedulable(ordinals("decode", 1)[0]))
	t.bound("prefill")
	// decode has all the replicas it asks for, placed or not, and holds nobody back.
	t.scale("prefill", 3)
	t.eventually("prefill to grow", t.hasReady("prefill", ordinals("prefill", 3)...))
	// From 1 of 3 the way is: a third and a quarter more is 1.75, told as 2, then 3.
	var told []int64
	for _, w := range t.seen(t.workloadKind(), workloadName("prefill")) {
		if n := integer(w.Object, "spec", "replicas"); len(told) == 0 || told[len(told)-1] != n {
			told = append(told, n)
		}
	}
	t.observed("prefill was told %v", told)
	if want := "[1 2 3]"; fmt.Sprint(told) != want {
		t.Errorf("prefill was told %v, want %s", told, want)
	}
}

func policyRollout(t *trial) {
	g := t.group(
		role{name: "prefill", replicas: 3, rollingUpdate: map[string]any{"maxUnavailable": int64(1), "maxSurge": int64(0), "partition": int64(0)}},
		role{name: "decode", replicas: 1},
	)
	t.coordinate(g, map[string]any{"rollingUpdate": map[string]any{"maxUnavailable": int64(2), "partition": int64(1)}})
	t.must("make the RoleBasedGroup", t.client.Create(t.Context(), g))
	t.eventually("the workload to have the policy's settings", func() error {
		w := t.workload("prefill")
		if w == nil {
			return errMissing
		}
		unavailable, partition := integer(w.Object, "spec", "updateStrategy", "maxUnavailable"), integer(w.Object, "spec", "updateStrategy", "partition")
		if unavailable != 2 || partition != 1 {
			return fmt.Errorf("maxUnavailable %d, partition %d; want 2 and 1", unavailable, partition)
		}
		return nil
	})
}
