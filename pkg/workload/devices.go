package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Where GPUs are taken by resource claims, nodes do not count them. The driver
// says in ResourceSlices which devices each node has, and the scheduler in
// the status of ResourceClaims which of them are taken.

var (
	sliceKind = schema.GroupVersionKind{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceSlice"}
	claimKind = schema.GroupVersionKind{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaim"}
)

// gpuDriver is NVIDIA's; wholeGPU is the attribute "type" of its devices that
// are no part of another one.
const (
	gpuDriver = "gpu.nvidia.com"
	wholeGPU  = "gpu"
)

// device names one device of the driver.
type device struct{ pool, name string }

// resourceSlice is what is read of a ResourceSlice.
type resourceSlice struct {
	Spec struct {
		Driver   string `json:"driver"`
		NodeName string `json:"nodeName"`
		Pool     struct {
			Name       string `json:"name"`
			Generation int64  `json:"generation"`
		} `json:"pool"`
		Devices []struct {
			Name       string `json:"name"`
			Attributes map[string]struct {
				String string `json:"string"`
			} `json:"attributes"`
		} `json:"devices"`
	} `json:"spec"`
}

// resourceClaim is what is read of a ResourceClaim.
type resourceClaim struct {
	Status struct {
		Allocation struct {
			Devices struct {
				Results []struct {
					Driver      string `json:"driver"`
					Pool        string `json:"pool"`
					Device      string `json:"device"`
					AdminAccess bool   `json:"adminAccess"`
				} `json:"results"`
			} `json:"devices"`
		} `json:"allocation"`
	} `json:"status"`
}

// allDevices is one look at all devices and claims of the cluster. As that at
// the nodes it does for all services for a while.
type allDevices struct {
	mu   sync.Mutex
	at   time.Time
	last map[string]int // never changed; nil where slices or claims may not be read
}

// freeDevices is how many whole GPUs no claim has taken, by node; nil where
// that may not be read or nobody serves it.
func (w *Workload) freeDevices(ctx context.Context, now time.Time) (map[string]int, error) {
	a, clock := &w.devices, w.clock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := clock.Sub(a.at); !a.at.IsZero() && age >= 0 && age < w.nodes.does {
		return a.last, nil
	}
	slices, ok, err := listAll[resourceSlice](ctx, w, now, sliceKind)
	if err != nil {
		return nil, err
	}
	var claims []resourceClaim
	if ok {
		if claims, ok, err = listAll[resourceClaim](ctx, w, now, claimKind); err != nil {
			return nil, err
		}
	}
	a.last, a.at = nil, clock
	if ok {
		a.last = countFree(slices, claims)
	}
	return a.last, nil
}

// countFree takes the claimed devices from those that nodes have. Of a pool only
// the newest generation counts; slices of older ones are on their way out.
func countFree(slices []resourceSlice, claims []resourceClaim) map[string]int {
	newest := map[string]int64{}
	for i := range slices {
		if s := &slices[i].Spec; s.Driver == gpuDriver {
			newest[s.Pool.Name] = max(newest[s.Pool.Name], s.Pool.Generation)
		}
	}
	taken := map[device]bool{}
	for i := range claims {
		for _, r := range claims[i].Status.Allocation.Devices.Results {
			if r.Driver == gpuDriver && !r.AdminAccess {
				taken[device{r.Pool, r.Device}] = true
			}
		}
	}
	free := map[string]int{}
	for i := range slices {
		s := &slices[i].Spec
		if s.Driver != gpuDriver || s.NodeName == "" || s.Pool.Generation < newest[s.Pool.Name] {
			continue
		}
		for j := range s.Devices {
			d := &s.Devices[j]
			if d.Attributes["type"].String != wholeGPU {
				continue
			}
			free[s.NodeName] += 0 // a node whose GPUs are all taken has none, which is known
			if !taken[device{s.Pool.Name, d.Name}] {
				free[s.NodeName]++
			}
		}
	}
	return free
}

// listAll reads all objects of a kind, of all namespaces; false where the kind is
// not served or may not be read.
func listAll[T any](ctx context.Context, w *Workload, now time.Time, kind schema.GroupVersionKind) ([]T, bool, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	ok, err := w.listOptional(ctx, now, "", list)
	if err != nil || !ok {
		if err != nil {
			err = fmt.Errorf("list the %ss: %w", kind.Kind, err)
		}
		return nil, false, err
	}
	all := make([]T, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &all[i]); err != nil {
			return nil, false, nil //nolint:nilerr // of another shape than is understood: what is free is not known
		}
	}
	return all, true, nil
}
