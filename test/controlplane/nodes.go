package controlplane

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// ResourceGPU is the name that NVIDIA's device plugin gives to a node's GPUs.
const ResourceGPU corev1.ResourceName = "nvidia.com/gpu"

// Labels that GPU feature discovery gives to a node with GPUs.
const (
	LabelGPUProduct = "nvidia.com/gpu.product"
	LabelGPUCount   = "nvidia.com/gpu.count"
)

// AddGPUNodes makes n nodes of gpusPerNode GPUs of one product and waits until pods can be scheduled to all of them. Each
// has plenty of processors and memory and room for 110 pods. With 0 GPUs the nodes carry neither label. Names are gpu-0,
// gpu-1 and so on, counted over the life of the control plane.
func (cp *ControlPlane) AddGPUNodes(ctx context.Context, n, gpusPerNode int, product string) ([]string, error) {
	if n < 1 || gpusPerNode < 0 {
		return nil, fmt.Errorf("add %d nodes of %d GPUs: want at least one node and no negative number of GPUs", n, gpusPerNode)
	}
	nodes := cp.client.CoreV1().Nodes()
	names := make([]string, n)
	for i := range names {
		node := gpuNode(fmt.Sprintf("gpu-%d", cp.nodesMade.Add(1)-1), gpusPerNode, product)
		if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return names[:i], fmt.Errorf("add node %s: %w", node.Name, err)
		}
		names[i] = node.Name
	}
	var waitingFor string
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := cp.Err(); err != nil {
			return false, err
		}
		for _, name := range names {
			waitingFor = name
			node, err := nodes.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if !schedulable(node) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return names, fmt.Errorf("wait for node %s to be Ready: %w", waitingFor, err)
	}
	return names, nil
}

func gpuNode(name string, gpus int, product string) *corev1.Node {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("192"),
		corev1.ResourceMemory: resource.MustParse("2Ti"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	labels := map[string]string{
		corev1.LabelHostname:   name,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: "amd64",
	}
	if gpus > 0 {
		resources[ResourceGPU] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
		labels[LabelGPUProduct] = product
		labels[LabelGPUCount] = strconv.Itoa(gpus)
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status:     corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}
}

// schedulable reports whether a node is Ready and free of the taint that every new node carries.
func schedulable(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Effect != corev1.TaintEffectPreferNoSchedule {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
