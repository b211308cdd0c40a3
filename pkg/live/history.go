package live

import (
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Samples is how many rounds are kept of each PDAutoscaler: an hour at an interval of 10 s.
const Samples = 360

// sample is the numbers of one round, small because there are many. NaN is what is not known.
type sample struct {
	at                      time.Time
	requests, input, output float32
	prefill, decode         roleSample
	ttft, tpot              latencySample
	moving                  bool
}

type roleSample struct {
	seen                                  bool
	desired, ready, starting, terminating int32
	readyGPUs, startingGPUs, drainingGPUs int32 // a budget may be of more GPUs than 16 bits count
	load, waiting                         float32
}

type latencySample struct{ observed, predicted float32 }

func sampleOf(r *Round) sample {
	role := func(of *Role) roleSample {
		return roleSample{
			seen: of.Seen, desired: small(of.Desired), ready: small(of.Ready), starting: small(of.Starting), terminating: small(of.Terminating),
			readyGPUs: small(of.ReadyGPUs), startingGPUs: small(of.StartingGPUs), drainingGPUs: small(of.TerminatingGPUs),
			load: orNaN(of.Load), waiting: orNaN(of.Waiting),
		}
	}
	return sample{
		at: r.At, requests: orNaN(r.RequestsPerSecond), input: orNaN(r.InputTokensPerSecond), output: orNaN(r.OutputTokensPerSecond),
		prefill: role(&r.Prefill), decode: role(&r.Decode), moving: r.Moving,
		ttft: latencySample{orNaN(r.TTFT.ObservedMs), orNaN(r.TTFT.PredictedMs)},
		tpot: latencySample{orNaN(r.TPOT.ObservedMs), orNaN(r.TPOT.PredictedMs)},
	}
}

func (s *sample) of(role planner.Role) *roleSample {
	if role == planner.Decode {
		return &s.decode
	}
	return &s.prefill
}

func orNaN(v *float64) float32 {
	if v == nil || math.IsInf(*v, 0) {
		return float32(math.NaN())
	}
	return float32(*v)
}

// small keeps room for sums of a few.
func small(n int) int32 { return int32(min(max(n, 0), math.MaxInt32/8)) }

// last keeps the newest of a bounded number of things, oldest first.
type last[T any] struct {
	all  []T
	next int // where the next one goes once it is full
	size int
}

func (l *last[T]) add(v T) {
	if len(l.all) < l.size {
		l.all = append(l.all, v)
		return
	}
	l.all[l.next] = v
	l.next = (l.next + 1) % l.size
}

// copied returns them, oldest first.
func (l *last[T]) copied() []T {
	out := make([]T, 0, len(l.all))
	return append(append(out, l.all[l.next:]...), l.all[:l.next]...)
}
