package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// discover lists the devices, and watches them anew where they are others than before.
func (a *Agent) discover(now time.Time) error {
	devices, err := a.engine.Devices()
	if err != nil {
		return err
	}
	if len(devices) == 0 {
		return &Error{condition.NoGPUs, "DCGM shows no GPU: check that the NVIDIA driver is loaded on this node and that the agent can see its devices"}
	}
	if slices.Equal(devices, a.devices) {
		return nil
	}
	a.engine.Unwatch(gpu.DeviceSet)
	a.engine.Unwatch(gpu.ProfilingSet)
	a.devices, a.profiling, a.essentialOnly, a.profilingAt = devices, nil, false, time.Time{}
	a.entities = nil
	for _, d := range devices {
		a.entities = append(a.entities, d.Entity)
	}
	if err := a.engine.Watch(gpu.DeviceSet, a.entities, gpu.DeviceSet.IDs(), a.cfg.Interval); err != nil {
		return fmt.Errorf("the device fields cannot be watched: %w", err)
	}
	return nil
}

// watchProfiling asks for the profiling fields: all of them, else the essential
// ones. A refusal is no error of the connection; it is kept for the condition.
func (a *Agent) watchProfiling(now time.Time) error {
	a.profilingAt = now
	entities := a.profiled()
	for i, fields := range [][]gpu.FieldID{gpu.ProfilingSet.IDs(), gpu.Essential} {
		err := a.engine.Watch(gpu.ProfilingSet, entities, fields, a.cfg.Interval)
		if err == nil {
			a.profiling, a.essentialOnly = fields, i > 0
			return nil
		}
		if reasonOf(err) == condition.ConnectionLost {
			return err
		}
		a.refusal = err
	}
	return nil
}

// profiled are the devices whose activity is asked for: of a divided GPU its instances.
func (a *Agent) profiled() []gpu.Entity {
	var out []gpu.Entity
	for _, d := range a.devices {
		if !d.Divided {
			out = append(out, d.Entity)
		}
	}
	return out
}
