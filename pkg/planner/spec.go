package planner

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// Role is one of the two pools of a prefill/decode service.
type Role string

// The two roles.
const (
	Prefill Role = "prefill"
	Decode  Role = "decode"
)

// Seconds is a length of time in seconds, readable in JSON.
type Seconds float64

// Duration returns the seconds as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Spec is what a person asked for, and the model of the service's replicas.
type Spec struct {
	// Paused is the reason why nothing may be written, empty when not paused.
	Paused string `json:"paused,omitempty"`

	Prefill RoleSpec `json:"prefill"`
	Decode  RoleSpec `json:"decode"`

	// Service is what one replica of each role can do.
	Service capacity.Service `json:"service"`
	// LocalPrefillShare of the requests are prefilled by the decode replicas themselves, 0 to below 1.
	LocalPrefillShare float64 `json:"localPrefillShare,omitempty"`
	// Prior is set where the service itself has corrected Service.
	Prior *Prior `json:"prior,omitempty"`
	// TTFT and TPOT are the objectives to keep.
	TTFT capacity.Objective `json:"ttft"`
	TPOT capacity.Objective `json:"tpot"`

	// BudgetGPUs is the most GPUs the service may hold; 0 is no budget.
	BudgetGPUs int `json:"budgetGPUs,omitempty"`

	Behavior  Behavior  `json:"behavior"`
	Rebalance Rebalance `json:"rebalance"`
}

// Prior is what replicas were taken to do before the service had shown anything.
type Prior struct {
	Service capacity.Service `json:"service"`
	// LeastShare of the replicas that it asks for are kept, whatever was learnt: a correction that is wrong takes no more
	// away. 0..1.
	LeastShare float64 `json:"leastShare"`
}

// RoleSpec bounds one role.
type RoleSpec struct {
	Min int `json:"min"`
	Max int `json:"max"`
	// GPUsPerReplica is used until the workload itself shows the number.
	GPUsPerReplica int      `json:"gpusPerReplica"`
	Up             StepSpec `json:"up,omitzero"`
	Down           StepSpec `json:"down,omitzero"`
}

// StepSpec limits one direction of scaling of one role.
type StepSpec struct {
	Disabled bool `json:"disabled,omitempty"`
	// MaxStep is the most replicas of one decision; 0 is no limit.
	MaxStep int `json:"maxStep,omitempty"`
	// PeriodSeconds must pass between two decisions in this direction; 0 is none.
	PeriodSeconds Seconds `json:"periodSeconds,omitempty"`
}

// Behavior says how quickly and how carefully counts may change.
type Behavior struct {
	// IntervalSeconds is the time between two decisions.
	IntervalSeconds Seconds `json:"intervalSeconds"`
	// DownWindowSeconds is how long fewer replicas must have been enough. A
	// replica that is given up and needed again costs a start-up time of GPUs and
	// of shortage: to wait for about as long costs no more than that.
	DownWindowSeconds Seconds `json:"downWindowSeconds"`
	// Headroom is the share of demand beyond what is expected that replicas are
	// held for: what demand may do within a start-up time that no forecast sees.
	// Below 0 the role is sized for less than is expected.
	Headroom float64 `json:"headroom,omitempty"`
	// Tolerance is the share of extra demand that fewer replicas must hold
	// before a role goes down; it separates the way up from the way down.
	Tolerance float64 `json:"tolerance"`
	// MaxAgeSeconds is the age at which a reading becomes unknown.
	MaxAgeSeconds Seconds `json:"maxAgeSeconds"`
	// StartupSeconds is the start-up time assumed until one was measured.
	StartupSeconds Seconds `json:"startupSeconds"`
	// StartTimeoutSeconds is when a replica that cannot start is given up.
	StartTimeoutSeconds Seconds `json:"startTimeoutSeconds"`
	// BreachSeconds is how long an observed objective must be missed before a
	// replica is added against the model's opinion.
	BreachSeconds Seconds `json:"breachSeconds"`
}

// Rebalance governs GPUs that go from one role to the other.
type Rebalance struct {
	Enabled bool `json:"enabled"`
	// WindowSeconds is the time over which the donor must not have needed its replica.
	WindowSeconds Seconds `json:"windowSeconds"`
	// DrainTimeoutSeconds ends a move whose donor does not let go of its GPUs.
	DrainTimeoutSeconds Seconds `json:"drainTimeoutSeconds"`
	// StartTimeoutSeconds turns a move back whose receiver does not become ready.
	StartTimeoutSeconds Seconds `json:"startTimeoutSeconds"`
	// CooldownSeconds passes after a move that failed before the next one.
	CooldownSeconds Seconds `json:"cooldownSeconds"`
}

// role returns the spec of one role.
func (s *Spec) role(r Role) *RoleSpec {
	if r == Prefill {
		return &s.Prefill
	}
	return &s.Decode
}
