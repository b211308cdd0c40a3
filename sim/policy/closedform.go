package policy

import (
	"fmt"
	"math"
	"time"
)

// closedForm is the SLO-aware allocation of 2603.04716, read from a digest: replicas by tokens/s,
//
//	TP_p = TP_max - isl/(TTFT - T_ov)    prefill as M/M/1: what is usable of its most while TTFT holds
//	TP_d = tokens/s at the largest batch within TPOT
//	P = ceil(rate*isl/TP_p), D = ceil(rate*osl/TP_d), so that P/D = isl*TP_d/(osl*TP_p)
//
// T_ov is what TTFT holds besides prefill: the KV transfer where the first token comes from decode. An objective that leaves nothing
// usable asks for the maximum. The knob multiplies the rate.
type closedForm struct {
	profile
	every time.Duration
}

func newClosedForm(s *Setup) Policy { return &closedForm{newProfile(s), interval(s)} }

func (p *closedForm) Interval() time.Duration { return p.every }

func (p *closedForm) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.OutputTokens == 0 {
		return in.Desired, "no metrics: held"
	}
	overheadMs := 0.0
	if p.service.TTFTEndsAt == "decode" {
		overheadMs = p.service.Prefill.Transfer.Ms(s.InputTokens)
	}
	prefill := usableTokensPerSecond(p.prefillTokensPerSecond(s.InputTokens, s.CachedShare), s.InputTokens, p.ttft-overheadMs)
	decode := p.decodeTokensPerSecond(s.InputTokens+s.OutputTokens/2, p.tpot)
	c := Counts{p.limits.prefill.Max, max(1, ceil(p.margin*s.RequestsPerSecond*s.OutputTokens/decode))}
	if prefill > 0 {
		c.Prefill = max(1, ceil(p.margin*s.PromptPerSecond/prefill))
	}
	return c, fmt.Sprintf("%.0f prompt and %.0f output tokens/s per replica", math.Max(prefill, 0), decode)
}

// usableTokensPerSecond is what an M/M/1 server of so many tokens/s can take while the time of a prompt stays within budgetMs.
func usableTokensPerSecond(most, inputTokens, budgetMs float64) float64 {
	if budgetMs <= 0 {
		return 0
	}
	return most - 1000*inputTokens/budgetMs
}
