package workload

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// node keeps a GPU node that is ready.
func (c *cluster) node(name string, gpus int) {
	c.add(fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata: {name: %s, labels: {nvidia.com/gpu.product: NVIDIA-H200}}
status: {allocatable: {nvidia.com/gpu: "%d"}, conditions: [{type: Ready, status: "True"}]}`, name, gpus))
}

func TestFreeGPUs(t *testing.T) {
	c := dynamoPD(t)
	c.nodesAllowed = true
	c.node("gpu-0", 8)
	c.node("gpu-1", 8)
	c.node("gpu-2", 8)
	c.add(`{apiVersion: v1, kind: Node, metadata: {name: cpu-0}, status: {conditions: [{type: Ready, status: "True"}]}}`)
	for name, broken := range map[string]string{
		"cordoned":    `spec: {unschedulable: true}, status: {allocatable: {nvidia.com/gpu: "8"}, conditions: [{type: Ready, status: "True"}]}`,
		"down":        `status: {allocatable: {nvidia.com/gpu: "8"}, conditions: [{type: Ready, status: Unknown}]}`,
		"silent":      `status: {allocatable: {nvidia.com/gpu: "8"}}`,
		"unreachable": `spec: {taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}]}, status: {allocatable: {nvidia.com/gpu: "8"}, conditions: [{type: Ready, status: "True"}]}`,
	} {
		c.add(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s}, %s}`, name, broken))
	}
	c.add(`{apiVersion: v1, kind: Node, metadata: {name: reserved}, spec: {taints: [{key: nvidia.com/gpu, effect: NoSchedule}]}, status: {allocatable: {nvidia.com/gpu: "4"}, conditions: [{type: Ready, status: "True"}]}}`)

	c.pod("prefill", "dynamo-pd-prefill-0")                                                                          // 2 of gpu-0
	c.pod("prefill", "dynamo-pd-prefill-1", leaving)                                                                 // 2 more until it is gone
	c.pod("prefill", "dynamo-pd-prefill-2", pending)                                                                 // none yet
	c.pod("decode", "dynamo-pd-decode-0", on("gpu-1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }) // none any more
	other := func(p *corev1.Pod) { p.Namespace, p.Labels = "other", nil }
	c.pod("decode", "tenant", on("gpu-1"), gpus(5), other)
	c.pod("decode", "greedy", on("gpu-2"), gpus(9), other)

	o := c.observe()
	want := map[string]int{"gpu-0": 4, "gpu-1": 3, "gpu-2": 0, "reserved": 4}
	if diff := cmp.Diff(want, o.FreeGPUsByNode); diff != "" {
		t.Errorf("free GPUs (-want +got):\n%s", diff)
	}
	if o.Prefill.GPUType != "NVIDIA-H200" {
		t.Errorf("GPU type %q", o.Prefill.GPUType)
	}
}

func TestFreeGPUsWhereTheServiceMayRun(t *testing.T) {
	c := dynamoPD(t)
	c.nodesAllowed = true
	c.node("gpu-0", 8)
	c.add(`{apiVersion: v1, kind: Node, metadata: {name: h20-0, labels: {nvidia.com/gpu.product: NVIDIA-H20}}, status: {allocatable: {nvidia.com/gpu: "8"}, conditions: [{type: Ready, status: "True"}]}}`)
	o := c.observe()
	if diff := cmp.Diff(map[string]int{"gpu-0": 8, "h20-0": 8}, o.FreeGPUsByNode); diff != "" {
		t.Errorf("without a node selector (-want +got):\n%s", diff)
	}
	if o.Prefill.GPUType != "" {
		t.Errorf("GPU type %q of nodes that differ, want none", o.Prefill.GPUType)
	}

	h20 := `standalonePattern: {templateRef: {name: worker, patch: {spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-H20}}}}}`
	c.role("prefill", h20)
	c.role("decode", h20)
	o = c.observe()
	if diff := cmp.Diff(map[string]int{"h20-0": 8}, o.FreeGPUsByNode); diff != "" {
		t.Errorf("with a node selector (-want +got):\n%s", diff)
	}
	if o.Prefill.GPUType != "NVIDIA-H20" || o.Decode.GPUType != "NVIDIA-H20" {
		t.Errorf("GPU types %q and %q, want the selector's", o.Prefill.GPUType, o.Decode.GPUType)
	}
}

func TestNodesThatMayNotBeRead(t *testing.T) {
	c := dynamoPD(t)
	c.node("gpu-0", 8)
	c.role("decode", `standalonePattern: {templateRef: {name: worker, patch: {spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-H20}}}}}`)
	c.pod("prefill", "dynamo-pd-prefill-0")
	w := c.workload()
	observe := func(at time.Time) Observation {
		t.Helper()
		o, err := w.Observe(t.Context(), target, at)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := observe(now)
	if o.FreeGPUsByNode != nil || o.Prefill.GPUType != "" || o.Decode.GPUType != "NVIDIA-H20" {
		t.Errorf("free GPUs %v, types %q and %q; want nothing but what the template says", o.FreeGPUsByNode, o.Prefill.GPUType, o.Decode.GPUType)
	}
	c.nodesAllowed = true // permission was given
	if o := observe(now.Add(time.Minute)); o.FreeGPUsByNode != nil {
		t.Error("permission was asked for again within a minute")
	}
	if o := observe(now.Add(6 * time.Minute)); o.FreeGPUsByNode == nil {
		t.Error("permission was not asked for again")
	}
}

// One look at all nodes does for every service for a while, and no longer.
func TestNodesForAWhile(t *testing.T) {
	c := dynamoPD(t)
	c.nodesAllowed = true
	c.node("gpu-0", 8)
	api, at := c.client(), now
	w := New(api, api, WithDiscovery(discovery(c.versions)), WithNodesFor(time.Second))
	w.clock = func() time.Time { return at }
	free := func() int {
		t.Helper()
		o, err := w.Observe(t.Context(), target, at)
		if err != nil {
			t.Fatal(err)
		}
		return len(o.FreeGPUsByNode)
	}
	if n := free(); n != 1 {
		t.Fatalf("%d nodes have free GPUs, want 1", n)
	}
	c.node("gpu-1", 8)
	w.reader = c.client()
	if n := free(); n != 1 {
		t.Errorf("%d nodes have free GPUs within the second, want 1 still", n)
	}
	at = at.Add(time.Second)
	if n := free(); n != 2 {
		t.Errorf("%d nodes have free GPUs a second later, want 2", n)
	}
}
