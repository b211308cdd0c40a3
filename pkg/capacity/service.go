package capacity

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Lengths is a distribution of token counts, by its first two moments or by a histogram.
type Lengths struct {
	// Mean is in tokens.
	Mean float64 `json:"mean"`
	// SCV is the squared coefficient of variation, variance over squared mean. 0 is a constant length.
	SCV float64 `json:"scv"`
	// Histogram, where there is one, is what counts: Mean and SCV are then its own. One that is no distribution is not there.
	Histogram *Histogram `json:"histogram,omitempty"`
}

// Traffic is what arrives at the whole service.
type Traffic struct {
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// ArrivalSCV is the squared coefficient of variation of the times between arrivals. 1 is Poisson, and so is what is
	// not positive: unknown must not read as clockwork.
	ArrivalSCV float64 `json:"arrivalSCV"`
	Input      Lengths `json:"input"`
	Output     Lengths `json:"output"`
	// CachedShare is the share of input tokens whose KV cache is reused, 0..1.
	CachedShare float64 `json:"cachedShare"`
	// OffloadedShare is the share of input tokens, on top of CachedShare, whose KV cache is reloaded from a lower tier, 0..1.
	OffloadedShare float64 `json:"offloadedShare,omitempty"`
	// LocalPrefillShare is the share of requests that the decode replicas prefill themselves, 0..1.
	LocalPrefillShare float64 `json:"localPrefillShare"`
}

// TTFTEnd says which worker emits the first token that the client sees.
type TTFTEnd string

const (
	// EndsAtPrefill says that the prefill worker emits it. The KV transfer is then part of TPOT.
	EndsAtPrefill TTFTEnd = "prefill"
	// EndsAtDecode says that the first decode step emits it. The KV transfer is then part of TTFT (DecodePool.HandoverMs).
	EndsAtDecode TTFTEnd = "decode"
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
	// ChunkTokens is the most tokens of one prefill step: longer prompts are computed in several. Default 0: no limit.
	ChunkTokens int `json:"chunkTokens,omitempty"`
	// TransferBlocksPrefill says that a prefill replica starts the next prompt only when the KV cache of the last has left.
	TransferBlocksPrefill bool `json:"transferBlocksPrefill,omitempty"`
}

// Objective is a latency that a share of the requests must stay within.
type Objective struct {
	// Quantile is that share, between 0 and 1. Default 0.95.
	Quantile float64 `json:"quantile"`
	Ms       float64 `json:"ms"`
}

const (
	defaultQuantile     = 0.95
	defaultMaxSequences = 256
	// largest bounds every number that is read, so that no product of two of them overflows.
	largest = 1e9
	// maxReplicas bounds the one loop whose length is a number of replicas; more are read as this many.
	maxReplicas = 10_000
)

func (o Objective) quantile() float64 {
	if o.Quantile == 0 {
		return defaultQuantile
	}
	return o.Quantile
}

// clean reads t: see the package comment for what becomes of bad numbers.
func (t Traffic) clean() Traffic {
	t.RequestsPerSecond = positive(t.RequestsPerSecond)
	if t.ArrivalSCV = min(positive(t.ArrivalSCV), 1e3); t.ArrivalSCV == 0 {
		t.ArrivalSCV = 1
	}
	t.Input, t.Output = t.Input.clean(), t.Output.clean()
	t.CachedShare = min(positive(t.CachedShare), 1)
	t.OffloadedShare = min(positive(t.OffloadedShare), 1-t.CachedShare)
	t.LocalPrefillShare = min(positive(t.LocalPrefillShare), 1)
	return t
}

func (l Lengths) clean() Lengths {
	if l.Histogram != nil {
		if counted, ok := l.Histogram.lengths(); ok {
			return counted
		}
	}
	return Lengths{Mean: positive(l.Mean), SCV: min(positive(l.SCV), 100)}
}

func positive(x float64) float64 {
	if !(x > 0) {
		return 0
	}
	return min(x, largest)
}

func (s Service) maxSequences() float64 {
	if s.MaxSequences <= 0 {
		return defaultMaxSequences
	}
	return float64(s.MaxSequences)
}

// transferMs is the time to move tokens of KV cache: the slower of the two ends sets it.
func (s Service) transferMs(tokens float64) float64 {
	return max(s.Prefill.Transfer.Ms(tokens), s.Decode.Transfer.Ms(tokens))
}

// normalQuantile is z of a quantile q strictly between 0 and 1.
func normalQuantile(q float64) float64 { return math.Sqrt2 * math.Erfinv(2*q-1) }

// normalTail is P(Z > z).
func normalTail(z float64) float64 { return 0.5 * math.Erfc(z/math.Sqrt2) }
