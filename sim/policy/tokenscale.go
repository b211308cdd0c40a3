package policy

import (
	"math"
	"time"
)

// tokenScale is TokenScale's rule as we read it, the paper's text not being available: prefill tokens/s over the lesser of
// the prefill and the transfer velocity; decode in buckets of output length, because a short answer releases its KV cache
// sooner than a long one:
//
//	n_P = ceil(rate*isl/min(V_P, V_N))
//	n_D = sum over buckets of ceil(rate_b*(isl+osl_b)/V_D,b), V_D,b = B*(isl+osl_b)/(osl_b*TPOT(B))
//
// B is the largest batch of that length within the objective. The paper sorts requests into buckets by a predictor; what
// readings give of the lengths is a mean and a variance, and so the buckets are thirds of a lognormal distribution with those. The
// prompts are of one length. The knob multiplies the demand.
type tokenScale struct {
	profile
	every time.Duration
}

func newTokenScale(s *Setup) Policy { return &tokenScale{newProfile(s), interval(s)} }

func (p *tokenScale) Interval() time.Duration { return p.every }

func (p *tokenScale) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.OutputTokens == 0 {
		return in.Desired, "no metrics: held"
	}
	prefillVelocity := p.prefillTokensPerSecond(s.InputTokens, s.CachedShare)
	transferVelocity := 1000 * ratio(1, p.service.Prefill.Transfer.MsPerToken)
	return Counts{
		max(1, ceil(p.margin*s.PromptPerSecond/min(prefillVelocity, transferVelocity))),
		p.decodeReplicas(p.margin*s.RequestsPerSecond, s.InputTokens, thirds(s.OutputTokens, in.Snapshot.Signals.OutputSCV.Value)),
	}, "token velocities"
}

// decodeReplicas is the sum over buckets of equally many requests.
func (p *tokenScale) decodeReplicas(rate, input float64, outputs []float64) int {
	sum := 0
	for _, out := range outputs {
		context := input + out/2
		b := p.batch(context, p.tpot)
		velocity := 1000 * b * (input + out) / (out * p.service.Decode.Decode.StepMs(b, b*context))
		sum += ceil(rate / float64(len(outputs)) * (input + out) / velocity)
	}
	return max(1, sum)
}

// thirds are the means of the shorter, the middle and the longer third of a lognormal distribution; one value where there is
// no variance.
func thirds(mean, scv float64) []float64 {
	if !(scv > 1e-6) {
		return []float64{mean}
	}
	sigma := math.Sqrt(math.Log1p(scv))
	// Below its p-quantile a lognormal has the share Phi(z_p - sigma) of its sum.
	below := func(z float64) float64 { return 0.5 * math.Erfc(-(z-sigma)/math.Sqrt2) }
	z := math.Sqrt2 * math.Erfinv(2./3-1) // of one third; two thirds is -z
	low, high := below(z), below(-z)
	return []float64{3 * mean * low, 3 * mean * (high - low), 3 * mean * (1 - high)}
}
