package calibrate

import (
	"fmt"
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Kind says what an observation is of.
type Kind string

const (
	// Prefill is the prefill of prompts: one alone, or those of an interval.
	Prefill Kind = "prefill"
	// Decode is a decode step: one alone, or the mean of an interval.
	Decode Kind = "decode"
	// KVTransfer is the move of one prompt's KV cache.
	KVTransfer Kind = "kvTransfer"
)

// Observation is one reading of a busy replica. What its kind does not use stays zero.
type Observation struct {
	Kind Kind `json:"kind"`
	// Ms is the wall time: of the prompt's prefill, of the mean step with the pause before the next, of the transfer; over an
	// interval the sum over its prompts (prefill seconds are 1000 of these), or the mean inter-token latency.
	Ms float64 `json:"ms"`
	// Tokens are computed (Prefill, all prompts together) or moved (KVTransfer).
	Tokens float64 `json:"tokens,omitempty"`
	// CachedTokens were reused, all prompts together.
	CachedTokens float64 `json:"cachedTokens,omitempty"`
	// Prompts is how many shared Ms; 0 or 1 is a single one.
	Prompts float64 `json:"prompts,omitempty"`
	// LengthSCV is the squared coefficient of variation of an interval's prompt lengths.
	LengthSCV float64 `json:"lengthSCV,omitempty"`
	// Sequences and ContextTokens are what a decode step held: means over an interval.
	Sequences     float64 `json:"sequences,omitempty"`
	ContextTokens float64 `json:"contextTokens,omitempty"`
	// Steps is how many steps Ms is the mean of; 0 or 1 is a single one.
	Steps float64 `json:"steps,omitempty"`
}

// Why an observation was not used.
const (
	IgnoredNotNumbers   = "not numbers"
	IgnoredNotPositive  = "zero or negative time or work"
	IgnoredImplausible  = "implausible for this model and GPU"
	IgnoredContradicts  = "contradicts the others"
	IgnoredOutOfOrder   = "times out of order"
	IgnoredIdle         = "followed by idle time"
	IgnoredUnknownKind  = "unknown kind"
	IgnoredUnreadable   = "unreadable"
	IgnoredWhileFrozen  = "frozen"
	implausible         = 50.0 // times slower or faster than the prior believes
	contradicts         = 12.0 // robust standard deviations off what all rows together say
	mostObservedTokens  = 1e9
	mostObservedMs      = 1e9
	mostObservedPrompts = 1e7
)

// check says why o cannot be used, "" if it can.
func (o Observation) check() string {
	all := []float64{o.Ms, o.Tokens, o.CachedTokens, o.Prompts, o.LengthSCV, o.Sequences, o.ContextTokens, o.Steps}
	for _, v := range all {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return IgnoredNotNumbers
		}
		if v < 0 {
			return IgnoredNotPositive
		}
	}
	if o.Ms <= 0 || o.Ms > mostObservedMs {
		return IgnoredNotPositive
	}
	switch o.Kind {
	case Prefill:
		if o.Tokens <= 0 {
			return IgnoredNotPositive
		}
	case Decode:
		if o.Sequences <= 0 || o.ContextTokens <= 0 {
			return IgnoredNotPositive
		}
	case KVTransfer:
		if o.Tokens <= 0 {
			return IgnoredNotPositive
		}
	default:
		return IgnoredUnknownKind
	}
	if max(o.Tokens, o.CachedTokens, o.ContextTokens) > mostObservedTokens || max(o.Prompts, o.Sequences, o.Steps, o.LengthSCV) > mostObservedPrompts {
		return IgnoredImplausible
	}
	return ""
}

// phase ties an observation's kind to its formula and its coefficients.
type phase struct {
	kind  Kind
	names []string
	prior []float64
	// gradient is of the time of o with the coefficients theta.
	gradient func(theta []float64, o Observation, g []float64) (ms float64)
	spread   perfmodel.Spread
	// single and interval are the relative standard deviations of a reading of its own.
	single, interval float64
}

// Relative standard deviations of readings, before residuals tell better: measured steps of an H200 repeat within 2 %, and
// the formulas miss them by about as much; an interval's means hide what varied within it.
const (
	stepNoise     = 0.02
	promptNoise   = 0.03
	transferNoise = 0.10
	intervalNoise = 0.06
)

func phases(b perfmodel.Belief) map[Kind]*phase {
	r := b.Replica
	return map[Kind]*phase{
		Prefill: {
			kind: Prefill, names: perfmodel.PrefillNames[:], prior: r.Prefill.Coefficients(), spread: b.Prefill,
			single: promptNoise, interval: intervalNoise,
			gradient: func(theta []float64, o Observation, g []float64) float64 {
				return prefillGradient(r.Prefill.WithCoefficients(theta), o, g)
			},
		},
		Decode: {
			kind: Decode, names: perfmodel.DecodeNames[:], prior: r.Decode.Coefficients(), spread: b.Decode,
			single: stepNoise, interval: intervalNoise,
			gradient: func(theta []float64, o Observation, g []float64) float64 {
				return r.Decode.WithCoefficients(theta).Gradient(o.Sequences, o.ContextTokens, g)
			},
		},
		KVTransfer: {
			kind: KVTransfer, names: perfmodel.TransferNames[:], prior: r.Transfer.Coefficients(), spread: b.Transfer,
			single: transferNoise, interval: transferNoise,
			gradient: func(theta []float64, o Observation, g []float64) float64 {
				return r.Transfer.WithCoefficients(theta).Gradient(o.Tokens, g)
			},
		},
	}
}

// prefillGradient is the sum over o's prompts. Those of an interval are spread over lengths of its mean and variation: the
// roof of short prompts makes the mean of their times more than the time of their mean.
func prefillGradient(p perfmodel.Prefill, o Observation, g []float64) float64 {
	prompts := max(o.Prompts, 1)
	n, c := o.Tokens/prompts, o.CachedTokens/prompts
	attention := n * (n + 2*c) * (1 + o.LengthSCV)
	ms := 0.0
	if o.Prompts <= 1 || o.LengthSCV == 0 {
		ms = p.Gradient(n, attention, g)
	} else {
		lengths := spreadLengths(o.LengthSCV)
		var each [len(perfmodel.PrefillNames)]float64
		clear(g)
		for _, share := range lengths {
			ms += p.Gradient(n*share, attention, each[:]) / float64(len(lengths))
			for i, v := range each {
				g[i] += v / float64(len(lengths))
			}
		}
	}
	for i := range g {
		g[i] *= prompts
	}
	return ms * prompts
}

// spreadLengths are five lengths of equal weight whose mean is 1, of a lognormal distribution with the given squared
// coefficient of variation: the middles of its fifths.
func spreadLengths(scv float64) [5]float64 {
	sigma := math.Sqrt(math.Log1p(min(scv, 20)))
	lengths, sum := [5]float64{-1.2816, -0.5244, 0, 0.5244, 1.2816}, 0.0
	for i, z := range lengths {
		lengths[i] = math.Exp(sigma * z)
		sum += lengths[i] / 5
	}
	for i := range lengths {
		lengths[i] /= sum
	}
	return lengths
}

func (p *phase) noise(o Observation) float64 {
	if o.Prompts > 1 || o.Steps > 1 {
		return p.interval
	}
	return p.single
}

// at linearises around the ratios x: the logarithm of the reading over the prediction, and its sensitivity to each ratio.
func (p *phase) at(x []float64, o Observation, theta, jacobian []float64) (residual float64) {
	for i, v := range p.prior {
		theta[i] = v * x[i]
	}
	ms := p.gradient(theta, o, jacobian)
	for i, v := range p.prior {
		jacobian[i] *= v / ms
	}
	return math.Log(o.Ms / ms)
}

func (k Kind) valid() error {
	switch k {
	case Prefill, Decode, KVTransfer:
		return nil
	}
	return fmt.Errorf("kind is %q: allowed is %s, %s or %s", k, Prefill, Decode, KVTransfer)
}
