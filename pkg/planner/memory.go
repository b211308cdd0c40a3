package planner

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

// Memory is what the planner remembers from one decision to the next. It is
// plain data and bounded; the zero Memory is that of a fresh start. Plan never
// changes the Memory it is given: it returns a new one.
type Memory struct {
	Version int `json:"version,omitempty"`
	// Since is when this memory began: nothing goes down before it covers a whole window.
	Since time.Time `json:"since,omitzero"`
	// LastAt is when the last decision was made.
	LastAt time.Time `json:"lastAt,omitzero"`

	// Requests, Input and Output are the series that forecasts are made from:
	// requests/s, prompt tokens/s and output tokens/s.
	Requests []forecast.Sample `json:"requests,omitempty"`
	Input    []forecast.Sample `json:"input,omitempty"`
	Output   []forecast.Sample `json:"output,omitempty"`

	// Traits are what is known of requests from longer ago than one reading.
	Traits Traits `json:"traits,omitzero"`

	Prefill RoleMemory `json:"prefill,omitzero"`
	Decode  RoleMemory `json:"decode,omitzero"`

	// Move is the running move, nil when none is.
	Move *Move `json:"move,omitempty"`
	// MoveNotBefore holds back the next move after one that failed.
	MoveNotBefore time.Time `json:"moveNotBefore,omitzero"`
	// BetterSince is since when GPUs of the other role would have served better.
	BetterSince time.Time `json:"betterSince,omitzero"`
}

// Traits are the last known values of what changes slowly: a reading that fails
// for a while is no reason to believe that requests have changed.
type Traits struct {
	ArrivalSCV  Reading `json:"arrivalSCV,omitzero"`
	InputSCV    Reading `json:"inputSCV,omitzero"`
	OutputSCV   Reading `json:"outputSCV,omitzero"`
	CachedShare Reading `json:"cachedShare,omitzero"`
}

// Need is the most replicas that one role needed in one slice of time,
// tolerance included.
type Need struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Replicas int       `json:"replicas"`
}

// RoleMemory is what is remembered of one role.
type RoleMemory struct {
	// Needs covers the scale-down window in slices, oldest first. A slice holds
	// only moments at which the demand was known.
	Needs []Need `json:"needs,omitempty"`
	// Rises are by how much the role's tokens/s rose within a start-up time, oldest first.
	Rises []forecast.Rise `json:"rises,omitempty"`

	LastUp   time.Time `json:"lastUp,omitzero"`
	LastDown time.Time `json:"lastDown,omitzero"`
	// CappedAt holds the role at a count until CappedUntil, after a replica
	// that could not start was given up. CapSeconds is the length of the last cap.
	CappedAt    int       `json:"cappedAt,omitempty"`
	CappedUntil time.Time `json:"cappedUntil,omitzero"`
	CapSeconds  Seconds   `json:"capSeconds,omitempty"`
	// MissingSince is since when fewer replicas have existed than were asked for, those on their way out not counted.
	MissingSince time.Time `json:"missingSince,omitzero"`
	// BreachSince is when the observed latency began to miss its objective.
	BreachSince time.Time `json:"breachSince,omitzero"`
	// QuietUntil holds back the way down after a replica was added for a breach,
	// the longer the sooner the breach came back; QuietSeconds is how long.
	QuietUntil   time.Time `json:"quietUntil,omitzero"`
	QuietSeconds Seconds   `json:"quietSeconds,omitempty"`
}

// MovePhase is where a move stands.
type MovePhase string

// The phases of a move. Draining: the donor was asked to give up replicas and
// its pods still hold their GPUs. Starting: the receiver was asked to grow and
// is not ready. Returning: the receiver gives its new replicas back.
const (
	Draining     MovePhase = "Draining"
	StartingUp   MovePhase = "Starting"
	Returning    MovePhase = "Returning"
	MoveDone     MovePhase = "Done"
	MoveGivenUp  MovePhase = "GivenUp"
	MoveReturned MovePhase = "Returned"
)

// Move is the transfer of GPUs from one role to the other. It is recorded
// before its first write.
type Move struct {
	From Role `json:"from"`
	To   Role `json:"to"`
	// The replica counts of both roles before and after.
	DonorBefore    int       `json:"donorBefore"`
	DonorAfter     int       `json:"donorAfter"`
	ReceiverBefore int       `json:"receiverBefore"`
	ReceiverAfter  int       `json:"receiverAfter"`
	GPUs           int       `json:"gpus"`
	Phase          MovePhase `json:"phase"`
	StartedAt      time.Time `json:"startedAt"`
	// PhaseSince is when the current phase began.
	PhaseSince time.Time `json:"phaseSince"`
	Reason     string    `json:"reason,omitempty"`
}

// role returns the memory of one role.
func (m *Memory) role(r Role) *RoleMemory {
	if r == Prefill {
		return &m.Prefill
	}
	return &m.Decode
}
