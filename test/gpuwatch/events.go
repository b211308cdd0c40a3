package gpuwatch

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// State is where a pod is in its life.
type State string

// The states of a pod. Those of the first three hold GPUs.
const (
	Starting    State = "starting"
	Ready       State = "ready"
	Terminating State = "terminating"
	Ended       State = "ended" // Succeeded or Failed
	Gone        State = "gone"  // deleted
)

// Holds reports whether a pod in this state holds its GPUs.
func (s State) Holds() bool { return s == Starting || s == Ready || s == Terminating }

// Event is one change of one pod.
type Event struct {
	// At is when the event was received, in the watcher's time.
	At time.Time `json:"at"`
	// Type is LISTED for a pod that was there at the start, else the watch's ADDED, MODIFIED or DELETED.
	Type            string `json:"type"`
	ResourceVersion string `json:"resourceVersion"`
	Pod             string `json:"pod"`
	UID             string `json:"uid"`
	Role            string `json:"role,omitempty"`
	Node            string `json:"node,omitempty"`
	State           State  `json:"state"`
	// GPUs are the pod's own.
	GPUs int `json:"gpus"`
	// Held is what all pods hold after this event.
	Held int `json:"held"`
}

// Listed is the type of the events that the watch began with.
const Listed = "LISTED"

// resourceGPU is the name under which NVIDIA's device plugin offers GPUs.
const resourceGPU corev1.ResourceName = "nvidia.com/gpu"

// EventOf is what one event of one pod says; the type is one of a watch, or Listed. Held is left to a Ledger.
func EventOf(eventType string, pod *corev1.Pod, roleLabel string, at time.Time) Event {
	return Event{
		At: at, Type: eventType, ResourceVersion: pod.ResourceVersion,
		Pod: pod.Name, UID: string(pod.UID), Role: pod.Labels[roleLabel], Node: pod.Spec.NodeName,
		State: stateOf(eventType, pod), GPUs: gpusOf(pod),
	}
}

func stateOf(eventType string, pod *corev1.Pod) State {
	switch {
	case eventType == string(watch.Deleted):
		return Gone
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return Ended
	case pod.DeletionTimestamp != nil:
		return Terminating
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return Ready
		}
	}
	return Starting
}

// gpusOf is what the scheduler reserves for a pod: the sum of its containers, or its largest init container if that is more.
// A GPU's request always equals its limit.
func gpusOf(pod *corev1.Pod) int {
	of := func(c *corev1.Container) int {
		q := c.Resources.Limits[resourceGPU]
		return int(q.Value())
	}
	sum, largest := 0, 0
	for i := range pod.Spec.Containers {
		sum += of(&pod.Spec.Containers[i])
	}
	for i := range pod.Spec.InitContainers {
		largest = max(largest, of(&pod.Spec.InitContainers[i]))
	}
	return max(sum, largest)
}
