package pods

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/test/kubeletfake"
)

func TestDeviceIDs(t *testing.T) {
	for id, want := range map[string]struct {
		name   string
		shared bool
		ok     bool
	}{
		"GPU-5a1f":          {"GPU-5a1f", false, true},
		"GPU-5a1f::3":       {"GPU-5a1f", true, true},
		"MIG-77aa":          {"MIG-77aa", false, true},
		"MIG-77aa::0":       {"MIG-77aa", true, true},
		"MIG-GPU-5a1f/3/0":  {"GPU-5a1f/gi3", false, true},
		"nvidia0":           {"nvidia0", false, true},
		"nvidia0/vgpu1":     {"nvidia0", true, true},
		"nvidia12/gi3":      {"nvidia12/gi3", false, true},
		"nvidia0/gi3/vgpu1": {"nvidia0/gi3", true, true},
		"":                  {},
		"0":                 {},
		"0000:19:00.0":      {},
		"GPU-5a1f/gi3":      {},
		"nvidiactl":         {},
		"MIG-GPU-5a1f/3":    {},
	} {
		name, shared, ok := Canonical(id)
		if ok != want.ok || ok && (name != want.name || shared != want.shared) {
			t.Errorf("%q is %q, shared %t, ok %t; want %+v", id, name, shared, ok, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, id := range []string{"GPU-5a1f::3", "MIG-GPU-5a1f/3/0", "nvidia0/gi3/vgpu1", "::"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name, _, ok := Canonical(id)
		if again, _, still := Canonical(name); ok && name == "" || ok && still && again != name {
			t.Errorf("%q is %q, and that is %q", id, name, again)
		}
	})
}

func TestOwners(t *testing.T) {
	whole := gpu.Device{Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: 1}, Index: 1, UUID: "GPU-b"}
	instance := gpu.Device{Entity: gpu.Entity{Kind: gpu.Instance, ID: 7}, Index: 1, UUID: "GPU-b", InstanceID: 3, InstanceUUID: "MIG-c"}
	pod := kubeletfake.Pod
	mine := func(container string) gpu.Owner {
		return gpu.Owner{Namespace: "default", Pod: "p0", Container: container}
	}
	with := func(resource string, p *podresources.PodResources) *podresources.PodResources {
		p.Containers[0].Devices[0].ResourceName = resource
		return p
	}
	for name, c := range map[string]struct {
		pods   []*podresources.PodResources
		device gpu.Device
		want   gpu.Owner
		ok     bool
	}{
		"nobody":                      {nil, whole, gpu.Owner{}, false},
		"another GPU":                 {[]*podresources.PodResources{pod("default", "p0", "main", "GPU-a")}, whole, gpu.Owner{}, false},
		"whole GPU":                   {[]*podresources.PodResources{pod("default", "p1", "x", "GPU-a"), pod("default", "p0", "main", "GPU-c", "GPU-b")}, whole, mine("main"), true},
		"GKE's name":                  {[]*podresources.PodResources{pod("default", "p0", "main", "nvidia1")}, whole, mine("main"), true},
		"instance by its UUID":        {[]*podresources.PodResources{with("nvidia.com/mig-1g.18gb", pod("default", "p0", "main", "MIG-c"))}, instance, mine("main"), true},
		"instance by GPU and number":  {[]*podresources.PodResources{pod("default", "p0", "main", "MIG-GPU-b/3/0")}, instance, mine("main"), true},
		"instance by GKE's name":      {[]*podresources.PodResources{pod("default", "p0", "main", "nvidia1/gi3")}, instance, mine("main"), true},
		"another instance":            {[]*podresources.PodResources{pod("default", "p0", "main", "MIG-GPU-b/4/0")}, instance, gpu.Owner{}, false},
		"the GPU is not the instance": {[]*podresources.PodResources{pod("default", "p0", "main", "GPU-b")}, instance, gpu.Owner{}, false},
		"slices of one pod":           {[]*podresources.PodResources{with("nvidia.com/gpu.shared", pod("default", "p0", "main", "GPU-b::0", "GPU-b::1"))}, whole, mine("main"), true},
		"slices of two pods":          {[]*podresources.PodResources{pod("default", "p0", "main", "GPU-b::0"), pod("default", "p1", "main", "GPU-b::1")}, whole, gpu.Owner{}, false},
		"two namespaces":              {[]*podresources.PodResources{pod("default", "p0", "main", "GPU-b"), pod("other", "p0", "main", "GPU-b")}, whole, gpu.Owner{}, false},
		"two containers of one pod":   {[]*podresources.PodResources{pod("default", "p0", "main", "GPU-b::0"), pod("default", "p0", "side", "GPU-b::1")}, whole, mine(""), true},
		"no GPU's resource":           {[]*podresources.PodResources{with("rdma/hca", pod("default", "p0", "main", "GPU-b"))}, whole, gpu.Owner{}, false},
		"a resource that was named":   {[]*podresources.PodResources{with("example.com/gpu", pod("default", "p0", "main", "GPU-b"))}, whole, mine("main"), true},
	} {
		t.Run(name, func(t *testing.T) {
			owners := OwnersOf(&podresources.ListPodResourcesResponse{PodResources: c.pods}, GPUResources([]string{"example.com/gpu"}))
			if got, ok := owners.Of(c.device); ok != c.ok || got != c.want {
				t.Errorf("got %+v %t, want %+v %t", got, ok, c.want, c.ok)
			}
		})
	}
}

// What cannot be told is named, not dropped in silence.
func TestUnreadAllocations(t *testing.T) {
	p := kubeletfake.Pod("default", "p0", "main", "weird-id", "GPU-a")
	p.Containers[0].DynamicResources = []*podresources.DynamicResource{{ClaimName: "c", ClaimResources: []*podresources.ClaimResource{
		{DriverName: "gpu.nvidia.com", PoolName: "node-0", DeviceName: "gpu-0"}, {DriverName: "net.example.com", PoolName: "node-0", DeviceName: "nic"},
	}}}
	owners := OwnersOf(&podresources.ListPodResourcesResponse{PodResources: []*podresources.PodResources{p}}, GPUResources(nil))
	want := []string{"gpu.nvidia.com node-0/gpu-0", "nvidia.com/gpu weird-id"}
	if owners.Devices() != 1 || !cmp.Equal(owners.Unread, want) {
		t.Errorf("%d devices, unread %q, want 1 and %q", owners.Devices(), owners.Unread, want)
	}
}
