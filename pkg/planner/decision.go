package planner

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// RecordVersion is the version of the record's form and of the rules behind it. It is raised with every change after which a
// saved input may give another decision than before, or a field means something else:
//
//	1  the first
//	2  a share of what was asked for before the service corrected its model is kept (Spec.Prior); moves without room end at
//	   once; RoleDecision.Wall
//	3  what the demand rose by within a start-up time is held on top (RoleMemory.Rises, Demand.SurgePerSecond)
//	4  a breach of requests that are gone adds no replica; a decode that makes the first token wait neither lowers what
//	   prefill needs nor has prefill grow for it
//
// A record of an older version is read and explained as it was saved; making its decision again proves nothing, and is not
// tried. One of a newer version is refused. A Memory is read whatever its version: fields are only ever added, an absent one is
// its zero value, and the meaning of one never changes; see rules.md.
const RecordVersion = 4

// Record is one decision with all that it was made from. Replaying the input
// gives the decision again, bit for bit.
type Record struct {
	Version  int      `json:"version"`
	Input    Input    `json:"input"`
	Decision Decision `json:"decision"`
}

// Input is the whole input of one decision.
type Input struct {
	Spec     Spec      `json:"spec"`
	Snapshot Snapshot  `json:"snapshot"`
	Memory   Memory    `json:"memory"`
	Now      time.Time `json:"now"`
}

// Decision is what to do now, and why.
type Decision struct {
	At      time.Time    `json:"at"`
	Prefill RoleDecision `json:"prefill"`
	Decode  RoleDecision `json:"decode"`
	GPUs    GPUCount     `json:"gpus"`
	// Move is the move that is under way after this decision, nil when none is.
	Move *Move `json:"move,omitempty"`
	// Ended is the move that this decision ended, nil when none.
	Ended *Move `json:"ended,omitempty"`
	// Notes are the conditions that hold now, in the order in which they were found.
	Notes []Note `json:"notes,omitempty"`
	// Summary is the decision in one sentence.
	Summary string `json:"summary"`
}

// RoleDecision is the decision for one role.
type RoleDecision struct {
	// From is what the target asks for now and To what it should ask for.
	From int `json:"from"`
	To   int `json:"to"`
	// Wanted is the count the planner works towards; To may not reach it yet.
	Wanted int `json:"wanted"`
	Ready  int `json:"ready"`

	Demand Demand `json:"demand"`
	// Load is the share of the ready replicas' capacity that the demand takes:
	// compute for prefill, memory bandwidth for decode. Over 1 is overload.
	Load float64 `json:"load"`
	// Wall is what of a replica such requests fill first.
	Wall Wall `json:"wall,omitempty"`
	// ServesPerSecond is the rate of such requests at which one replica's load is 1.
	ServesPerSecond float64 `json:"servesPerSecond,omitempty"`

	// Steps are the counts before and after each limit that was looked at.
	Steps []Step `json:"steps,omitempty"`
	// Binding is the step that bound, or the cause of no change.
	Binding Reason `json:"binding"`
	// Because is the reason in one sentence.
	Because string `json:"because"`

	// ObjectiveMs, BeforeMs and AfterMs are the objective and what the model
	// predicts for it with From and with To replicas; nil is beyond any bound
	// (the role is overloaded) or not known.
	ObjectiveMs float64  `json:"objectiveMs"`
	BeforeMs    *float64 `json:"beforeMs,omitempty"`
	AfterMs     *float64 `json:"afterMs,omitempty"`
}

// Wall is what of a replica is full first, and so bounds what it serves.
type Wall string

// The walls. The first is prefill's and the others are decode's: the time of a step, the KV cache, and the sequences that an
// engine runs at once.
const (
	WallCompute   Wall = "compute"
	WallBandwidth Wall = capacity.BoundBandwidth
	WallKV        Wall = capacity.BoundKV
	WallSequences Wall = capacity.BoundSequences
)

// Demand is the traffic one role was sized for.
type Demand struct {
	Known bool   `json:"known"`
	Why   string `json:"why,omitempty"`
	// RequestsPerSecond is the larger of now and forecast, with backlog, headroom and surge.
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// NowPerSecond is what arrives. ForecastPerSecond is what is expected when a
	// new replica would be ready, in requests as long as those that arrive.
	NowPerSecond      float64 `json:"nowPerSecond"`
	ForecastPerSecond float64 `json:"forecastPerSecond"`
	BacklogPerSecond  float64 `json:"backlogPerSecond,omitempty"`
	HeadroomPerSecond float64 `json:"headroomPerSecond,omitempty"`
	// SurgePerSecond is what is held for rises within a start-up time like those that the role has seen.
	SurgePerSecond float64 `json:"surgePerSecond,omitempty"`
	InputTokens    float64 `json:"inputTokens"`
	// OutputTokens includes InFlightFactor, by which the sequences in flight say
	// that outputs are longer than those of finished requests; 1 is not at all.
	OutputTokens   float64 `json:"outputTokens"`
	InFlightFactor float64 `json:"inFlightFactor,omitempty"`
	CachedShare    float64 `json:"cachedShare,omitempty"`
}

// Step is one limit's effect on a role's count.
type Step struct {
	Reason Reason `json:"reason"`
	Before int    `json:"before"`
	After  int    `json:"after"`
	Detail string `json:"detail,omitempty"`
}

// GPUCount says how the budget stands.
type GPUCount struct {
	Budget int `json:"budget"`
	// Held counts ready, starting and terminating replicas' GPUs.
	Held int `json:"held"`
	// Requested is what this decision newly asks for.
	Requested int `json:"requested"`
}

// Note is one thing that a person should know about, with a stable reason.
type Note struct {
	Reason  Reason `json:"reason"`
	Role    Role   `json:"role,omitempty"`
	Message string `json:"message"`
}

// Reason is a stable name for a cause; docs/reasons.md lists each with its remedy.
type Reason string

// Reasons why a role's count is what it is.
const (
	ReasonObjective      Reason = "Objective"       // the count that holds the objective
	ReasonSteady         Reason = "Steady"          // the count is right
	ReasonWindow         Reason = "ScaleDownWindow" // fewer would do, but not yet for a whole window
	ReasonWarmUp         Reason = "WarmUp"          // no full window was seen since the start
	ReasonMinimum        Reason = "Minimum"
	ReasonMaximum        Reason = "Maximum"
	ReasonBudget         Reason = "Budget"
	ReasonFreeGPUs       Reason = "WaitingForGPUs" // GPUs of terminating replicas are not free yet
	ReasonMove           Reason = "Move"
	ReasonMoveBack       Reason = "MoveRolledBack"
	ReasonMaxStep        Reason = "MaxStep"
	ReasonPeriod         Reason = "StepPeriod"
	ReasonDisabled       Reason = "DirectionDisabled"
	ReasonPaused         Reason = "Paused"
	ReasonOtherWriter    Reason = "OtherWriter"
	ReasonHeld           Reason = "TargetHeld"
	ReasonRollout        Reason = "RolloutInProgress"
	ReasonRoleMissing    Reason = "RoleMissing"
	ReasonDemandUnknown  Reason = "DemandUnknown"
	ReasonNotReady       Reason = "ReplicasNotReady" // starting replicas do not count on the way down
	ReasonGivenUp        Reason = "ReplicaGivenUp"
	ReasonBreach         Reason = "ObservedBreach" // the objective is missed although the model thinks it holds
	ReasonActivity       Reason = "GPUActivity"    // the GPUs are busier than the model expects
	ReasonBackPressure   Reason = "DecodeBackPressure"
	ReasonCannotMeet     Reason = "ObjectiveOutOfReach" // no count within the limits meets the objectives
	ReasonUnattainable   Reason = "ObjectiveUnattainable"
	ReasonBudgetBelowMin Reason = "BudgetBelowMinimum"
	ReasonOverBudget     Reason = "OverBudget"
	ReasonMoveHeld       Reason = "MoveHeld"
	ReasonSilentPods     Reason = "PodsWithoutMetrics"
	ReasonInvalidSpec    Reason = "InvalidSpec"
	ReasonGPUsUnknown    Reason = "GPUsPerReplicaUnknown"
	ReasonModelDisagrees Reason = "ModelDisagrees"
)

// role returns the decision of one role.
func (d *Decision) role(r Role) *RoleDecision {
	if r == Prefill {
		return &d.Prefill
	}
	return &d.Decode
}
