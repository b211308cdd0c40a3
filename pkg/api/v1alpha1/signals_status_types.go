package v1alpha1

// ConditionGPUActivityKnown says that the GPUs' activity is read; it is there where
// spec.signals.dcgm is set. Without it the model's load is not checked against the GPUs'.
const ConditionGPUActivityKnown = "GPUActivityKnown"

// SignalsStatus is what was read, and from where.
type SignalsStatus struct {
	// sources are the kinds of sources, each with how many of it were read.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +kubebuilder:validation:MaxItems=16
	Sources []SourceStatus `json:"sources,omitempty"`
	// queries are what a Prometheus is asked in every interval, as a person can ask it again.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Queries []string `json:"queries,omitempty"`
}

// SourceStatus is one kind of source.
type SourceStatus struct {
	// kind is frontend, prefill, decode, exporter (of GPUs), prometheus, queue or etcd.
	// +required
	Kind string `json:"kind"`
	// read and failed are how many of them were read in the last interval and how many were not.
	// +optional
	Read int32 `json:"read"`
	// +optional
	Failed int32 `json:"failed"`
	// engine is whose metric names they were found to speak.
	// +optional
	Engine string `json:"engine,omitempty"`
	// names are the metrics that were found, of all spellings that are looked for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Names []string `json:"names,omitempty"`
	// message is what a person should know of them: why one failed, what cannot be told.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
