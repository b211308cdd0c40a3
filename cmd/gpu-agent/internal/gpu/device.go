package gpu

import (
	"cmp"
	"fmt"
)

// Kind is what an entity of DCGM is.
type Kind string

// The kinds of entities that are read.
const (
	WholeGPU Kind = "GPU"
	// Instance is a GPU instance of a GPU that is divided by MIG.
	Instance Kind = "GPU instance"
)

// Entity is DCGM's own name of a GPU or an instance.
type Entity struct {
	Kind Kind
	ID   uint
}

func (e Entity) String() string { return fmt.Sprintf("%s %d", e.Kind, e.ID) }

// Device is a GPU, or an instance of a divided one.
type Device struct {
	Entity Entity
	// Index is DCGM's number of the whole GPU.
	Index uint
	// UUID is that of the whole GPU, "GPU-…".
	UUID string
	// Model is the GPU's product name, "NVIDIA H200". Empty where it is not known, as is BusID.
	Model string
	BusID string
	// Divided says that the GPU has instances: pods hold those, not the GPU.
	Divided bool

	// Of an instance: its number on its GPU, its own UUID "MIG-…", and its profile, "1g.18gb".
	InstanceID   uint
	InstanceUUID string
	Profile      string
}

func (d Device) String() string {
	if d.Entity.Kind == Instance {
		return fmt.Sprintf("instance %d of GPU %d (%s)", d.InstanceID, d.Index, cmp.Or(d.InstanceUUID, d.UUID))
	}
	return fmt.Sprintf("GPU %d (%s)", d.Index, d.UUID)
}

// AllocatedAs returns the names under which a device plugin may have given the
// device to a pod, in the form that pods.Canonical brings device ids to:
// "GPU-…" or "nvidia0" of a GPU, "MIG-…", "GPU-…/gi3" or "nvidia0/gi3" of an instance.
func (d Device) AllocatedAs() []string {
	nvidia := fmt.Sprintf("nvidia%d", d.Index)
	if d.Entity.Kind != Instance {
		return nonEmpty(d.UUID, nvidia)
	}
	suffix := fmt.Sprintf("/gi%d", d.InstanceID)
	names := nonEmpty(d.InstanceUUID, nvidia+suffix)
	if d.UUID != "" {
		names = append(names, d.UUID+suffix)
	}
	return names
}

func nonEmpty(names ...string) []string {
	var out []string
	for _, n := range names {
		if n != "" {
			out = append(out, n)
		}
	}
	return out
}
