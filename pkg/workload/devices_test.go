package workload

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// slice keeps what a driver says of one node's devices, each "name type".
func (c *cluster) slice(name, driver, node, pool string, generation int, devices ...string) {
	list := ""
	for _, d := range devices {
		var device, kind string
		if _, err := fmt.Sscan(d, &device, &kind); err != nil {
			c.t.Fatal(err)
		}
		list += fmt.Sprintf("{name: %s, attributes: {type: {string: %s}, driverVersion: {version: 580.1.2}}}, ", device, kind)
	}
	c.add(fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {name: %s}, spec: {driver: %s, nodeName: %s, pool: {name: %s, generation: %d, resourceSliceCount: 1}, devices: [%s]}}`,
		name, driver, node, pool, generation, list))
}

// claim keeps a claim of somebody that holds devices of a pool.
func (c *cluster) claim(name, driver, pool string, admin bool, devices ...string) {
	list := ""
	for _, d := range devices {
		list += fmt.Sprintf("{request: a, driver: %s, pool: %s, device: %s, adminAccess: %v}, ", driver, pool, d, admin)
	}
	c.add(fmt.Sprintf(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: %s, namespace: somewhere}, status: {allocation: {devices: {results: [%s]}}}}`, name, list))
}

// claimingPD is the running example on two nodes whose GPUs are taken by claims.
func claimingPD(t *testing.T) *cluster {
	t.Helper()
	c := dynamoPD(t)
	c.nodesAllowed = true
	for _, node := range []string{"gpu-0", "gpu-1"} {
		c.add(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s}, status: {conditions: [{type: Ready, status: "True"}]}}`, node))
		c.slice(node, gpuDriver, node, node, 1, "gpu-0 gpu", "gpu-1 gpu", "gpu-2 gpu", "gpu-3 gpu")
	}
	c.add(`{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpus, namespace: default}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}}`)
	for _, role := range []string{"prefill", "decode"} {
		c.role(role, `standalonePattern: {template: {spec: {resourceClaims: [{name: gpus, resourceClaimTemplateName: gpus}], containers: [{name: vllm}]}}}`)
	}
	return c
}

// What is free where GPUs are taken by claims: whole GPUs of the newest slices that no claim of the cluster holds.
func TestFreeDevices(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*cluster)
		want   map[string]int
	}{
		"nothing is taken": {func(*cluster) {}, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"by anyone's claims": {func(c *cluster) {
			c.claim("a", gpuDriver, "gpu-0", false, "gpu-0", "gpu-1")
			c.claim("b", gpuDriver, "gpu-1", false, "gpu-0", "gpu-1", "gpu-2", "gpu-3")
		}, map[string]int{"gpu-0": 2, "gpu-1": 0}},
		"a monitor takes nothing":             {func(c *cluster) { c.claim("a", gpuDriver, "gpu-0", true, "gpu-0") }, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"a claim that waits":                  {func(c *cluster) { c.claim("a", gpuDriver, "gpu-0", false) }, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"devices of other drivers":            {func(c *cluster) { c.claim("a", "rdma.example.com", "gpu-0", false, "gpu-0") }, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"parts of GPUs are none":              {func(c *cluster) { c.slice("mig", gpuDriver, "gpu-0", "mig", 1, "gpu-4-mig-0 mig") }, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"a slice of an older generation":      {func(c *cluster) { c.slice("new", gpuDriver, "gpu-0", "gpu-0", 2, "gpu-0 gpu") }, map[string]int{"gpu-0": 1, "gpu-1": 4}},
		"what any node may use is on no node": {func(c *cluster) { c.slice("shared", gpuDriver, `""`, "shared", 1, "gpu-0 gpu") }, map[string]int{"gpu-0": 4, "gpu-1": 4}},
		"slices may not be read":              {func(c *cluster) { c.forbidden["ResourceSliceList"] = true }, nil},
		"claims may not be read":              {func(c *cluster) { c.forbidden["ResourceClaimList"] = true }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := claimingPD(t)
			tc.change(c)
			if diff := cmp.Diff(tc.want, c.observe().FreeGPUsByNode); diff != "" {
				t.Errorf("free GPUs (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a service that takes no claims does not ask", func(t *testing.T) {
		c := dynamoPD(t)
		c.nodesAllowed = true
		c.node("gpu-0", 8)
		c.slice("gpu-0", gpuDriver, "gpu-0", "gpu-0", 1, "gpu-0 gpu")
		c.pod("prefill", "dynamo-pd-prefill-0")
		if diff := cmp.Diff(map[string]int{"gpu-0": 6}, c.observe().FreeGPUsByNode); diff != "" {
			t.Errorf("free GPUs (-want +got):\n%s", diff)
		}
	})
	t.Run("only pods claim, not the template", func(t *testing.T) {
		c := claimingPD(t)
		for _, role := range []string{"prefill", "decode"} {
			c.role(role, `standalonePattern: {templateRef: {name: worker}}`)
		}
		c.pod("prefill", "dynamo-pd-prefill-0", claiming("gpus"), func(p *corev1.Pod) { p.Spec.NodeName = "gpu-0" })
		c.claim("a", gpuDriver, "gpu-0", false, "gpu-0", "gpu-1")
		if diff := cmp.Diff(map[string]int{"gpu-0": 2, "gpu-1": 4}, c.observe().FreeGPUsByNode); diff != "" {
			t.Errorf("free GPUs (-want +got):\n%s", diff)
		}
	})
}
