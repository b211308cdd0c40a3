package gpu

import "slices"

// FieldID is DCGM's number of a field.
type FieldID uint16

// The fields that the agent itself reads from, by number: their names changed with DCGM 4.6.
const (
	FieldName         FieldID = 50
	FieldUUID         FieldID = 54
	FieldPCIBusID     FieldID = 57
	FieldTensorActive FieldID = 1004
	FieldDRAMActive   FieldID = 1005
)

// Set is a group of fields that is watched as one. The two are watched apart:
// DCGM refuses a whole group when it cannot profile, and the device fields must still come.
type Set string

// The sets of fields.
const (
	DeviceSet    Set = "device"
	ProfilingSet Set = "profiling"
)

// Field is a field that is served.
type Field struct {
	ID FieldID
	// Name is what dcgm-exporter calls it with DCGM before 4.6, NewName from 4.6 on.
	Name, NewName string
	Help          string
	// Counter says that the value only grows.
	Counter bool
	// Share says that the value lies in 0..1.
	Share bool
}

// DeviceFields can be read on every GPU without rights.
var DeviceFields = []Field{
	{ID: 100, Name: "DCGM_FI_DEV_SM_CLOCK", Help: "Clock of the streaming multiprocessors, in MHz."},
	{ID: 150, Name: "DCGM_FI_DEV_GPU_TEMP", NewName: "DCGM_FI_DEV_GPU_TEMP_CELSIUS", Help: "Temperature of the GPU, in degrees Celsius."},
	{ID: 155, Name: "DCGM_FI_DEV_POWER_USAGE", NewName: "DCGM_FI_DEV_BOARD_POWER_WATTS", Help: "Power that the board draws, in W."},
	{ID: 156, Name: "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", Help: "Energy used since the driver was loaded, in mJ.", Counter: true},
	{ID: 203, Name: "DCGM_FI_DEV_GPU_UTIL", NewName: "DCGM_FI_DEV_GPU_UTIL_RATIO",
		Help: "Share of time in which any kernel ran, 0 to 100 under both names. It says that a GPU is alive, not how loaded it is."},
	{ID: 204, Name: "DCGM_FI_DEV_MEM_COPY_UTIL", Help: "Share of time in which the memory was read or written, 0 to 100."},
	{ID: 251, Name: "DCGM_FI_DEV_FB_FREE", Help: "Free GPU memory, in MiB."},
	{ID: 252, Name: "DCGM_FI_DEV_FB_USED", Help: "Used GPU memory, in MiB."},
}

// ProfilingFields need GPM (Hopper and later) or DCGM's profiling module.
var ProfilingFields = []Field{
	{ID: 1001, Name: "DCGM_FI_PROF_GR_ENGINE_ACTIVE", NewName: "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO", Share: true,
		Help: "Share of cycles in which the graphics or compute engine was active, 0 to 1."},
	{ID: 1002, Name: "DCGM_FI_PROF_SM_ACTIVE", NewName: "DCGM_FI_PROF_SM_UTIL_RATIO", Share: true,
		Help: "Share of cycles in which a multiprocessor had at least one warp, mean over the multiprocessors, 0 to 1."},
	{ID: FieldTensorActive, Name: "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", NewName: "DCGM_FI_PROF_TENSOR_UTIL_RATIO", Share: true,
		Help: "Share of cycles in which any tensor pipe was active, 0 to 1."},
	{ID: FieldDRAMActive, Name: "DCGM_FI_PROF_DRAM_ACTIVE", NewName: "DCGM_FI_PROF_DRAM_UTIL_RATIO", Share: true,
		Help: "Share of cycles in which the memory interface moved data, 0 to 1."},
	{ID: 1009, Name: "DCGM_FI_PROF_PCIE_TX_BYTES", Help: "Bytes sent over PCIe, per second."},
	{ID: 1010, Name: "DCGM_FI_PROF_PCIE_RX_BYTES", Help: "Bytes received over PCIe, per second."},
	{ID: 1011, Name: "DCGM_FI_PROF_NVLINK_TX_BYTES", Help: "Bytes sent over NVLink, per second."},
	{ID: 1012, Name: "DCGM_FI_PROF_NVLINK_RX_BYTES", Help: "Bytes received over NVLink, per second."},
}

// Essential are the profiling fields without which the agent is of no use to
// the autoscaler; they are asked for alone where the whole set is refused.
var Essential = []FieldID{FieldTensorActive, FieldDRAMActive}

// EssentialFields returns the fields of Essential.
func EssentialFields() []Field {
	var out []Field
	for _, f := range ProfilingFields {
		if slices.Contains(Essential, f.ID) {
			out = append(out, f)
		}
	}
	return out
}

// Fields returns the fields of a set.
func (s Set) Fields() []Field {
	if s == ProfilingSet {
		return ProfilingFields
	}
	return DeviceFields
}

// IDs returns the numbers of a set's fields.
func (s Set) IDs() []FieldID {
	fields := s.Fields()
	ids := make([]FieldID, len(fields))
	for i, f := range fields {
		ids[i] = f.ID
	}
	return ids
}

// Generation says which of its two names a field is served under.
type Generation string

// The generations of names.
const (
	NamesBefore46 Generation = "4.5"
	NamesFrom46   Generation = "4.6"
)

// NameIn returns the field's name in a generation.
func (f Field) NameIn(g Generation) string {
	if g == NamesFrom46 && f.NewName != "" {
		return f.NewName
	}
	return f.Name
}
