package policy

import (
	"math"
	"time"
)

// kpa is Knative's autoscaler, one for each role:
//
//	d_s = ceil(concurrency over 60 s/target), d_p = ceil(concurrency over 6 s/target)
//
// each within [floor(ready/2), ceil(1000*ready)]. It panics where d_p is twice what is ready: the larger of both counts then, it
// never goes down, and it calms when a whole stable window has passed below that. It starts in panic where more than one
// replica is ready. Without metrics it decides nothing. Every 2 s.
//
// Concurrency is prompts queued and computed for prefill, and sequences running and waiting for decode. Its target is Knative's
// 70 % of what a replica takes at once: one prompt, or the largest batch within the TPOT objective. The knob divides it.
type kpa struct {
	profile
	prefill, decode panicking
}

const (
	kpaInterval    = 2 * time.Second
	kpaStable      = 60 * time.Second
	kpaPanic       = 6 * time.Second // 10 % of it
	kpaUtilisation = 0.7
	kpaThreshold   = 2
	kpaMaxUp       = 1000
	kpaMaxDown     = 2
)

func newKPA(s *Setup) Policy { return &kpa{profile: newProfile(s)} }

func (p *kpa) Interval() time.Duration { return kpaInterval }

func (p *kpa) Decide(in *Input) (Counts, string) {
	s := &in.Seen
	if !s.Fresh || s.InputTokens == 0 {
		return in.Desired, "no metrics: no decision"
	}
	batch := p.batch(s.InputTokens+s.OutputTokens/2, p.tpot)
	return Counts{
		p.prefill.next(in.At, in.Ready.Prefill, p.margin*promptsInWork(in)/kpaUtilisation),
		p.decode.next(in.At, in.Ready.Decode, p.margin*(s.DecodeRunning+s.DecodeWaiting)/(kpaUtilisation*batch)),
	}, "concurrency"
}

// promptsInWork is the prompts that are queued and those being computed, one to each replica that is busy.
func promptsInWork(in *Input) float64 {
	return in.Seen.Queued + in.Seen.PrefillUtil*float64(in.Ready.Prefill)
}

// panicking is one role's autoscaler. Concurrency is given in targets.
type panicking struct {
	seen     []concurrency
	begun    bool
	inPanic  bool
	lastOver time.Duration
	most     int
}

type concurrency struct {
	at      time.Duration
	targets float64
}

func (p *panicking) next(at time.Duration, ready int, targets float64) int {
	p.seen = append(p.seen, concurrency{at, targets})
	for p.seen[0].at <= at-kpaStable {
		p.seen = p.seen[1:]
	}
	if !p.begun {
		p.begun, p.inPanic, p.lastOver, p.most = true, ready > 1, at, ready
	}
	have := max(1, ready)
	within := func(n int) int { return min(max(n, int(math.Floor(float64(ready)/kpaMaxDown))), kpaMaxUp*have) }
	stable, sudden := ceil(p.mean(at-kpaStable)), ceil(p.mean(at-kpaPanic))
	switch over := float64(sudden)/float64(have) >= kpaThreshold; {
	case over && !p.inPanic:
		p.inPanic, p.lastOver, p.most = true, at, 0
	case over:
		p.lastOver = at
	case p.inPanic && at-p.lastOver >= kpaStable:
		p.inPanic = false
	}
	if !p.inPanic {
		return within(stable)
	}
	p.most = max(p.most, within(stable), within(sudden))
	return p.most
}

// mean is the mean of what was seen after a moment.
func (p *panicking) mean(after time.Duration) float64 {
	sum, n := 0.0, 0.0
	for _, s := range p.seen {
		if s.at > after {
			sum, n = sum+s.targets, n+1
		}
	}
	return sum / max(n, 1)
}
