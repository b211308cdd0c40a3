package conformance

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func rolloutBehaviours() []behaviour {
	return []behaviour{
		{
			name: "rollout/highest ordinals first, down to the partition", api: v1alpha2,
			fact:  "a changed template is rolled out from the highest ordinal down to the partition; until all are new, currentRevision differs from updateRevision",
			check: partitionedRollout,
		},
		{
			name: "rollout/a scale-down removes the updated pods", api: v1alpha2,
			fact:  "a scale-down during a partitioned rollout takes the highest ordinals, which are the updated ones: the new revision is lost",
			check: scaleDownInRollout,
		},
		{
			name: "rollout/one at a time", api: v1alpha2,
			fact:  "no more than maxUnavailable (1) replicas are away at a time, and the rollout ends with one revision",
			check: wholeRollout,
		},
		{
			name: "rollout/the group hides it", api: v1alpha2,
			fact:  "a change of updatedReplicas alone is not written to roleStatuses: only the workload's own status shows a rollout",
			check: groupHidesRollout,
		},
	}
}

// rolling is the strategy of the rollouts: pods are made anew, whatever has changed.
func rolling(partition int64) map[string]any {
	return map[string]any{"type": "RecreatePod", "partition": partition, "maxUnavailable": int64(1), "maxSurge": int64(0)}
}

// revisions checks how many replicas of a role have the new template, and whether its two revisions differ.
func (t *trial) revisions(role string, updated int64, differ bool) func() error {
	return func() error {
		status, _, _ := unstructured.NestedMap(t.workload(role).Object, "status")
		if n := integer(status, "updatedReplicas"); n != updated {
			return fmt.Errorf("%d replicas are updated, want %d", n, updated)
		}
		if (status["currentRevision"] != status["updateRevision"]) != differ {
			return fmt.Errorf("currentRevision %v, updateRevision %v", status["currentRevision"], status["updateRevision"])
		}
		return nil
	}
}

// versions lists the environment variable VERSION of a role's pods, by name.
func (t *trial) versions(role string) []string {
	var out []string
	for _, pod := range t.pods(role) {
		for _, e := range pod.Spec.Containers[0].Env {
			if e.Name == "VERSION" {
				out = append(out, e.Value)
			}
		}
	}
	return out
}

func (t *trial) hasVersions(role string, want ...string) func() error {
	return func() error {
		pods := t.pods(role)
		for i := range pods {
			if !ready(&pods[i]) {
				return fmt.Errorf("pod %s is %s", pods[i].Name, stateOf(&pods[i]))
			}
		}
		return t.runVersions(role, want...)()
	}
}

// runVersions checks the versions of a role's pods, ready or not.
func (t *trial) runVersions(role string, want ...string) func() error {
	return func() error {
		if got := t.versions(role); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("the pods run versions %v, want %v", got, want)
		}
		return nil
	}
}

// halfway rolls a role of three out down to ordinal 2.
func (t *trial) halfway() {
	t.Helper()
	r := role{name: "prefill", replicas: 3, adapter: true, version: "old", rollingUpdate: rolling(2)}
	t.create(r)
	t.eventually("3 pods", t.hasVersions("prefill", "old", "old", "old"))
	t.eventually("one revision", t.revisions("prefill", 3, false))
	t.bound("prefill")
	r.version = "new"
	t.editRole(r)
	t.eventually("ordinal 2 to be new", t.hasVersions("prefill", "old", "old", "new"))
	t.eventually("two revisions", t.revisions("prefill", 1, true))
}

func partitionedRollout(t *trial) {
	t.halfway()
	t.stays("it went below the partition", t.runVersions("prefill", "old", "old", "new"))
}

func scaleDownInRollout(t *trial) {
	t.halfway()
	t.scale("prefill", 2)
	t.eventually("two to be left", t.hasReady("prefill", ordinals("prefill", 2)...))
	t.observed("the versions that are left: %v", t.versions("prefill"))
	if got := t.versions("prefill"); fmt.Sprint(got) != "[old old]" {
		t.Errorf("%v are left, want the updated one to go", got)
	}
}

func wholeRollout(t *trial) {
	r := role{name: "prefill", replicas: 3, version: "old", rollingUpdate: rolling(0)}
	t.create(r)
	t.eventually("3 pods", t.hasVersions("prefill", "old", "old", "old"))
	t.eventually("one revision", t.revisions("prefill", 3, false))
	r.version = "new"
	t.editRole(r)
	away := 0
	t.eventually("all to be new", func() error {
		serving := 0
		for _, pod := range t.pods("prefill") {
			if ready(&pod) {
				serving++
			}
		}
		away = max(away, 3-serving)
		return t.hasVersions("prefill", "new", "new", "new")()
	})
	t.eventually("one revision again", t.revisions("prefill", 3, false))
	t.observed("at most %d of 3 were seen away at a time", away)
	if away > 2 { // the pod of the next may be told to go before the last one is seen Ready
		t.Errorf("%d of 3 replicas were away at a time", away)
	}
}

func groupHidesRollout(t *trial) {
	t.halfway()
	t.eventually("the group to count 3 ready", t.counts("prefill", 3, 3))
	t.observed("roleStatuses says %d of 3 updated, its workload 1", integer(t.status("prefill"), "updatedReplicas"))
}
