package live

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// Round is what one round of one PDAutoscaler saw and decided. A number that is not known is nil.
type Round struct {
	Namespace, Name string
	At              time.Time
	// Interval is how far rounds are apart.
	Interval time.Duration
	// Mode is Auto, Recommend or Metrics. Paused is why nothing is written; empty when it is.
	Mode, Paused string
	// Model and GPUs say what a replica is, for people: "Qwen3-32B", "H200-SXM".
	Model, PrefillGPU, DecodeGPU string

	Prefill, Decode Role
	TTFT, TPOT      Latency
	// RequestsPerSecond is what arrives, and the tokens are those of its prompts and outputs.
	RequestsPerSecond, InputTokensPerSecond, OutputTokensPerSecond *float64
	// SLO is Met, Missed or Unknown.
	SLO string
	// HeldGPUs are those of ready, starting and terminating replicas; BudgetGPUs 0 is no budget.
	HeldGPUs, BudgetGPUs int
	// Moving is set while GPUs go from one role to the other.
	Moving bool

	// Decided is the decision with its reasons; nil where there was none, and then Reason and Message say why.
	Decided *report.Explanation
	// Reason and Message are the round in one word and one sentence.
	Reason, Message string
	// Written is whether the counts of the decision were written.
	Written bool
}

// Role is one role at one moment. The zero Role was not seen.
type Role struct {
	Seen                                  bool
	Desired, Ready, Starting, Terminating int
	// GPUs that its replicas hold, by the state of the replica.
	ReadyGPUs, StartingGPUs, TerminatingGPUs int
	GPUsPerReplica                           int
	// Load is the share of the ready replicas' capacity that the demand takes.
	Load *float64
	// Waiting is how many requests wait for the role, and QueueSeconds how long its replicas need for them.
	Waiting, QueueSeconds *float64
}

// Latency is one latency at the percentile of its objective.
type Latency struct {
	// Name is such as "p95 TTFT".
	Name                    string
	ObjectiveMs             float64
	ObservedMs, PredictedMs *float64
}

// of returns one role.
func (r *Round) of(role planner.Role) *Role {
	if role == planner.Decode {
		return &r.Decode
	}
	return &r.Prefill
}

// roles are both roles, in the order that is shown.
var roles = [...]planner.Role{planner.Prefill, planner.Decode}
