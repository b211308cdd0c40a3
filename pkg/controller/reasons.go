package controller

import "github.com/pdautoscaler/pdautoscaler/pkg/planner"

// Reasons that the planner does not know: there was no decision, or it was not
// carried out. Each is a word of docs/reasons.md, as the planner's are.
const (
	// ReasonModelUnknown: spec.model names no model that can be modelled.
	ReasonModelUnknown planner.Reason = "ModelUnknown"
	// ReasonGPUUnknown: the type of GPU is not known, or not in the catalogue.
	ReasonGPUUnknown planner.Reason = "GPUUnknown"
	// ReasonModelDoesNotFit: the model cannot run on these GPUs in this way.
	ReasonModelDoesNotFit planner.Reason = "ModelDoesNotFit"
	// ReasonTargetMissing: the target does not exist.
	ReasonTargetMissing planner.Reason = "TargetMissing"
	// ReasonTargetUnread: the target could not be read now; nothing is known of it.
	ReasonTargetUnread planner.Reason = "TargetUnread"
	// ReasonWriteFailed: a replica count could not be written.
	ReasonWriteFailed planner.Reason = "WriteFailed"
	// ReasonStatusNotWritten: the intent could not be put on record, so nothing was written.
	ReasonStatusNotWritten planner.Reason = "StatusNotWritten"
	// ReasonStatusNewer: a newer controller began a move that this one does not understand.
	ReasonStatusNewer planner.Reason = "StatusNewer"
	// ReasonDraining: the count is decided, and its replicas are drained first.
	ReasonDraining planner.Reason = "Draining"
	// ReasonDrainHookFailed: a replica could not be told that it goes, or not be chosen.
	ReasonDrainHookFailed planner.Reason = "DrainHookFailed"
	// ReasonDrainTooShort: the pods may take longer to end than a move waits for them.
	ReasonDrainTooShort planner.Reason = "DrainTimeoutTooShort"
	// ReasonWithinQuota: what a quota leaves is less than the budget, and counts as it.
	ReasonWithinQuota planner.Reason = "WithinQuota"
	// ReasonNotAuto: mode Recommend or Metrics; the decision is shown only.
	ReasonNotAuto planner.Reason = "NotAuto"
	// ReasonProfilingMissing: the GPU exporters have no profiling fields.
	ReasonProfilingMissing planner.Reason = "ProfilingFieldsMissing"
	// ReasonActivityUnknown: what the GPUs of a role do is not known.
	ReasonActivityUnknown planner.Reason = "GPUActivityUnknown"
)

// refusalError is why there can be no decision: a stable reason and one sentence
// that says what is wrong, where, and what is allowed.
type refusalError struct {
	reason  planner.Reason
	message string
}

func (r *refusalError) Error() string { return r.message }

func refuse(reason planner.Reason, message string) *refusalError {
	return &refusalError{reason: reason, message: message}
}
