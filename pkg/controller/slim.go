package controller

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The cache holds every pod and node of the cluster. What nobody here reads of
// them is not kept: it is most of an object.

// slimPod leaves out what a pod's containers run and how, and what the nodes
// say of their images.
func slimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	pod.ManagedFields = nil
	delete(pod.Annotations, corev1.LastAppliedConfigAnnotation)
	spec := &pod.Spec
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i, c := range containers {
			containers[i] = corev1.Container{Name: c.Name, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
		}
	}
	spec.Volumes, spec.EphemeralContainers, spec.ImagePullSecrets = nil, nil, nil
	spec.Tolerations = slices.Clip(slices.DeleteFunc(spec.Tolerations, ofEveryPod))
	spec.SecurityContext, spec.DNSConfig, spec.HostAliases, spec.TopologySpreadConstraints = nil, nil, nil, nil
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i, s := range statuses {
			statuses[i] = corev1.ContainerStatus{Name: s.Name, State: s.State, Ready: s.Ready, RestartCount: s.RestartCount, Started: s.Started}
		}
	}
	pod.Status.EphemeralContainerStatuses = nil
	return pod, nil
}

// ofEveryPod reports whether the API server gives a toleration to every pod. The others say on which nodes a pod may run.
func ofEveryPod(t corev1.Toleration) bool {
	return t.Effect == corev1.TaintEffectNoExecute && strings.HasPrefix(t.Key, "node.kubernetes.io/")
}

// slimNode leaves out the images on a node, and who wrote what.
func slimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	node.ManagedFields, node.Annotations = nil, nil
	node.Status.Images, node.Status.VolumesInUse, node.Status.VolumesAttached = nil, nil, nil
	return node, nil
}
