package policy

import (
	"math"
	"time"
)

// apa is AIBrix's APA, one for each role: r = metric per replica/target,
//
//	r > 1.1   min(ceil(N*r), ceil(2*N))
//	r < 0.9   max(ceil(N*r), floor(N/2))
//
// with the metric's mean over 60 s on the way up and over 180 s on the way down: this is how its two windows are read here.
// Metrics are prompts queued and computed for prefill, with a target of one to a replica, and KV use for decode, with the target
// of 0.5 that its examples have. The knob divides both. Without metrics a role is left alone.
type apa struct {
	knob            float64
	every           time.Duration
	prefill, decode apaRole
}

const (
	apaUpWindow   = 60 * time.Second
	apaDownWindow = 180 * time.Second
	apaTolerance  = 0.1
	apaKVTarget   = 0.5
)

func newAPA(s *Setup) Policy { return &apa{knob: s.knob(), every: interval(s)} }

func (p *apa) Interval() time.Duration { return p.every }

func (p *apa) Decide(in *Input) (Counts, string) {
	if !in.Seen.Fresh {
		return in.Desired, "no metrics: held"
	}
	per := promptsInWork(in) / math.Max(1, float64(in.Ready.Prefill))
	return Counts{
		p.prefill.next(in.At, in.Desired.Prefill, p.knob*per),
		p.decode.next(in.At, in.Desired.Decode, p.knob*in.Seen.KVUse/apaKVTarget),
	}, "metric over target"
}

// apaRole remembers one role's metric, in targets.
type apaRole struct{ panicking }

func (p *apaRole) next(at time.Duration, now int, targets float64) int {
	p.seen = append(p.seen, concurrency{at, targets})
	for p.seen[0].at <= at-apaDownWindow {
		p.seen = p.seen[1:]
	}
	return apaCount(now, p.mean(at-apaUpWindow), p.mean(at-apaDownWindow))
}

// apaCount is the published rule for a metric of so many targets, lately and for longer.
func apaCount(now int, lately, longer float64) int {
	n := float64(now)
	switch {
	case lately > 1+apaTolerance:
		return min(ceil(n*lately), ceil(2*n))
	case longer < 1-apaTolerance:
		return max(1, ceil(n*longer), int(n/2))
	}
	return now
}
