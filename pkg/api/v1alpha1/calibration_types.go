package v1alpha1

// Calibration says whether the model of the replicas is corrected by what they
// show while they serve.
// +kubebuilder:validation:Enum=On;Frozen;Off
type Calibration string

// The ways to calibrate.
const (
	// CalibrationOn learns, and uses what was learnt.
	CalibrationOn Calibration = "On"
	// CalibrationFrozen uses what was learnt and learns no more.
	CalibrationFrozen Calibration = "Frozen"
	// CalibrationOff forgets what was learnt and uses the model as it is.
	CalibrationOff Calibration = "Off"
)

// CalibrationState is how far a role's calibration has come.
// +kubebuilder:validation:Enum=Waiting;Learning;InUse;Frozen
type CalibrationState string

// The states of a calibration.
const (
	// CalibrationWaiting: nothing was learnt yet.
	CalibrationWaiting CalibrationState = "Waiting"
	// CalibrationLearning: too little was learnt to be used.
	CalibrationLearning CalibrationState = "Learning"
	// CalibrationInUse: decisions use what was learnt.
	CalibrationInUse CalibrationState = "InUse"
	// CalibrationIsFrozen: decisions use what was learnt, if anything was, and nothing is learnt.
	CalibrationIsFrozen CalibrationState = "Frozen"
)

// MaxCalibrationMemory is the length that the CRD allows what a role has taught.
const MaxCalibrationMemory = 2048

// CalibrationStatus is what the service has taught of the model of its
// replicas. It is written when the parameters in use change, not with every reading.
type CalibrationStatus struct {
	// +optional
	Prefill PrefillCalibration `json:"prefill,omitzero"`
	// +optional
	Decode DecodeCalibration `json:"decode,omitzero"`
}

// PrefillCalibration is what the prefill replicas have taught.
type PrefillCalibration struct {
	RoleCalibration `json:",inline"`
	// priorTokensPerSecond is what tokensPerSecond is without it.
	// +optional
	PriorTokensPerSecond int64 `json:"priorTokensPerSecond,omitempty"`
}

// DecodeCalibration is what the decode replicas have taught.
type DecodeCalibration struct {
	RoleCalibration `json:",inline"`
	// priorAlphaMicroseconds, priorBetaNanosecondsPerSequence and
	// priorKappaPicosecondsPerToken are what the parameters are without it.
	// +optional
	PriorAlphaMicroseconds int64 `json:"priorAlphaMicroseconds,omitempty"`
	// +optional
	PriorBetaNanosecondsPerSequence int64 `json:"priorBetaNanosecondsPerSequence,omitempty"`
	// +optional
	PriorKappaPicosecondsPerToken int64 `json:"priorKappaPicosecondsPerToken,omitempty"`
}

// RoleCalibration is what the replicas of one role have taught, as it was when
// the parameters in use last changed.
type RoleCalibration struct {
	// state is how far it has come.
	// +optional
	State CalibrationState `json:"state,omitempty"`
	// message says what most intervals teach nothing for, as long as nothing is in use.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
	// observations are the intervals behind the parameters in use.
	// +optional
	Observations int32 `json:"observations,omitempty"`
	// stepPermille is what a step takes with the work of now, in thousandths of
	// what it takes without calibration: 1300 is slower by 30 %.
	// +optional
	StepPermille int32 `json:"stepPermille,omitempty"`
	// uncertaintyPermille is the standard deviation of a step's time, in thousandths of it.
	// +optional
	UncertaintyPermille int32 `json:"uncertaintyPermille,omitempty"`
	// priorErrorPermille and errorPermille are how far the model was from what the
	// service showed, without and with what was learnt, in thousandths.
	// +optional
	PriorErrorPermille int32 `json:"priorErrorPermille,omitempty"`
	// +optional
	ErrorPermille int32 `json:"errorPermille,omitempty"`
	// memory is what a controller that starts anew goes on from.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Memory string `json:"memory,omitempty"`
}
