package conformance

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func identityBehaviours() []behaviour {
	return []behaviour{
		{
			name:  "identity/one workload per role",
			fact:  "each role has one workload object RBG-ROLE, controlled by the group: a RoleInstanceSet in v1alpha2, a StatefulSet in v1alpha1",
			check: oneWorkloadPerRole,
		},
		{
			name:  "identity/pods",
			fact:  "pods are named RBG-ROLE-ORDINAL, carry group and role labels of either generation, and lead to the group by controller references",
			check: podIdentity,
		},
		{
			name: "identity/index label", api: v1alpha2,
			fact:  "the label role-instance-index is wrong on all but one replica (v0.7 and later); role-instance-name is right",
			check: indexLabel,
		},
		{
			name:  "identity/environment",
			fact:  "containers are told group and role: RBG_GROUP_NAME and RBG_ROLE_NAME from v0.7, GROUP_NAME and ROLE_NAME before",
			check: environment,
		},
		{
			name:  "identity/headless service",
			fact:  "each role has a headless Service s-RBG-ROLE",
			check: headlessService,
		},
		{
			name: "identity/leader and workers", api: v1alpha2,
			fact:  "a leader-worker replica is one RoleInstance of size pods, REPLICA-0 the leader; counts are of replicas, and one is ready when all its pods are",
			check: leaderAndWorkers,
		},
		{
			name: "identity/custom components", api: v1alpha2,
			fact:  "pods of custom components are named REPLICA-COMPONENT-ID",
			check: customComponents,
		},
		{
			name: "identity/StatefulSet carries a role", api: v1alpha2,
			fact:  "the annotation role-workload-type of a role names another kind that carries it, such as apps/v1/StatefulSet",
			check: statefulSetCarries,
		},
	}
}

func oneWorkloadPerRole(t *trial) {
	t.create(role{name: "prefill", replicas: 2}, role{name: "decode", replicas: 1})
	for name, n := range map[string]int64{"prefill": 2, "decode": 1} {
		t.eventually("the workload of "+name, t.wants(name, n))
		if owner := t.controllerOf(t.workload(name)); owner == nil || owner.GetUID() != t.theGroup().GetUID() {
			t.Errorf("the workload of %s is not controlled by the group", name)
		}
	}
}

func podIdentity(t *trial) {
	g := t.create(role{name: "prefill", replicas: 2})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	generation := "v0.7 and later"
	for _, pod := range t.pods("prefill") {
		if pod.Labels[groupLabels[0]] == "" {
			generation = "v0.6 and earlier"
		}
		if name := labelOf(&pod, instanceLabels); name != "" && name != pod.Name {
			t.Errorf("pod %s carries the replica name %s", pod.Name, name)
		}
		owner, chain := t.controllerOf(&pod), []string{"Pod"}
		for owner != nil && owner.GetUID() != g.GetUID() {
			chain = append(chain, owner.GetKind())
			owner = t.controllerOf(owner)
		}
		if owner == nil {
			t.Errorf("pod %s does not lead to the group: %s, and no controller above", pod.Name, strings.Join(chain, " < "))
		}
		if pod.Name == ordinals("prefill", 1)[0] {
			t.observed("%s < %s", strings.Join(chain, " < "), kindGroup)
		}
	}
	t.observed("labels of %s", generation)
}

func indexLabel(t *trial) {
	t.create(role{name: "prefill", replicas: 3})
	t.eventually("3 pods", t.hasReady("prefill", ordinals("prefill", 3)...))
	var labels []string
	wrong := 0
	for i, pod := range t.pods("prefill") {
		labels = append(labels, pod.Labels[labelIndex])
		if pod.Labels[labelIndex] != fmt.Sprint(i) {
			wrong++
		}
		if name := pod.Labels[instanceLabels[0]]; name != pod.Name {
			t.Errorf("pod %s has the role-instance-name %q", pod.Name, name)
		}
	}
	t.observed("role-instance-index of ordinals 0, 1, 2 is %s: %d wrong", strings.Join(labels, ", "), wrong)
}

func environment(t *trial) {
	t.create(role{name: "prefill", replicas: 1})
	t.eventually("a pod", t.hasReady("prefill", ordinals("prefill", 1)...))
	container := t.pods("prefill")[0].Spec.Containers[0]
	value := func(name string) string {
		i := slices.IndexFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == name })
		if i < 0 {
			return ""
		}
		return container.Env[i].Value
	}
	for _, prefix := range []string{"RBG_", ""} {
		if value(prefix+"GROUP_NAME") == groupName && value(prefix+"ROLE_NAME") == "prefill" {
			t.observed("%sGROUP_NAME, %sROLE_NAME", prefix, prefix)
			return
		}
	}
	t.Errorf("the container is told neither RBG_GROUP_NAME and RBG_ROLE_NAME nor GROUP_NAME and ROLE_NAME: %v", container.Env)
}

func headlessService(t *trial) {
	t.create(role{name: "prefill", replicas: 1})
	name := "s-" + workloadName("prefill")
	t.eventually("Service "+name, func() error {
		s := t.read(corev1.SchemeGroupVersion.WithKind("Service"), name)
		if s == nil {
			return fmt.Errorf("it is not there")
		}
		if ip, _, _ := unstructuredString(s, "spec", "clusterIP"); ip != "None" {
			return fmt.Errorf("its cluster address is %q, want None", ip)
		}
		return nil
	})
}

func leaderAndWorkers(t *trial) {
	t.create(role{name: "decode", replicas: 2, size: 2})
	var names []string
	for _, replica := range ordinals("decode", 2) {
		names = append(names, replica+"-0", replica+"-1")
	}
	t.eventually("4 pods", t.hasReady("decode", names...))
	t.eventually("2 replicas to count", t.counts("decode", 2, 2))
	for _, pod := range t.pods("decode") {
		if want := pod.Name[len(pod.Name)-1:]; pod.Labels[labelComponent] != want {
			t.Errorf("pod %s has the component-index %q, want %q", pod.Name, pod.Labels[labelComponent], want)
		}
		if want := pod.Name[:len(pod.Name)-2]; labelOf(&pod, instanceLabels) != want {
			t.Errorf("pod %s belongs to replica %q, want %q", pod.Name, labelOf(&pod, instanceLabels), want)
		}
	}
	t.editRole(role{name: "decode", replicas: 2, size: 2}) // no change: nothing may restart
	t.stays("an edit that changes nothing restarted pods", t.hasPods("decode", names...))
}

func customComponents(t *trial) {
	t.create(role{name: "decode", replicas: 1, components: []string{"head", "tail"}})
	replica := ordinals("decode", 1)[0]
	t.eventually("2 pods", t.hasReady("decode", replica+"-head-0", replica+"-tail-0"))
	t.eventually("1 replica to count", t.counts("decode", 1, 1))
}

func statefulSetCarries(t *trial) {
	t.create(role{name: "prefill", replicas: 2, adapter: true, workload: "apps/v1/StatefulSet"})
	t.eventually("2 pods", t.hasReady("prefill", ordinals("prefill", 2)...))
	if t.read(statefulSetKind, workloadName("prefill")) == nil {
		t.Errorf("there is no StatefulSet %s", workloadName("prefill"))
	}
	t.eventually("the group to count them", t.counts("prefill", 2, 2))
	t.bound("prefill")
	selector, _, _ := unstructuredString(t.adapter("prefill"), "status", "selector")
	t.observed("status.selector of its adapter is %q", selector)
	t.scale("prefill", 1)
	t.eventually("ordinal 0 to be left", t.hasReady("prefill", ordinals("prefill", 1)...))
}
