package chart

// Run is what happened. All times are in seconds from the start of the load.
type Run struct {
	Title         string
	LengthSeconds float64
	Acts          []Act
	Points        []Point
	Latencies     []Latency
	Moves         []Move

	BudgetGPUs int
	// FixedGPUs is what the cheapest fixed counts that meet the objectives take; 0 draws nothing.
	FixedGPUs int
	TTFT      Objective
	TPOT      Objective
}

// Act is a part of the story; its requests are judged from JudgedFrom on.
type Act struct {
	Name                 string
	From, JudgedFrom, To float64
}

// Objective is a latency at a percentile.
type Objective struct {
	Ms         float64
	Percentile int
}

// Latency is what the requests that arrived between two moments had, at the percentile of each objective; 0 is none.
type Latency struct {
	From, To float64
	TTFTMs   float64
	TPOTMs   float64
}

// Move is a move of GPUs, from the decision to the receiver's readiness. To is 0 if that did not come.
type Move struct {
	From, To float64
	Label    string
}

// Point is one sample of the run.
type Point struct {
	At             float64 `json:"atSeconds"`
	Prefill        Role    `json:"prefill"`
	Decode         Role    `json:"decode"`
	HeldGPUs       int     `json:"heldGPUs"`
	PromptTokensPS float64 `json:"promptTokensPerSecond"`
	OutputTokensPS float64 `json:"outputTokensPerSecond"`
	RequestsPS     float64 `json:"requestsPerSecond"`
	Queued         int     `json:"queued"`
	// TTFTMs and TPOTMs are what clients saw in the last 10 s; 0 where nobody saw any.
	TTFTMs          float64 `json:"ttftMs,omitempty"`
	TPOTMs          float64 `json:"tpotMs,omitempty"`
	PrefillLoadPerc *int32  `json:"prefillLoadPercent,omitempty"`
	DecodeLoadPerc  *int32  `json:"decodeLoadPercent,omitempty"`
}

// Role is one role's replicas at one moment.
type Role struct {
	Desired     int `json:"desired"`
	Ready       int `json:"ready"`
	Starting    int `json:"starting"`
	Terminating int `json:"terminating"`
	GPUs        int `json:"gpus"`
}
