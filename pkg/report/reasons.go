package report

import "github.com/pdautoscaler/pdautoscaler/pkg/planner"

// meanings says each reason in words that end a sentence: "bound by ...: the count that holds the objective".
var meanings = map[planner.Reason]string{
	planner.ReasonObjective:      "this is the count that holds the objective",
	planner.ReasonSteady:         "the count is right as it is",
	planner.ReasonWindow:         "fewer replicas would do, but not yet for a whole scale-down window",
	planner.ReasonWarmUp:         "no whole scale-down window was seen since the start",
	planner.ReasonMinimum:        "this is the role's minimum",
	planner.ReasonMaximum:        "this is the role's maximum",
	planner.ReasonBudget:         "the GPU budget does not hold more",
	planner.ReasonFreeGPUs:       "the GPUs are not free yet",
	planner.ReasonMove:           "GPUs go from one role to the other",
	planner.ReasonMoveBack:       "a move of GPUs did not succeed",
	planner.ReasonMaxStep:        "the largest step of one decision is reached",
	planner.ReasonPeriod:         "the last change in this direction was too short a time ago",
	planner.ReasonDisabled:       "this direction is disabled for the role",
	planner.ReasonPaused:         "the autoscaler is paused",
	planner.ReasonOtherWriter:    "another autoscaler writes this role",
	planner.ReasonHeld:           "the target would not carry out a change",
	planner.ReasonRollout:        "a rollout is in progress",
	planner.ReasonRoleMissing:    "the role could not be observed",
	planner.ReasonDemandUnknown:  "the demand is not known, and on ignorance nothing goes down",
	planner.ReasonNotReady:       "replicas that are needed are not ready yet",
	planner.ReasonGivenUp:        "a replica could not start and was given up",
	planner.ReasonBreach:         "the observed latency misses its objective although the model expects it to hold",
	planner.ReasonActivity:       "the GPUs are busier than the model expects",
	planner.ReasonBackPressure:   "decode holds prefill up",
	planner.ReasonCannotMeet:     "no count within the limits meets the objectives",
	planner.ReasonUnattainable:   "no count at all can hold the objective",
	planner.ReasonBudgetBelowMin: "the budget does not hold the minimum of both roles",
	planner.ReasonOverBudget:     "more GPUs are held than the budget",
	planner.ReasonMoveHeld:       "a move of GPUs is held back",
	planner.ReasonSilentPods:     "ready pods give no metrics",
	planner.ReasonInvalidSpec:    "the spec is wrong",
	planner.ReasonGPUsUnknown:    "the GPUs of a replica are not known",
	planner.ReasonModelDisagrees: "the service and the model disagree",
}

// Meaning says a reason in words, and is empty for one that is not the planner's or is newer than this program.
func Meaning(r planner.Reason) string { return meanings[r] }
