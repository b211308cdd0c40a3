package policy

import (
	"math"
	"time"
)

// autoscaler is what Kubernetes' HorizontalPodAutoscaler does with a ratio of metric to target, with its defaults: every
// 15 s, tolerance 0.1, at most 4 pods or 100 % more at once, down to the most that was recommended in 300 s.
type autoscaler struct {
	recommended []recommendation
}

type recommendation struct {
	at       time.Duration
	replicas int
}

const (
	hpaInterval  = 15 * time.Second
	hpaWindow    = 300 * time.Second
	hpaTolerance = 0.1
)

// toward returns the next count for ready replicas whose metric is share times its target.
func (a *autoscaler) toward(at time.Duration, current, ready int, share float64) int {
	want := current
	if math.Abs(share-1) > hpaTolerance {
		want = ceil(float64(ready) * share)
		if ready < current && want > ready && want < current {
			want = current // pods that are not ready yet count as idle on the way up and stop it
		}
	}
	return a.settle(at, current, want)
}

// settle applies the limits of speed to a recommendation.
func (a *autoscaler) settle(at time.Duration, current, want int) int {
	a.recommended = append(a.recommended, recommendation{at, want})
	for len(a.recommended) > 1 && at-a.recommended[0].at > hpaWindow {
		a.recommended = a.recommended[1:]
	}
	if want >= current {
		return min(want, current+max(4, current))
	}
	for _, r := range a.recommended {
		want = max(want, r.replicas)
	}
	return min(want, current)
}

// hpaGPU scales both roles on the mean GPU_UTIL of their pods; the target is usually 60 to 80 %, and its knob divides it.
type hpaGPU struct {
	target          float64
	prefill, decode autoscaler
}

func newHPA(s *Setup) Policy { return &hpaGPU{target: 0.7 / s.knob()} }

func (p *hpaGPU) Interval() time.Duration { return hpaInterval }

func (p *hpaGPU) Decide(in *Input) (Counts, string) {
	if !in.Seen.Fresh {
		return in.Desired, "no metrics: held"
	}
	return Counts{
		p.prefill.toward(in.At, in.Desired.Prefill, in.Ready.Prefill, in.Seen.PrefillUtil/p.target),
		p.decode.toward(in.At, in.Desired.Decode, in.Ready.Decode, in.Seen.DecodeUtil/p.target),
	}, "GPU_UTIL"
}

// keda scales prefill on the depth of its queue (KEDA's NATS JetStream scaler: messages pending by lagThreshold), and decode
// on KV use, both through HPA. An HPA on an external metric with an average target wants ceil(total/target).
// The knob divides both targets.
type keda struct {
	lagThreshold, kvTarget float64
	prefill, decode        autoscaler
}

func newKEDA(s *Setup) Policy { return &keda{lagThreshold: 10 / s.knob(), kvTarget: 0.8 / s.knob()} }

func (p *keda) Interval() time.Duration { return hpaInterval }

func (p *keda) Decide(in *Input) (Counts, string) {
	if !in.Seen.Fresh {
		return in.Desired, "no metrics: held"
	}
	want := in.Desired.Prefill
	if per := ratio(in.Seen.Queued, p.lagThreshold*float64(max(1, in.Desired.Prefill))); math.Abs(per-1) > hpaTolerance {
		want = ceil(in.Seen.Queued / p.lagThreshold)
	}
	return Counts{
		p.prefill.settle(in.At, in.Desired.Prefill, max(1, want)),
		p.decode.toward(in.At, in.Desired.Decode, in.Ready.Decode, in.Seen.KVUse/p.kvTarget),
	}, "queue depth and KV use"
}
