package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxDecisions is how many decisions the status keeps.
const MaxDecisions = 10

// Types of conditions. Each is True when all is well.
const (
	// ConditionReady: the autoscaler has all it needs to decide.
	ConditionReady = "Ready"
	// ConditionActive: the autoscaler writes the replicas (Auto, not paused, the only writer).
	ConditionActive = "Active"
	// ConditionTargetFound: the target and both its roles were observed.
	ConditionTargetFound = "TargetFound"
	// ConditionSignalsKnown: the demand is known from fresh readings.
	ConditionSignalsKnown = "SignalsKnown"
	// ConditionObjectivesReachable: some count within the limits meets the objectives.
	ConditionObjectivesReachable = "ObjectivesReachable"
	// ConditionWithinBudget: the GPUs held are at most the budget, and the budget holds the minimums.
	ConditionWithinBudget = "WithinBudget"
)

// PDAutoscalerStatus is what the autoscaler sees and did.
type PDAutoscalerStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions say what is well and what is not, each with a reason.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// reason is the cause of the last decision, one word of docs/reasons.md.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message is the last decision in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
	// lastDecisionTime is when the last decision was made.
	// +optional
	LastDecisionTime *metav1.MicroTime `json:"lastDecisionTime,omitempty"`

	// roles is the state of the two scaled roles.
	// +optional
	Roles RolesStatus `json:"roles,omitzero"`
	// gpus is how the budget stands.
	// +optional
	GPUs GPUsStatus `json:"gpus,omitzero"`
	// slo is how the objectives stand.
	// +optional
	SLO SLOStatus `json:"slo,omitzero"`
	// model is what one replica is taken to do.
	// +optional
	Model ModelStatus `json:"model,omitzero"`

	// signals is what was read, and from where.
	// +optional
	Signals SignalsStatus `json:"signals,omitzero"`

	// move is the running move of GPUs from one role to the other.
	// +optional
	Move *MoveStatus `json:"move,omitempty"`
	// drains are the scale-downs that wait for their replicas to be drained. They
	// are written here before the first replica is told.
	// +optional
	// +listType=map
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=2
	Drains []DrainStatus `json:"drains,omitempty"`
	// memory is what must survive a restart of the controller.
	// +optional
	Memory MemoryStatus `json:"memory,omitzero"`
	// decisions are the last decisions that changed something, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Decisions []DecisionStatus `json:"decisions,omitempty"`
}

// RolesStatus is the state of the two scaled roles.
type RolesStatus struct {
	// +optional
	Prefill RoleStatus `json:"prefill,omitzero"`
	// +optional
	Decode RoleStatus `json:"decode,omitzero"`
}

// RoleStatus is the state of one scaled role.
type RoleStatus struct {
	// name of the role in the target.
	// +optional
	Name string `json:"name,omitempty"`
	// replicas is "ready/desired", for people.
	// +optional
	Replicas string `json:"replicas,omitempty"`
	// current is what the target asks for now.
	// +optional
	Current int32 `json:"current"`
	// ready replicas serve.
	// +optional
	Ready int32 `json:"ready"`
	// starting replicas exist and are not ready.
	// +optional
	Starting int32 `json:"starting"`
	// terminating replicas still hold their GPUs.
	// +optional
	Terminating int32 `json:"terminating"`
	// desired is what the last decision asks for.
	// +optional
	Desired int32 `json:"desired"`
	// gpusPerReplica is what one replica takes.
	// +optional
	GPUsPerReplica int32 `json:"gpusPerReplica,omitempty"`
	// gpuType is the type of GPU that the replicas run on.
	// +optional
	GPUType string `json:"gpuType,omitempty"`
	// startupTime is the measured 90th percentile from a new pod to a ready one.
	// +optional
	StartupTime Duration `json:"startupTime,omitzero"`
	// startup tells the phases of a start apart, as measured on replicas that
	// became ready.
	// +optional
	Startup *StartupStatus `json:"startup,omitempty"`
	// waiting is why a replica finds no place, in the scheduler's or the queue's
	// words; it is left out where none waits.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Waiting string `json:"waiting,omitempty"`
	// loadPercent is the share of the ready replicas' capacity that the demand
	// takes: compute for prefill, memory bandwidth for decode. It is left out
	// while the demand is unknown or no replica is ready.
	// +optional
	LoadPercent *int32 `json:"loadPercent,omitempty"`
	// demandMilliRequestsPerSecond is the demand that the role was sized for, in
	// thousandths of a request per second. It is left out while it is unknown.
	// +optional
	DemandMilliRequestsPerSecond *int64 `json:"demandMilliRequestsPerSecond,omitempty"`
	// queueMilliseconds is the time that the ready replicas need for the requests
	// that wait for them. It is left out while it is unknown.
	// +optional
	QueueMilliseconds *int64 `json:"queueMilliseconds,omitempty"`
	// reason is what bound the count, one word of docs/reasons.md.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message is the reason in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
	// wall is what of a replica such requests fill first: compute for prefill;
	// bandwidth, kv (its cache) or sequences for decode.
	// +optional
	Wall string `json:"wall,omitempty"`
	// tried is each count that the last decision looked at, in order, and what
	// became of it, in a sentence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=1024
	Tried []string `json:"tried,omitempty"`
}

// StartupStatus tells the phases of a replica's start apart. A phase of which
// nothing was seen is left out.
type StartupStatus struct {
	// total is from a new pod to a ready replica.
	// +optional
	Total *PhaseTimes `json:"total,omitempty"`
	// schedule is from a new pod to a node for it.
	// +optional
	Schedule *PhaseTimes `json:"schedule,omitempty"`
	// imagePull is from there to running containers: images pulled, init
	// containers done.
	// +optional
	ImagePull *PhaseTimes `json:"imagePull,omitempty"`
	// coldLoad is from running containers to a ready replica on nodes where none
	// of the role was ready before.
	// +optional
	ColdLoad *PhaseTimes `json:"coldLoad,omitempty"`
	// warmLoad is the same on nodes where one was: their page cache may hold the weights.
	// +optional
	WarmLoad *PhaseTimes `json:"warmLoad,omitempty"`
	// volumes are those that weights may come from, such as
	// "PersistentVolumeClaim models"; without one they come from the image or the network.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Volumes []string `json:"volumes,omitempty"`
}

// PhaseTimes are quantiles of measured times.
type PhaseTimes struct {
	// samples is how many times the quantiles are of.
	// +required
	Samples int32 `json:"samples"`
	// p50Seconds is the median.
	// +required
	P50Seconds int32 `json:"p50Seconds"`
	// p90Seconds is the 90th percentile.
	// +required
	P90Seconds int32 `json:"p90Seconds"`
}

// GPUsStatus is how the budget stands.
type GPUsStatus struct {
	// held are the GPUs of ready, starting and terminating replicas.
	// +optional
	Held int32 `json:"held"`
	// budget is the limit; it is left out where there is none.
	// +optional
	Budget *int32 `json:"budget,omitempty"`
	// summary is "held/budget", for people.
	// +optional
	Summary string `json:"summary,omitempty"`
}

// SLOState says whether the objectives are met.
// +kubebuilder:validation:Enum=Met;Missed;Unknown
type SLOState string

// The states of the objectives.
const (
	SLOMet     SLOState = "Met"
	SLOMissed  SLOState = "Missed"
	SLOUnknown SLOState = "Unknown"
)

// SLOStatus is how the objectives stand.
type SLOStatus struct {
	// state is Met when both objectives are met in the last window.
	// +optional
	State SLOState `json:"state,omitempty"`
	// +optional
	TTFT LatencyStatus `json:"ttft,omitzero"`
	// +optional
	TPOT LatencyStatus `json:"tpot,omitzero"`
}

// LatencyStatus is one latency at the percentile of its objective. A number
// that is not known is left out.
type LatencyStatus struct {
	// objectiveMicroseconds is the target of the spec.
	// +optional
	ObjectiveMicroseconds int64 `json:"objectiveMicroseconds,omitempty"`
	// observedMicroseconds is what the service's metrics say.
	// +optional
	ObservedMicroseconds *int64 `json:"observedMicroseconds,omitempty"`
	// predictedMicroseconds is what the model expects after the last decision.
	// +optional
	PredictedMicroseconds *int64 `json:"predictedMicroseconds,omitempty"`
}

// ModelStatus is what one replica is taken to do.
type ModelStatus struct {
	// name of the model.
	// +optional
	Name string `json:"name,omitempty"`
	// source says where the parameters come from: catalogue, config.json or fitted.
	// +optional
	Source string `json:"source,omitempty"`
	// +optional
	Prefill PrefillModelStatus `json:"prefill,omitzero"`
	// +optional
	Decode DecodeModelStatus `json:"decode,omitzero"`
	// calibration is what the service has taught of it, left out where spec.model.calibration is Off.
	// +optional
	Calibration *CalibrationStatus `json:"calibration,omitempty"`
}

// PrefillModelStatus is what one prefill replica is taken to do.
type PrefillModelStatus struct {
	// gpu is the catalogue's name of the GPU.
	// +optional
	GPU string `json:"gpu,omitempty"`
	// tensorParallel is the number of GPUs over which a layer is split.
	// +optional
	TensorParallel int32 `json:"tensorParallel,omitempty"`
	// tokensPerSecond is the prompt tokens that a busy replica computes, for prompts of 2048 tokens.
	// +optional
	TokensPerSecond int64 `json:"tokensPerSecond,omitempty"`
}

// DecodeModelStatus is what one decode replica is taken to do: a step of B
// sequences with S tokens of context takes alpha + beta B + kappa S.
type DecodeModelStatus struct {
	// gpu is the catalogue's name of the GPU.
	// +optional
	GPU string `json:"gpu,omitempty"`
	// tensorParallel is the number of GPUs over which a layer is split.
	// +optional
	TensorParallel int32 `json:"tensorParallel,omitempty"`
	// alphaMicroseconds is the time of a step of few sequences without context.
	// +optional
	AlphaMicroseconds int64 `json:"alphaMicroseconds,omitempty"`
	// betaNanosecondsPerSequence is what each sequence adds to a step.
	// +optional
	BetaNanosecondsPerSequence int64 `json:"betaNanosecondsPerSequence,omitempty"`
	// kappaPicosecondsPerToken is what each token of context adds to a step.
	// +optional
	KappaPicosecondsPerToken int64 `json:"kappaPicosecondsPerToken,omitempty"`
	// kvTokens is the tokens of context that the replica's KV cache holds.
	// +optional
	KVTokens int64 `json:"kvTokens,omitempty"`
	// maxSequences is the most sequences that the replica decodes at once.
	// +optional
	MaxSequences int32 `json:"maxSequences,omitempty"`
}

// MoveStatus is a move of GPUs from one role to the other. It is written here
// before the first change of a replica count, and is what a restarted
// controller continues from.
type MoveStatus struct {
	// from and to are prefill and decode, or the other way round.
	// +required
	// +kubebuilder:validation:Enum=prefill;decode
	From string `json:"from"`
	// +required
	// +kubebuilder:validation:Enum=prefill;decode
	To string `json:"to"`
	// donorBefore and donorAfter are the donor's replicas.
	// +required
	DonorBefore int32 `json:"donorBefore"`
	// +required
	DonorAfter int32 `json:"donorAfter"`
	// receiverBefore and receiverAfter are the receiver's replicas.
	// +required
	ReceiverBefore int32 `json:"receiverBefore"`
	// +required
	ReceiverAfter int32 `json:"receiverAfter"`
	// gpus that change hands.
	// +required
	GPUs int32 `json:"gpus"`
	// phase is where the move stands: Draining, Starting or Returning.
	// +required
	Phase string `json:"phase"`
	// startedAt is when the move was decided.
	// +required
	StartedAt metav1.MicroTime `json:"startedAt"`
	// phaseSince is when the phase began.
	// +required
	PhaseSince metav1.MicroTime `json:"phaseSince"`
	// reason of the move in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Reason string `json:"reason,omitempty"`
}

// DrainStatus is a scale-down whose replicas are being drained.
type DrainStatus struct {
	// role is prefill or decode.
	// +required
	// +kubebuilder:validation:Enum=prefill;decode
	Role string `json:"role"`
	// replicas are those that go.
	// +required
	// +listType=atomic
	Replicas []string `json:"replicas"`
	// since is when they were told first.
	// +required
	Since metav1.MicroTime `json:"since"`
	// how is the hook that they were told by. Where they stay after all it is taken back
	// by this one, whatever spec.behavior.drain says by then; left out is by what that says.
	// +optional
	How *DrainHook `json:"how,omitempty"`
}

// MemoryStatus is what must survive a restart of the controller, besides the
// running move. All else that the planner remembers is seen again within one window.
type MemoryStatus struct {
	// version of the rules by which this was written, the newest that ever wrote
	// it; left out is 1. An older controller leaves alone what it does not know.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Version int32 `json:"version,omitempty"`
	// moveNotBefore holds back the next move after one that failed.
	// +optional
	MoveNotBefore *metav1.MicroTime `json:"moveNotBefore,omitempty"`
	// +optional
	Prefill RoleMemoryStatus `json:"prefill,omitzero"`
	// +optional
	Decode RoleMemoryStatus `json:"decode,omitzero"`
}

// RoleMemoryStatus is what must survive a restart for one role.
type RoleMemoryStatus struct {
	// lastUp and lastDown are when the role's count last changed; scaleUp.period
	// and scaleDown.period run from them.
	// +optional
	LastUp *metav1.MicroTime `json:"lastUp,omitempty"`
	// +optional
	LastDown *metav1.MicroTime `json:"lastDown,omitempty"`
	// cappedAt holds the role at a count until cappedUntil, after a replica that
	// could not start was given up.
	// +optional
	CappedAt *int32 `json:"cappedAt,omitempty"`
	// +optional
	CappedUntil *metav1.MicroTime `json:"cappedUntil,omitempty"`
	// capTime is the length of that hold; the next one is longer.
	// +optional
	CapTime Duration `json:"capTime,omitzero"`
	// quietUntil holds back the way down after a replica was added for a missed objective.
	// +optional
	QuietUntil *metav1.MicroTime `json:"quietUntil,omitempty"`
	// surge is by how much the role's demand usually rose beyond what was expected
	// within a start-up time. A controller that starts begins with it, and learns anew.
	// +optional
	Surge *SurgeStatus `json:"surge,omitempty"`
}

// SurgeStatus is a rise of demand.
type SurgeStatus struct {
	// tokensPerSecond are prompt tokens of prefill, generated tokens of decode.
	// +required
	// +kubebuilder:validation:Minimum=0
	TokensPerSecond int64 `json:"tokensPerSecond"`
	// percent of what was expected.
	// +required
	// +kubebuilder:validation:Minimum=0
	Percent int32 `json:"percent"`
}

// DecisionStatus is one decision that changed something.
type DecisionStatus struct {
	// time of the decision.
	// +required
	Time metav1.MicroTime `json:"time"`
	// +required
	Prefill CountChange `json:"prefill"`
	// +required
	Decode CountChange `json:"decode"`
	// applied is false where the decision was not written (mode Recommend or Metrics, or a failed write).
	// +required
	Applied bool `json:"applied"`
	// message is the decision in one sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
}

// CountChange is one role's part of a decision.
type CountChange struct {
	// +required
	From int32 `json:"from"`
	// +required
	To int32 `json:"to"`
	// reason is what bound the count, one word of docs/reasons.md.
	// +optional
	Reason string `json:"reason,omitempty"`
}
