package v1alpha1

// Roles are the roles of the service.
// +kubebuilder:validation:XValidation:rule="self.prefill.name != self.decode.name && (!has(self.frontend) || (self.frontend.name != self.prefill.name && self.frontend.name != self.decode.name))",message="prefill, decode and frontend must each name a different role of the target"
type Roles struct {
	// prefill computes the prompts.
	// +required
	Prefill PrefillRole `json:"prefill"`
	// decode generates the tokens.
	// +required
	Decode DecodeRole `json:"decode"`
	// frontend takes the requests. It is not scaled; its metrics are read.
	// +optional
	Frontend *FrontendRole `json:"frontend,omitempty"`
}

// FrontendRole is the role that takes the requests.
type FrontendRole struct {
	// name of the role in the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
}

// PrefillRole is the role that computes the prompts.
type PrefillRole struct {
	// name of the role in the target.
	// +optional
	// +kubebuilder:default=prefill
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	ScaledRole `json:",inline"`

	// maxBatchedTokens is the most tokens of one prefill step, where the engine
	// takes prompts apart (vLLM's --max-num-batched-tokens, SGLang's
	// --chunked-prefill-size). Without it a step computes one whole prompt.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	MaxBatchedTokens int32 `json:"maxBatchedTokens,omitempty"`
	// padTokens is the multiple that the engine pads prompts up to; without it
	// prompts are not padded.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65536
	PadTokens int32 `json:"padTokens,omitempty"`
	// transferBlocks says that a replica starts its next prompt only when the KV
	// cache of the last one has left. Otherwise it computes while it sends.
	// +optional
	TransferBlocks bool `json:"transferBlocks,omitempty"`
}

// DecodeRole is the role that generates the tokens.
type DecodeRole struct {
	// name of the role in the target.
	// +optional
	// +kubebuilder:default=decode
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	ScaledRole `json:",inline"`

	// maxSequences is the most sequences that one replica decodes at once
	// (vLLM's --max-num-seqs).
	// +optional
	// +kubebuilder:default=256
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65536
	MaxSequences int32 `json:"maxSequences,omitempty"`

	// localPrefillPercent is the share of requests that the decode replicas
	// prefill themselves (Dynamo's conditional disaggregation). It is of all that
	// arrive: leave it out where demand is read of the prefill pods, which never
	// see those requests.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=99
	LocalPrefillPercent int32 `json:"localPrefillPercent,omitempty"`
}

// ScaledRole is what prefill and decode have in common.
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min must be at most max"
type ScaledRole struct {
	// min is the least number of replicas.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Min int32 `json:"min,omitempty"`
	// max is the largest number of replicas.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Max int32 `json:"max"`

	// parallelism says how one replica uses its GPUs. When it is left out, a
	// replica is taken to run tensor-parallel over all its GPUs.
	// +optional
	Parallelism *Parallelism `json:"parallelism,omitempty"`

	// gpuType is the role's type of GPU where it differs from spec.gpu.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	GPUType string `json:"gpuType,omitempty"`

	// scaleUp limits the way up.
	// +optional
	ScaleUp Scaling `json:"scaleUp,omitzero"`
	// scaleDown limits the way down.
	// +optional
	ScaleDown Scaling `json:"scaleDown,omitzero"`
}

// Parallelism says how one replica uses its GPUs: tensor x data x pipeline of them.
type Parallelism struct {
	// tensor is the number of GPUs over which each layer is split.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Tensor int32 `json:"tensor"`
	// data is the number of groups of so many GPUs that share the routed experts
	// of a mixture (vLLM's --data-parallel-size with --enable-expert-parallel).
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Data int32 `json:"data,omitempty"`
	// pipeline is the number of stages that the layers are split over.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Pipeline int32 `json:"pipeline,omitempty"`
}

// GPUs is how many a replica takes.
func (p *Parallelism) GPUs() int {
	return int(p.Tensor) * max(1, int(p.Data)) * max(1, int(p.Pipeline))
}

// Scaling limits one direction of one role.
type Scaling struct {
	// disabled stops this direction.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// maxStep is the most replicas of one change; without it there is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxStep int32 `json:"maxStep,omitempty"`
	// period must pass between two changes in this direction.
	// +optional
	Period Duration `json:"period,omitzero"`
}
