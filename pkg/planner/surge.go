package planner

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

// The headroom that a person asks for is one share for both roles and all times. How far a demand can get within a start-up
// time is a property of the traffic, though, and differs between the roles: prompts come in waves where answers flow evenly. So
// each role remembers how far its own tokens rose above what had been expected, and holds that on top.

// rememberRise adds what the role's demand did within the last horizon to what is remembered of it. In the first horizon after
// a start rates are those of counters that were read for the first time, which is no rise of the demand.
func (p *round) rememberRise(r *roleRound, outputTokens float64) {
	horizon, gap := r.horizon(p.spec), p.longestGap()
	series := p.tokens(r)
	rise, ok := forecast.Risen(series, p.now, horizon, p.patience(r, outputTokens), gap)
	if !ok || p.now.Sub(p.mem.Since) < 2*horizon {
		return
	}
	r.mem.Rises = forecast.Remember(r.mem.Rises, rise, horizon)
}

// tokens is the series of the role's own tokens.
func (p *round) tokens(r *roleRound) []forecast.Sample {
	if r.role == Decode {
		return p.mem.Output
	}
	return p.mem.Input
}

// patience is for how long a rise does no harm: prompts may wait as long as the TTFT objective allows, and the time per token of
// an answer is the mean over its life, which evens out what is shorter.
func (p *round) patience(r *roleRound, outputTokens float64) time.Duration {
	ms := p.spec.TTFT.Ms
	if r.role == Decode {
		ms = p.spec.TPOT.Ms * outputTokens
	}
	return Seconds(min(ms/1000, r.horizon(p.spec).Seconds())).Duration()
}

// surge is the rate, in requests of so many of the role's tokens, that is held on top of a rate for rises like those of the past.
func (p *round) surge(r *roleRound, rate, tokens float64) float64 {
	if tokens <= 0 {
		return 0
	}
	return forecast.Surge(r.mem.Rises, rate*tokens) / tokens
}
