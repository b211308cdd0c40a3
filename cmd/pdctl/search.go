package main

import (
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// maxReplicas is the most replicas of a role that are looked at, the planner's own limit.
const maxReplicas = 4096

// plan finds the cheapest counts, or the best ones where none hold.
func (o *planOptions) plan(s capacity.Service) (*plan, error) {
	prefill, decode, ok := o.cheapest(s)
	if ok && (o.maxGPUs == 0 || prefill*o.prefillTP+decode*o.decodeTP <= o.maxGPUs) {
		p := &plan{Meets: true, Prefill: prefill, Decode: decode, Binding: "minimum"}
		p.describe(s, o)
		if p.NextCheaper = o.nextCheaper(s, prefill, decode); p.NextCheaper != nil {
			p.Binding = p.NextCheaper.Breaks
		}
		return p, nil
	}
	return o.nearest(s)
}

// cheapest finds the fewest GPUs that hold both objectives. Decode does not depend on prefill. Where TTFT ends at
// decode, the handover takes a part of it that shrinks as decode grows: then more decode may save prefill.
func (o *planOptions) cheapest(s capacity.Service) (prefill, decode int, ok bool) {
	t := o.traffic()
	least, ok := s.DecodeReplicas(t, o.tpot.Objective, maxReplicas)
	if !ok {
		return 0, 0, false
	}
	if s.TTFTEndsAt != capacity.EndsAtDecode {
		prefill, ok = s.PrefillReplicas(t, o.ttft.Objective, maxReplicas)
		return prefill, least, ok
	}
	best := math.MaxInt
	for d := least; d <= maxReplicas && d*o.decodeTP+o.prefillTP < best; d++ {
		rest := o.ttft.Objective
		rest.Ms -= s.DecodePool(d, t).HandoverMs()
		n, holds := s.PrefillReplicas(t, rest, maxReplicas)
		if gpus := n*o.prefillTP + d*o.decodeTP; holds && gpus < best {
			prefill, decode, best = n, d, gpus
		}
	}
	return prefill, decode, best < math.MaxInt
}

// ttftMs is the TTFT quantile, handover included where it ends at decode.
func ttftMs(s capacity.Service, prefill int, decode capacity.DecodePool, t capacity.Traffic, q float64) float64 {
	ms := s.PrefillPool(prefill, t).TTFTQuantileMs(q)
	if s.TTFTEndsAt == capacity.EndsAtDecode {
		ms += decode.HandoverMs()
	}
	return ms
}

// nextCheaper takes one replica away, from the role where that saves the fewest GPUs and, between equals, breaks its
// objective by less.
func (o *planOptions) nextCheaper(s capacity.Service, prefill, decode int) *cheaper {
	t := o.traffic()
	var best *cheaper
	bestRatio := math.Inf(1)
	for _, fewer := range [][2]int{{prefill - 1, decode}, {prefill, decode - 1}} {
		p, d := fewer[0], fewer[1]
		if p < 1 || d < 1 {
			continue
		}
		pool := s.DecodePool(d, t)
		ttft, tpot := ttftMs(s, p, pool, t, o.ttft.Quantile), pool.TPOTQuantileMs(o.tpot.Quantile)
		c := &cheaper{Prefill: p, Decode: d, GPUs: p*o.prefillTP + d*o.decodeTP, Breaks: "ttft", PredictedMs: finite(ttft)}
		ratio := ttft / o.ttft.Ms
		if r := tpot / o.tpot.Ms; r > ratio || math.IsInf(tpot, 1) && d < decode {
			c.Breaks, c.PredictedMs, ratio = "tpot", finite(tpot), r
		}
		if best == nil || c.GPUs > best.GPUs || c.GPUs == best.GPUs && ratio < bestRatio {
			best, bestRatio = c, ratio
		}
	}
	return best
}

// nearest asks the planner what it would do for a service with nothing running: where no counts hold both objectives, its
// rule for the best ones is the only one there should be.
func (o *planOptions) nearest(s capacity.Service) (*plan, error) {
	d, _ := planner.Plan(o.asInput(s))
	p := &plan{Prefill: d.Prefill.To, Decode: d.Decode.To, Binding: "max-gpus"}
	if o.maxGPUs == 0 {
		p.Binding = "unattainable"
	}
	for _, n := range d.Notes {
		switch n.Reason {
		case planner.ReasonUnattainable:
			p.Binding = "unattainable"
			p.Why = append(p.Why, n.Message)
		case planner.ReasonCannotMeet:
			p.Why = append(p.Why, n.Message)
		case planner.ReasonInvalidSpec:
			return nil, usageError("%s", n.Message)
		}
	}
	if len(p.Why) == 0 {
		p.Why = []string{"no counts within the limits hold both objectives"}
	}
	p.describe(s, o)
	return p, nil
}

// asInput is a planner's input with nothing running, whose demand is known.
func (o *planOptions) asInput(s capacity.Service) planner.Input {
	now := time.Unix(0, 0).UTC()
	const source = "--rate, --input and --output"
	t := o.traffic()
	known := func(v float64) planner.Reading { return planner.Known(v, now, source) }
	role := func(tp int) planner.RoleSpec { return planner.RoleSpec{Min: 1, Max: maxReplicas, GPUsPerReplica: tp} }
	return planner.Input{
		Now: now,
		Spec: planner.Spec{
			Prefill: role(o.prefillTP), Decode: role(o.decodeTP), Service: s,
			TTFT: o.ttft.Objective, TPOT: o.tpot.Objective, BudgetGPUs: o.maxGPUs,
			// With nothing running no window and no timeout plays a part; they must only be valid.
			Behavior: planner.Behavior{IntervalSeconds: 1, MaxAgeSeconds: 1, StartTimeoutSeconds: 1},
		},
		Snapshot: planner.Snapshot{
			Signals: planner.Signals{
				RequestsPerSecond: known(t.RequestsPerSecond), ArrivalSCV: known(t.ArrivalSCV),
				InputTokens: known(t.Input.Mean), InputSCV: known(t.Input.SCV),
				OutputTokens: known(t.Output.Mean), OutputSCV: known(t.Output.SCV), CachedShare: known(t.CachedShare),
			},
			Prefill: planner.Pool{GPUsPerReplica: o.prefillTP}, Decode: planner.Pool{GPUsPerReplica: o.decodeTP},
		},
	}
}
