package live

import "time"

// Frame is the demo at one moment.
type Frame struct {
	Title string
	// At and Length are the place in the load and its length.
	At, Length time.Duration
	// Acts are the names of the story's parts and Act the one that plays; WarmUp says that its requests are not judged yet.
	Acts   []string
	Act    int
	WarmUp bool

	Load Load
	// Roles are prefill and decode.
	Roles [2]Role
	GPUs  GPUs
	TTFT  Latency
	TPOT  Latency
	// Move is the running move of GPUs in a sentence, empty when there is none.
	Move string
	// News are the last decisions that changed something, newest last.
	News []string
}

// Load is the traffic as it is offered now.
type Load struct {
	RequestsPerSecond         float64
	InputTokens, OutputTokens float64 // means per request
	// Queued is how many prompts wait for a prefill worker.
	Queued int
}

// Role is one role's replicas and load.
type Role struct {
	Name                         string
	Ready, Starting, Terminating int
	Desired                      int
	GPUs                         int
	// LoadPercent is the autoscaler's own figure; negative while it is unknown.
	LoadPercent int
}

// GPUs is how the budget stands.
type GPUs struct {
	Held, Budget, Peak int
}

// Latency is one latency as the clients saw it last, beside its objective.
type Latency struct {
	Ms          float64
	Known       bool
	ObjectiveMs float64
	Percentile  int
}
