package v1alpha1

// Model is the model that the service runs, and how its engine holds it.
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.configMapRef)",message="exactly one of name (a model of the catalogue) and configMapRef (the model's config.json) must be set"
type Model struct {
	// name of the model in the catalogue, such as Qwen3-32B.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// configMapRef is a ConfigMap in the same namespace that holds the model's config.json.
	// +optional
	ConfigMapRef *ConfigMapKeyReference `json:"configMapRef,omitempty"`

	// servedName is the model's name in the metrics, where the service serves
	// several. It is compared without regard to case.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServedName string `json:"servedName,omitempty"`

	// memoryPercent is the share of the GPU's memory that the engine may use
	// (vLLM's --gpu-memory-utilization, in percent).
	// +optional
	// +kubebuilder:default=90
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MemoryPercent int32 `json:"memoryPercent,omitempty"`

	// kvCacheDtype is the type of the KV cache (vLLM's --kv-cache-dtype): auto is what the model's checkpoint asks for.
	// +optional
	// +kubebuilder:default=auto
	KVCacheDtype Dtype `json:"kvCacheDtype,omitempty"`
	// weightDtype is the type of the weights where the engine does not keep the
	// checkpoint's (vLLM's --quantization fp8): auto is the checkpoint's.
	// +optional
	// +kubebuilder:default=auto
	WeightDtype Dtype `json:"weightDtype,omitempty"`

	// kvTransfer describes the path that the KV cache takes from prefill to
	// decode. When it is left out, the link of the GPU's catalogue entry is used.
	// +optional
	KVTransfer *KVTransfer `json:"kvTransfer,omitempty"`

	// calibration says whether the model is corrected by what the service shows
	// while it runs: On learns and uses it, Frozen uses what was learnt and learns
	// no more, Off forgets it and uses the model as it is. Whatever was learnt, a
	// role keeps at least seven tenths of the replicas that the model asks for without it.
	// +optional
	// +kubebuilder:default=On
	Calibration Calibration `json:"calibration,omitempty"`
}

// Dtype is the type of the numbers that an engine keeps.
// +kubebuilder:validation:Enum=auto;bf16;fp8
type Dtype string

// The types of numbers.
const (
	DtypeAuto Dtype = "auto"
	DtypeBF16 Dtype = "bf16"
	DtypeFP8  Dtype = "fp8"
)

// Bytes is how many a number takes; 0 is as the checkpoint says.
func (d Dtype) Bytes() float64 {
	switch d {
	case DtypeBF16:
		return 2
	case DtypeFP8:
		return 1
	}
	return 0
}

// ConfigMapKeyReference names one key of a ConfigMap.
type ConfigMapKeyReference struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key in the ConfigMap.
	// +optional
	// +kubebuilder:default=config.json
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// KVTransfer describes the path of the KV cache from prefill to decode.
type KVTransfer struct {
	// gigabytesPerSecond is the bandwidth of the path for one replica, in 10^9 bytes per second.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	GigabytesPerSecond int32 `json:"gigabytesPerSecond"`
	// setup is the time that a transfer takes before its first byte.
	// +optional
	Setup Duration `json:"setup,omitzero"`
}

// SLO are the objectives of the service.
type SLO struct {
	// ttft is the objective for the time to the first token.
	// +required
	TTFT Objective `json:"ttft"`
	// tpot is the objective for the time per output token after the first.
	// +required
	TPOT Objective `json:"tpot"`
	// ttftEndsAt says which worker emits the first token that the client sees.
	// With prefill, the KV transfer counts towards TPOT.
	// +optional
	// +kubebuilder:default=prefill
	TTFTEndsAt TTFTEnd `json:"ttftEndsAt,omitempty"`
}

// TTFTEnd is the worker that emits the first token.
// +kubebuilder:validation:Enum=prefill;decode
type TTFTEnd string

// The workers that may emit the first token.
const (
	TTFTEndsAtPrefill TTFTEnd = "prefill"
	TTFTEndsAtDecode  TTFTEnd = "decode"
)

// Objective is a latency to keep for a share of the requests.
type Objective struct {
	// percentile of the requests that must be at most as slow as target.
	// +optional
	// +kubebuilder:default=95
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=99
	Percentile int32 `json:"percentile,omitempty"`
	// target is the latency.
	// +required
	Target Duration `json:"target"`
}
