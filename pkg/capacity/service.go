package capacity

import "github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"

// Lengths is a distribution of token counts, by its first two moments.
type Lengths struct {
	// Mean is in tokens.
	Mean float64 `json:"mean"`
	// SCV is the squared coefficient of variation: variance over squared mean. 0 is a constant length.
	SCV float64 `json:"scv"`
}

// Traffic is what arrives at the whole service.
type Traffic struct {
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// ArrivalSCV is the squared coefficient of variation of the times between arrivals. 1 is Poisson; so is what is not positive.
	ArrivalSCV float64 `json:"arrivalSCV"`
	Input      Lengths `json:"input"`
	Output     Lengths `json:"output"`
	// CachedShare is the share of input tokens whose KV cache is reused, 0..1.
	CachedShare float64 `json:"cachedShare"`
	// LocalPrefillShare is the share of the prefill work that decode replicas do themselves, 0..1.
	LocalPrefillShare float64 `json:"localPrefillShare"`
}

// TTFTEnd says which worker emits the first token that the client sees.
type TTFTEnd string

const (
	EndsAtPrefill TTFTEnd = "prefill"
	EndsAtDecode  TTFTEnd = "decode"
)

// Service is one model served by prefill replicas and decode replicas.
type Service struct {
	Prefill perfmodel.Replica `json:"prefill"`
	Decode  perfmodel.Replica `json:"decode"`
	// TTFTEndsAt is EndsAtPrefill unless it says EndsAtDecode.
	TTFTEndsAt TTFTEnd `json:"ttftEndsAt,omitempty"`
	// MaxSequences is the engine's limit of running sequences per decode replica. Default 256.
	MaxSequences int `json:"maxSequences,omitempty"`
	// PadTokens is the multiple that prompts are padded up to before prefill. Default 1: no padding.
	PadTokens int `json:"padTokens,omitempty"`
}

// Objective is a latency that a share of the requests must stay within.
type Objective struct {
	// Quantile is that share, between 0 and 1. Default 0.95.
	Quantile float64 `json:"quantile"`
	Ms       float64 `json:"ms"`
}
