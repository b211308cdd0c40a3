package pods

import (
	"maps"
	"slices"
	"strings"

	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// Owners says which containers hold which devices, by canonical device id.
type Owners struct {
	holders map[string][]gpu.Owner
	// Unread are what looks like a GPU's allocation and could not be told: ids of
	// a form that is not known, and devices of dynamic resource allocation.
	Unread []string
}

// OwnersOf takes over the kubelet's list. resources says which resource names are GPUs'.
func OwnersOf(list *podresources.ListPodResourcesResponse, resources func(name string) bool) Owners {
	holders := map[string]map[gpu.Owner]bool{}
	unread := map[string]bool{}
	for _, pod := range list.GetPodResources() {
		for _, c := range pod.GetContainers() {
			owner := gpu.Owner{Namespace: pod.GetNamespace(), Pod: pod.GetName(), Container: c.GetName()}
			for _, d := range c.GetDevices() {
				if !resources(d.GetResourceName()) {
					continue
				}
				for _, id := range d.GetDeviceIds() {
					name, _, ok := Canonical(id)
					if !ok {
						unread[d.GetResourceName()+" "+id] = true
						continue
					}
					if holders[name] == nil {
						holders[name] = map[gpu.Owner]bool{}
					}
					holders[name][owner] = true
				}
			}
			for _, r := range c.GetDynamicResources() {
				for _, claim := range r.GetClaimResources() {
					if resources(claim.GetDriverName()) {
						unread[claim.GetDriverName()+" "+claim.GetPoolName()+"/"+claim.GetDeviceName()] = true
					}
				}
			}
		}
	}
	out := Owners{holders: map[string][]gpu.Owner{}, Unread: slices.Sorted(maps.Keys(unread))}
	for name, set := range holders {
		out.holders[name] = slices.Collect(maps.Keys(set))
	}
	return out
}

// Of returns who holds a device: the pod, and the container where it is one. A
// device that several pods share has no owner.
func (o Owners) Of(d gpu.Device) (gpu.Owner, bool) {
	var all []gpu.Owner
	for _, name := range d.AllocatedAs() {
		all = append(all, o.holders[name]...)
	}
	if len(all) == 0 {
		return gpu.Owner{}, false
	}
	owner := all[0]
	for _, other := range all[1:] {
		if other.Namespace != owner.Namespace || other.Pod != owner.Pod {
			return gpu.Owner{}, false
		}
		if other.Container != owner.Container {
			owner.Container = ""
		}
	}
	return owner, true
}

// Devices counts the devices that are held.
func (o Owners) Devices() int { return len(o.holders) }

// GPUResources returns which resource names are GPUs': all of NVIDIA's device
// plugin and of its DRA driver ("nvidia.com/gpu", "nvidia.com/gpu.shared",
// "nvidia.com/mig-1g.18gb", "gpu.nvidia.com"), and those named.
func GPUResources(named []string) func(string) bool {
	return func(name string) bool {
		return strings.HasPrefix(name, "nvidia.com/gpu") || strings.HasPrefix(name, "nvidia.com/mig-") ||
			name == "gpu.nvidia.com" || slices.Contains(named, name)
	}
}
