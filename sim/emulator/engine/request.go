package engine

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// State is where a request is.
type State string

// The states of a request, in the order in which it passes them.
const (
	// Parked: no decode worker can take it.
	Parked State = "parked"
	// Waiting: it waits for KV cache at its decode worker.
	Waiting State = "waiting"
	// Queued: its KV cache is reserved and its message is in the prefill queue.
	Queued State = "queued"
	// Prefilling: a prefill worker computes its prompt.
	Prefilling State = "prefilling"
	// Transferring: its KV cache is on the way to the decode worker.
	Transferring State = "transferring"
	// Joining: it is at the decode worker and joins the batch at the next step.
	Joining State = "joining"
	// Decoding: it is in the running batch.
	Decoding State = "decoding"
	Finished State = "finished"
	Failed   State = "failed"
)

// request is one request in flight.
type request struct {
	load.Request
	id      uint64
	arrived time.Duration
	state   State
	// attempt grows each time the request is queued again, and voids what was
	// under way for the attempt before.
	attempt uint64

	frontend *worker
	decode   *worker // holds its KV cache, or is where it waits
	prefill  *worker // computes its prompt, or sends its KV cache

	// generated is the tokens the client has, as of the last end of a run of steps.
	generated int
	// context is the tokens its KV cache holds or is reserved for.
	context    int
	firstToken time.Duration // noTime before it
	lastToken  time.Duration
	handedOver time.Duration

	preempted int
	migrated  int
}

const noTime time.Duration = -1

// prompt is what has to be in the KV cache before the next token: the input
// and, after a preemption or migration, what was generated already.
func (r *request) prompt() int { return r.InputTokens + r.generated }

// left is how many tokens the client still waits for.
func (r *request) left() int { return r.OutputTokens - r.generated }
