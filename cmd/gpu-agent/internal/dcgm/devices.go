//go:build cgo && linux

package dcgm

import (
	"slices"
	"strings"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// Devices implements agent.Engine: the supported GPUs and the instances of those
// that are divided. Names and UUIDs are read live, as they need no watch.
func (e *Engine) Devices() ([]gpu.Device, error) {
	if !e.connected {
		return nil, errNotConnected
	}
	ids, err := dcgm.GetSupportedDevices()
	if err != nil {
		return nil, failed("the GPUs cannot be listed", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var devices []gpu.Device
	for _, id := range ids {
		devices = append(devices, gpu.Device{Entity: gpu.Entity{Kind: gpu.WholeGPU, ID: id}, Index: id})
	}
	hierarchy, err := dcgm.GetGPUInstanceHierarchy()
	if err != nil {
		return nil, failed("the GPU instances cannot be listed", err)
	}
	for _, entry := range hierarchy.EntityList[:min(int(hierarchy.Count), len(hierarchy.EntityList))] {
		if entry.Entity.EntityGroupId != dcgm.FE_GPU_I || entry.Parent.EntityGroupId != dcgm.FE_GPU {
			continue // a compute instance: its activity is part of its GPU instance's
		}
		parent := slices.IndexFunc(devices, func(d gpu.Device) bool {
			return d.Entity == gpu.Entity{Kind: gpu.WholeGPU, ID: entry.Parent.EntityId}
		})
		if parent < 0 {
			continue
		}
		devices[parent].Divided = true
		devices = append(devices, gpu.Device{
			Entity: gpu.Entity{Kind: gpu.Instance, ID: entry.Entity.EntityId},
			Index:  entry.Parent.EntityId, InstanceID: entry.Info.NvmlInstanceId,
		})
	}
	return devices, e.identify(devices)
}

// identify fills in UUIDs, models and bus ids.
func (e *Engine) identify(devices []gpu.Device) error {
	entities := make([]gpu.Entity, len(devices))
	for i, d := range devices {
		entities[i] = d.Entity
	}
	values, err := e.values(entities, []gpu.FieldID{gpu.FieldUUID, gpu.FieldName, gpu.FieldPCIBusID}, dcgm.DCGM_FV_FLAG_LIVE_DATA)
	if err != nil {
		return err
	}
	text := map[gpu.Entity]map[gpu.FieldID]string{}
	for _, v := range values {
		if text[v.Entity] == nil {
			text[v.Entity] = map[gpu.FieldID]string{}
		}
		if known(v) {
			text[v.Entity][v.Field] = v.Text
		}
	}
	for i := range devices {
		d := &devices[i]
		whole := text[gpu.Entity{Kind: gpu.WholeGPU, ID: d.Index}]
		d.UUID, d.Model, d.BusID = whole[gpu.FieldUUID], whole[gpu.FieldName], whole[gpu.FieldPCIBusID]
		if d.Entity.Kind == gpu.Instance {
			// Of an instance, field 54 is its own UUID and field 50 its profile.
			d.InstanceUUID, d.Profile = text[d.Entity][gpu.FieldUUID], text[d.Entity][gpu.FieldName]
		}
	}
	return nil
}

// known reports whether a string is one: DCGM's blank strings look like "<<<NULL>>>".
func known(v gpu.Value) bool {
	return v.Status == 0 && v.Type == gpu.TypeString && v.Text != "" && !strings.HasPrefix(v.Text, "<<<")
}
