package signals

import (
	"cmp"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Intervals are what the prefill and the decode engines showed between the
// collection before and the latest, for the model of the replicas to be
// corrected by. Only pods that were ready and read at both count. Where there
// is none, or something speaks against what they show, the interval says why.
func (c *Collector) Intervals() (prefill, decode calibrate.Interval) { return c.prefill, c.decode }

// standing is where a pod stood at the end of an interval.
type standing struct {
	at     time.Time
	point  point
	gauges map[quantity]float64
}

// intervals ends one interval of both roles and begins the next.
func (v *view) intervals(s *planner.Signals, partial bool) (prefill, decode calibrate.Interval) {
	var lengths *buckets
	prefill = v.interval(KindPrefill, prefillTime, func(i *calibrate.Interval, g growth) calibrate.Refusal {
		shape, why := g.prefill(i)
		if shape != nil && shape.count > 0 { // of a pod without a prompt it may have no bounds, and would take those of the others away
			lengths = lengths.plus(shape)
		}
		return why
	})
	decode = v.interval(KindDecode, tokenGap, func(i *calibrate.Interval, g growth) calibrate.Refusal { return g.decode(i) })
	const fewestForShape = 20 // the variation over a window is surer than that of fewer
	prefill.LengthSCV = s.InputSCV.Or(1)
	if lengths != nil && lengths.count >= fewestForShape {
		if scv := lengths.scv(); scv >= 0 { // else they contradict themselves
			prefill.LengthSCV = scv
		}
	}
	decode.InputTokens, decode.OutputTokens, decode.OutputSCV = s.InputTokens.Or(0), s.OutputTokens.Or(0), s.OutputSCV.Or(1)
	if partial {
		prefill.Doubt, decode.Doubt = calibrate.RefusedUnread, calibrate.RefusedUnread
	}
	return prefill, decode
}

// interval sums up the growth of one role's pods. The quantity is the one without which nothing is known.
func (v *view) interval(kind Kind, needed quantity, add func(*calibrate.Interval, growth) calibrate.Refusal) (i calibrate.Interval) {
	doubts := map[calibrate.Refusal]bool{}
	for _, p := range of(v.listed, kind) {
		g, why := p.grew(needed, v)
		if why == "" {
			why = add(&i, g)
		}
		if why != "" {
			doubts[why] = true
			continue
		}
		i.Replicas++
		i.Seconds += g.seconds
	}
	// What makes all of the role doubtful counts whatever the others show; of pods that tell nothing the others are still true.
	for _, why := range []calibrate.Refusal{calibrate.RefusedMixed, calibrate.RefusedSpeculative, calibrate.RefusedTogether} {
		if doubts[why] {
			i.Doubt = cmp.Or(i.Doubt, why)
		}
	}
	if i.Replicas > 0 {
		i.Seconds /= i.Replicas
		return i
	}
	for _, why := range []calibrate.Refusal{calibrate.RefusedReset, calibrate.RefusedContradictory, calibrate.RefusedNotExported, calibrate.RefusedStale, calibrate.RefusedUnread} {
		if doubts[why] {
			i.Doubt = cmp.Or(i.Doubt, why)
		}
	}
	i.Doubt = cmp.Or(i.Doubt, calibrate.RefusedUnread)
	return i
}

// growth is what one pod's counters grew by from one standing to the next.
type growth struct {
	was, now standing
	words    *vocabulary
	seconds  float64
}

// grew ends the pod's interval, or says why it has none.
func (p *pod) grew(needed quantity, v *view) (growth, calibrate.Refusal) {
	if !p.target.Ready || !p.spoke || p.words == nil || len(p.points) == 0 {
		p.shown = standing{}
		return growth{}, calibrate.RefusedUnread
	}
	now := standing{at: p.latest.at, point: p.points[len(p.points)-1], gauges: map[quantity]float64{}}
	for what, m := range p.latest.measured {
		if len(m.series) > 0 && m.series[0].hist == nil {
			now.gauges[what] = m.total()
		}
	}
	was := p.shown
	switch {
	case !v.fresh(now.at), !was.at.IsZero() && !now.at.After(was.at):
		return growth{}, calibrate.RefusedStale // the next page ends the interval
	case len(p.gaugesOf(requestsRunning)) > 1:
		p.shown = now
		return growth{}, calibrate.RefusedMixed // several engines in a pod are not the model's one replica
	}
	p.shown = now
	switch {
	case was.at.IsZero():
		return growth{}, calibrate.RefusedUnread
	case p.fell.After(was.at):
		return growth{}, calibrate.RefusedReset
	case now.point.tally(needed).name == "" && !p.words.lazy:
		return growth{}, calibrate.RefusedNotExported
	case was.point.tally(needed).name != now.point.tally(needed).name:
		return growth{}, calibrate.RefusedUnread // it came up on the page just now, or changed its name
	}
	return growth{was, now, p.words, now.at.Sub(was.at).Seconds()}, ""
}

// shape is what a histogram observed, empty where it is not there.
func (g growth) shape(what quantity) *buckets {
	before, after := g.was.point.tally(what), g.now.point.tally(what)
	if before.shape == nil || after.shape == nil || before.name != after.name {
		return &buckets{}
	}
	if since, ok := after.shape.minus(before.shape.at(after.shape.bounds)); ok {
		return since
	}
	return &buckets{}
}

// counter is what a counter grew by, and whether it is there. A lazy one that is not is zero.
func (g growth) counter(what quantity) (by float64, known bool) {
	before, after := g.was.point.tally(what), g.now.point.tally(what)
	if before.name == "" || before.name != after.name {
		return 0, g.words.lazy && after.name == ""
	}
	return after.grown - before.grown, true
}

// gauge is the mean of a gauge at both ends.
func (g growth) gauge(what quantity) float64 { return (g.was.gauges[what] + g.now.gauges[what]) / 2 }

// prefill adds a pod's prompts, and returns their lengths.
func (g growth) prefill(i *calibrate.Interval) (lengths *buckets, why calibrate.Refusal) {
	times := g.shape(prefillTime)
	lengths = g.shape(inputTokens)
	tokens := lengths.sum
	if lengths.count != times.count { // not of the same prompts
		lengths = nil
		by, known := g.counter(promptTokens)
		if tokens = by; !known {
			return nil, calibrate.RefusedNotExported
		}
	}
	if g.shape(prefillChunks).count > 0 {
		return nil, calibrate.RefusedTogether
	}
	cached, known := g.counter(cacheHits)
	switch computed := g.shape(computedTokens); {
	case computed.count == times.count && times.count > 0 && computed.sum <= tokens:
		cached = tokens - computed.sum
	case !known:
		return nil, calibrate.RefusedNotExported // reused prompts would pass for a fast replica
	}
	generated, _ := g.counter(generatedTokens)
	i.Prompts += times.count
	i.PrefillSeconds += times.sum
	i.PromptTokens += tokens
	i.CachedTokens += min(cached, tokens)
	i.GeneratedTokens += generated
	i.MostRunning = max(i.MostRunning, g.was.gauges[requestsRunning], g.now.gauges[requestsRunning])
	// SGLang counts a prompt that is being computed in no gauge.
	i.Batches = i.Batches || g.words == sglangPrefill
	return lengths, ""
}

// decode adds a pod's token gaps.
func (g growth) decode(i *calibrate.Interval) calibrate.Refusal {
	if by, _ := g.counter(drafts); by > 0 || g.now.gauges[draftLength] > 1 {
		return calibrate.RefusedSpeculative
	}
	gaps := g.shape(tokenGap)
	late := 0.0
	if gaps.count > 0 {
		late = gaps.above(calibrate.LateGap * gaps.mean())
	}
	if i.Gaps+gaps.count > 0 {
		i.LateShare = (i.LateShare*i.Gaps + late) / (i.Gaps + gaps.count)
	}
	i.Gaps += gaps.count
	i.GapSeconds += gaps.sum
	i.Running += g.gauge(requestsRunning)
	i.HeldShares += g.gauge(kvUse)
	i.ContextTokens += g.gauge(contextTokens)
	i.KVUseMax = max(i.KVUseMax, g.was.gauges[kvUse], g.now.gauges[kvUse])
	return ""
}

// above is how many observations are above a value for sure: those above the
// first bound that is not below it.
func (b *buckets) above(value float64) float64 {
	i, _ := slices.BinarySearch(b.bounds, value)
	if i == len(b.bounds) {
		return 0
	}
	return b.count - b.upTo[i]
}
