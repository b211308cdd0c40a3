package planner

import "time"

// State says how much a Reading may be trusted.
type State string

const (
	// StateKnown is a value that was read.
	StateKnown State = "known"
	// StateZero is a confirmed zero: a fresh counter that did not move.
	StateZero State = "zero"
	// StateUnknown is no value at all; it is never taken for zero.
	StateUnknown State = "unknown"
)

// Reading is one value as some source gave it. The unit is in the name of the
// field that holds it. The zero Reading is unknown.
type Reading struct {
	State State   `json:"state"`
	Value float64 `json:"value,omitempty"`
	// At is when the value was true, which is earlier than when it was read.
	At time.Time `json:"at,omitzero"`
	// Source names where it came from, for people: "vllm pods", "nats dynamo_prefill_queue".
	Source string `json:"source,omitempty"`
	// Why says what is missing when the state is unknown.
	Why string `json:"why,omitempty"`
}

// Known returns a reading of a value that was true at the given time.
func Known(value float64, at time.Time, source string) Reading {
	return Reading{State: StateKnown, Value: value, At: at, Source: source}
}

// Zero returns a confirmed zero.
func Zero(at time.Time, source string) Reading {
	return Reading{State: StateZero, At: at, Source: source}
}

// Unknown returns a reading that could not be had, and why.
func Unknown(why string) Reading {
	return Reading{State: StateUnknown, Why: why}
}

// Ok reports whether the reading holds a value; a confirmed zero does.
func (r Reading) Ok() bool {
	switch r.State {
	case StateZero:
		return true
	case StateKnown:
		return finite(r.Value) && r.Value >= 0
	}
	return false
}

// Or returns the reading's value, or the given one where there is none.
func (r Reading) Or(otherwise float64) float64 {
	switch {
	case !r.Ok():
		return otherwise
	case r.State == StateZero:
		return 0
	}
	return r.Value
}

// Fresh returns the reading, or an unknown one where it is older than maxAge.
func (r Reading) Fresh(now time.Time, maxAge Seconds) Reading {
	if r.Ok() && !r.At.IsZero() && now.Sub(r.At) > maxAge.Duration() {
		return Unknown("last value of " + r.Source + " is " + now.Sub(r.At).Round(time.Second).String() + " old")
	}
	return r
}
