package perfmodel

// Options are the choices of a deployment. A zero field takes its default.
type Options struct {
	// TP is the number of GPUs of one replica (tensor parallel). Default 1.
	TP int `json:"tp,omitempty"`
	// MemoryFraction is the share of GPU memory that the engine takes. Default 0.90.
	MemoryFraction float64 `json:"memoryFraction,omitempty"`
	// KVBytesPerElement is the size of one KV cache element: 2 for bf16. Default 2.
	KVBytesPerElement float64 `json:"kvBytesPerElement,omitempty"`
	// WeightBytesPerElement is the size of one weight: 2 for bf16. Default 2.
	WeightBytesPerElement float64 `json:"weightBytesPerElement,omitempty"`
}

// Activity is what DCGM's tensor-active (1004) and DRAM-active (1005) read, as shares 0..1, while a replica is busy all
// the time in one phase.
type Activity struct {
	PrefillTensorActive float64 `json:"prefillTensorActive"`
	PrefillDRAMActive   float64 `json:"prefillDRAMActive"`
	DecodeTensorActive  float64 `json:"decodeTensorActive"`
	DecodeDRAMActive    float64 `json:"decodeDRAMActive"`
}

// Replica is what one replica can do: TP GPUs acting as one device.
type Replica struct {
	GPUs             int      `json:"gpus"`
	Prefill          Prefill  `json:"prefill"`
	Decode           Decode   `json:"decode"`
	Transfer         Transfer `json:"transfer"`
	KVCapacityTokens float64  `json:"kvCapacityTokens"`
	WeightBytes      float64  `json:"weightBytes"`
	KVBytesPerToken  float64  `json:"kvBytesPerToken"`
	BusyActivity     Activity `json:"busyActivity"`
}

// NewReplica is the roofline's view of model m on TP GPUs g, before any measurement of the service itself.
func NewReplica(m Model, g GPU, o Options) (Replica, error) { panic("not written yet") }
