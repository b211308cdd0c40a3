package policy

import (
	"fmt"
	"math"
	"time"
)

// kthena is kthena's AutoscalingPolicy: each role by the sum of a metric over its target, like HPA, and then the ratio of the
// roles repaired, after all limits of speed.
//
//	N' = ceil(sum/target), held while |sum/target - 1| <= 0.1
//	P/D within the bounds: the deficient side goes up; the other goes down only if the maximum is in the way
//
// The tolerance compares the sum with one target, not with N of them, as its code does: four pods at 1.02 of their target
// become five, and four pods with 1.05 targets in all stay four. One role without metrics stops both. Zero on both sides stays
// zero.
//
// Its examples scale on requests: here prompts queued and computed for prefill and sequences running and waiting for decode, by
// the targets of kpa. The bounds are half and twice the ratio of the start. The knob divides the targets.
type kthena struct {
	profile
	prefill, decode autoscaler
}

const kthenaTolerance = 0.1

func newKthena(s *Setup) Policy { return &kthena{profile: newProfile(s)} }

func (p *kthena) Interval() time.Duration { return hpaInterval }

func (p *kthena) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.InputTokens == 0 || s.OutputTokens == 0 {
		return in.Desired, "metrics are missing: all roles are skipped"
	}
	batch := p.batch(s.InputTokens+s.OutputTokens/2, p.tpot)
	now := in.Desired
	want := Counts{
		p.prefill.settle(in.At, now.Prefill, kthenaCount(now.Prefill, p.margin*promptsInWork(in)/kpaUtilisation)),
		p.decode.settle(in.At, now.Decode, kthenaCount(now.Decode, p.margin*(s.DecodeRunning+s.DecodeWaiting)/(kpaUtilisation*batch))),
	}
	repaired := p.repair(want)
	why := "sums over targets"
	if repaired != want {
		why = fmt.Sprintf("sums over targets ask for %d and %d, their ratio is repaired", want.Prefill, want.Decode)
	}
	return repaired, why
}

// kthenaCount is the count for a sum of so many targets.
func kthenaCount(now int, targets float64) int {
	if math.Abs(targets-1) <= kthenaTolerance {
		return now
	}
	return ceil(targets)
}

// repair brings the ratio of prefill to decode within its bounds.
func (p *kthena) repair(c Counts) Counts {
	if c.Prefill == 0 && c.Decode == 0 {
		return c
	}
	low, high := p.startRatio/2, p.startRatio*2
	if ratio := float64(c.Prefill) / math.Max(1, float64(c.Decode)); ratio < low {
		c.Prefill = min(ceil(low*float64(c.Decode)), p.limits.prefill.Max)
		c.Decode = min(c.Decode, int(float64(c.Prefill)/low))
	} else if ratio > high {
		c.Decode = min(ceil(float64(c.Prefill)/high), p.limits.decode.Max)
		c.Prefill = min(c.Prefill, int(float64(c.Decode)*high))
	}
	return c
}
