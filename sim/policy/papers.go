package policy

import (
	"fmt"
	"time"
)

// heteroScale is HeteroScale's rule (2508.19559 and a third-party re-implementation's defaults): instances by decode tokens/s
// over a target of 0.7 of saturation, prefill by a fixed ratio, which is that of the start; nothing within 10 %; more at once
// where the time between tokens misses its objective by 20 %; cool-downs of 180 s up and 600 s down. The knob
// divides the target.
type heteroScale struct {
	profile
	every            time.Duration
	lastUp, lastDown time.Duration
	everUp, everDown bool
}

func newHeteroScale(s *Setup) Policy {
	return &heteroScale{profile: newProfile(s), every: interval(s)}
}

func (p *heteroScale) Interval() time.Duration { return p.every }

func (p *heteroScale) Decide(in *Input) (Counts, string) {
	const saturation, band, breach, more, cooldownUp, cooldownDown = 0.7, 0.1, 1.2, 1.2, 180 * time.Second, 600 * time.Second
	s := &in.Seen
	if !s.Fresh || s.OutputTokens == 0 {
		return in.Desired, "no metrics: held"
	}
	now := float64(in.Desired.Decode)
	target := saturation / p.margin * p.decodeTokensPerSecond(s.InputTokens+s.OutputTokens/2, p.tpot)
	want := s.DecodePerSecond / target
	if s.TPOTMs > breach*p.tpot {
		want = max(want, now*more)
	} else if want > now*(1-band) && want < now*(1+band) {
		return in.Desired, "within the band"
	}
	decode := max(1, ceil(want))
	switch {
	case decode > in.Desired.Decode:
		if p.everUp && in.At-p.lastUp < cooldownUp {
			return in.Desired, "cooling down"
		}
		p.everUp, p.lastUp = true, in.At
	case decode < in.Desired.Decode:
		if p.everDown && in.At-p.lastDown < cooldownDown || p.everUp && in.At-p.lastUp < cooldownDown {
			return in.Desired, "cooling down"
		}
		p.everDown, p.lastDown = true, in.At
	}
	return Counts{max(1, ceil(float64(decode)*p.startRatio)), decode}, fmt.Sprintf("%.0f tokens/s of %.0f per replica", s.DecodePerSecond, target)
}

// dopd is DOPD's balance: C sequences fit a decode replica's KV cache; n_D = ceil(n/C) for n requests at a time; and prefill
// feeds them, n_P = n_D*C*TTFT(isl)/(osl*TPOT(C, ctx)). Its code takes requests per interval for n and leaves n_D out of n_P;
// here n is the concurrency that the formula means (rate*osl*TPOT) and n_P is for all of decode. Idle for 50 s: minimum.
// The knob multiplies n.
type dopd struct {
	profile
	every time.Duration
	busy  time.Duration // when traffic was last seen
}

func newDOPD(s *Setup) Policy { return &dopd{profile: newProfile(s), every: interval(s)} }

func (p *dopd) Interval() time.Duration { return p.every }

func (p *dopd) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if s.RequestsPerSecond > 0 || !s.Fresh {
		p.busy = in.At
	}
	switch {
	case in.At-p.busy > 50*time.Second:
		return Counts{p.limits.prefill.Min, p.limits.decode.Min}, "idle"
	case !s.Fresh || s.OutputTokens == 0 || s.RequestsPerSecond == 0:
		return in.Desired, "no metrics: held"
	}
	context := s.InputTokens + s.OutputTokens/2
	c := p.batch(context, p.tpot) // KV blocks, and no more than the objective bears
	step := p.service.Decode.Decode.StepMs(c, c*context)
	decode := max(1, ceil(p.margin*s.RequestsPerSecond*s.OutputTokens*step/1000/c))
	prefill := ceil(float64(decode) * c * p.prefillMs(s.InputTokens, s.CachedShare) / (s.OutputTokens * step))
	return Counts{max(1, prefill), decode}, fmt.Sprintf("%.0f sequences per replica", c)
}

// blitzScale is BlitzScale's bands lo..hi: decode KV blocks 0.75/0.95 of the cache, prefill 0.5/0.8 of the tokens that wait
// over the tokens that a replica computes in a second. Below what hi asks for it jumps to the middle of the band; above what
// lo asks for it goes down by one. The knob multiplies the work.
type blitzScale struct {
	profile
}

func newBlitzScale(s *Setup) Policy { return &blitzScale{newProfile(s)} }

func (p *blitzScale) Interval() time.Duration { return 5 * time.Second }

func (p *blitzScale) Decide(in *Input) (Counts, string) {
	const kvLow, kvHigh, prefillLow, prefillHigh = 0.75, 0.95, 0.5, 0.8
	s := &in.Seen
	if !s.Fresh || s.InputTokens == 0 {
		return in.Desired, "no metrics: held"
	}
	band := func(now int, work, low, high float64) int {
		least, most := max(1, ceil(p.margin*work/high)), max(1, ceil(p.margin*work/low))
		switch {
		case now < least:
			return (least + most + 1) / 2
		case now > most:
			return now - 1
		}
		return now
	}
	blocks := (s.KVTokens + s.DecodeWaiting*s.InputTokens) / p.service.Decode.KVCapacityTokens
	waiting := (s.QueuedTokens + s.PromptPerSecond) / p.prefillTokensPerSecond(s.InputTokens, s.CachedShare)
	return Counts{band(in.Desired.Prefill, waiting, prefillLow, prefillHigh), band(in.Desired.Decode, blocks, kvLow, kvHigh)}, "bands"
}

// wva is llm-d's workload variant autoscaler, saturation analyser 2, in KV tokens per decode replica and, for prefill, in
// prompt tokens at the batch that its queue bears; both roles go through HPA.
//
//	capacity = min(0.80*KV, N*(I+O/2)), N = min(max batched tokens*O/(I+O), max sequences)
//	demand   = in use + waiting*(I+O) for decode, (queued + in work)*I for prefill
//	up       by (demand/0.85 - capacity of all)/capacity, down by (capacity of all - demand/0.70)/capacity
//
// The knob multiplies the demand.
type wva struct {
	profile
	prefill, decode autoscaler
}

func newWVA(s *Setup) Policy { return &wva{profile: newProfile(s)} }

func (p *wva) Interval() time.Duration { return hpaInterval }

func (p *wva) Decide(in *Input) (Counts, string) {
	const scaleUp, scaleDown, kvShare, maxBatchedTokens = 0.85, 0.70, 0.80, 8192.0
	s := &in.Seen
	if !s.Fresh || s.OutputTokens == 0 {
		return in.Desired, "no live analyser: never down"
	}
	sequences := float64(max(p.service.MaxSequences, 256))
	step := func(now int, demand, capacity float64) int {
		have := float64(now) * capacity
		demand *= p.margin
		switch {
		case demand/scaleUp > have:
			return now + ceil((demand/scaleUp-have)/capacity)
		case have > demand/scaleDown:
			return max(1, now-int((have-demand/scaleDown)/capacity))
		}
		return now
	}
	n := min(maxBatchedTokens*s.OutputTokens/(s.InputTokens+s.OutputTokens), sequences)
	decodeCapacity := min(kvShare*p.service.Decode.KVCapacityTokens, n*(s.InputTokens+s.OutputTokens/2))
	decode := step(in.Desired.Decode, s.KVTokens+s.DecodeWaiting*(s.InputTokens+s.OutputTokens), decodeCapacity)
	// What prefill has in work is what arrives in the time of a prompt.
	inWork := s.PromptPerSecond * p.prefillMs(s.InputTokens, s.CachedShare) / 1000
	prefill := step(in.Desired.Prefill, s.QueuedTokens+inWork, min(kvShare*p.service.Prefill.KVCapacityTokens, maxBatchedTokens))
	return Counts{p.prefill.settle(in.At, in.Desired.Prefill, prefill), p.decode.settle(in.At, in.Desired.Decode, decode)}, "saturation"
}
