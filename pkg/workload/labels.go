package workload

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Labels of pods. RBG v0.7 renamed them all and does not write the old ones, so
// both generations are read, the new one first. The role-instance-index label
// is not used: RBG writes the same number on several instances.
var (
	groupLabels = [2]string{"rbg.workloads.x-k8s.io/group-name", "rolebasedgroup.workloads.x-k8s.io/name"}
	roleLabels  = [2]string{"rbg.workloads.x-k8s.io/role-name", "rolebasedgroup.workloads.x-k8s.io/role"}

	instanceLabels  = [2]string{"rbg.workloads.x-k8s.io/role-instance-name", "instanceset.workloads.x-k8s.io/instance-name"}
	componentLabels = [2]string{"rbg.workloads.x-k8s.io/component-index", "component.rolebasedgroup.workloads.x-k8s.io/index"}
)

// Labels of pods of a LeaderWorkerSet.
const (
	lwsNameLabel   = "leaderworkerset.sigs.k8s.io/name"
	lwsGroupLabel  = "leaderworkerset.sigs.k8s.io/group-index"
	lwsWorkerLabel = "leaderworkerset.sigs.k8s.io/worker-index"
)

func labelOf(pod *corev1.Pod, keys [2]string) string {
	if value := pod.Labels[keys[0]]; value != "" {
		return value
	}
	return pod.Labels[keys[1]]
}

// instanceName returns the name of the replica that a pod belongs to. Pods of a
// StatefulSet or a Deployment are a replica each.
func instanceName(pod *corev1.Pod) string {
	if name := labelOf(pod, instanceLabels); name != "" {
		return name
	}
	if set, index := pod.Labels[lwsNameLabel], pod.Labels[lwsGroupLabel]; set != "" && index != "" {
		return set + "-" + index
	}
	return pod.Name
}

// isLeader reports whether a pod is the one of its replica that serves. Only
// leader-worker replicas have pods that do not.
func isLeader(pod *corev1.Pod) bool {
	index := labelOf(pod, componentLabels)
	if index == "" {
		index = pod.Labels[lwsWorkerLabel]
	}
	return index == "" || index == "0"
}

// ordinal returns the number at the end of a stateful replica's name, -1 where there is none.
func ordinal(instance string) int {
	n, err := strconv.Atoi(instance[strings.LastIndex(instance, "-")+1:])
	if err != nil || n < 0 {
		return -1
	}
	return n
}
