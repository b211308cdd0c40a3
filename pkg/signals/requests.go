package signals

import (
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// observed returns all that the pods of one kind observed of a histogram over
// the window, summed bucket by bucket, and when the window ended. Pods that
// export it under different names measured different things: the name that most pods use is taken.
func (v *view) observed(kind Kind, what quantity) (all *buckets, at time.Time, name string) {
	type part struct {
		name  string
		shape *buckets
		at    time.Time
	}
	var parts []part
	pods := map[string]int{}
	take := func(p *pod, listed bool) {
		base, last := p.span(what, v.cfg.Window)
		if base == nil || !v.fresh(last.at) {
			return
		}
		was, is := base.tally(what), last.tally(what)
		since, ok := is.shape.minus(was.shape.at(is.shape.bounds))
		if !ok {
			return
		}
		one := part{name: is.name, shape: since}
		if listed {
			one.at = last.at
		}
		parts = append(parts, one)
		pods[one.name]++
	}
	for _, p := range of(v.listed, kind) {
		take(p, true)
	}
	for _, p := range of(v.gone, kind) {
		take(p, false)
	}
	for _, s := range readerOf(v.cfg.Engine, kind).spellings(what) {
		if pods[s.metric] > pods[name] {
			name = s.metric
		}
	}
	for _, one := range parts {
		if one.name == name {
			all = all.plus(one.shape)
			if !one.at.IsZero() {
				at = older(at, one.at)
			}
		}
	}
	return all, at, name
}

// latency is a quantile of a latency over the window, as the client saw it: at
// the frontends where there are any, else at the given role.
func (v *view) latency(what quantity, percentile float64, role Kind) planner.Quantile {
	kind := role
	if v.hasFrontend() {
		kind = KindFrontend
	}
	unknown := func(why string) planner.Quantile {
		return planner.Quantile{Reading: planner.Unknown(why), Percentile: percentile}
	}
	all, at, name := v.observed(kind, what)
	switch {
	case all == nil || at.IsZero():
		return unknown(v.sinceWhen(kind, what))
	case all.count == 0:
		return unknown("no request finished in the window")
	}
	const msPerSecond = 1000
	scale, source := float64(msPerSecond), name
	if perStep := v.tokensPerStep(kind, what, name); perStep > 1 {
		scale, source = scale/perStep, fmt.Sprintf("%s by %.2f tokens per step", name, perStep)
	}
	e := all.quantile(percentile)
	return planner.Quantile{
		Reading:    reading(e.value*scale, at, source),
		Percentile: percentile,
		LowMs:      e.low * scale,
		HighMs:     e.high * scale,
		MeanMs:     all.mean() * scale,
	}
}

// tokensPerStep is how many tokens an engine step made for a sequence over the
// window, where the name's observations are of steps: one, and with
// speculative decoding those of its draft that were accepted.
func (v *view) tokensPerStep(kind Kind, what quantity, name string) float64 {
	for _, p := range of(v.listed, kind) {
		if p.words == nil {
			continue
		}
		for _, w := range p.words.words {
			if w.what == what && w.perStep == name {
				return 1 + v.ratio(kind, draftsAccepted, drafts).Or(0)
			}
		}
	}
	return 1
}

// sinceWhen says why there is no growth of a quantity: nobody exports it, or
// its exporters were read only once.
func (v *view) sinceWhen(kind Kind, what quantity) string {
	for _, p := range of(v.listed, kind) {
		if last := p.last(what); last != nil && v.fresh(last.at) {
			return p.name() + " was read only once: growth needs two samples"
		}
	}
	return v.cause(kind, what)
}

// knownLengths are the mean and the squared coefficient of variation of a quantity over requests.
type knownLengths struct{ mean, scv planner.Reading }

// fewestForSCV is how many requests an estimate of the variation of their lengths
// takes. From fewer, one long prompt among short ones makes the service look as
// if it needed twice the replicas; unknown, it is taken for an exponential's.
const fewestForSCV = 100

// lengths are those of the requests that finished in the window, from the
// frontends, or from the given role where no frontend tells. Both are averages
// over requests, so a role that saw only a part of them still tells.
func (v *view) lengths(what quantity, role Kind) knownLengths {
	kinds := []Kind{role}
	sums := map[quantity]quantity{inputTokens: promptTokens, outputTokens: generatedTokens}
	if v.hasFrontend() {
		kinds = []Kind{KindFrontend, role}
	}
	why := ""
	for _, kind := range kinds {
		all, at, name := v.observed(kind, what)
		switch {
		case all != nil && !at.IsZero() && all.count > 0:
			k := knownLengths{reading(all.mean(), at, name), planner.Unknown(fmt.Sprintf("%.0f requests are too few to tell how much lengths vary", all.count))}
			if scv := all.scv(); scv >= 0 && all.count >= fewestForSCV {
				k.scv = reading(scv, at, name)
			}
			return k
		}
		if mean := v.ratio(kind, sums[what], requestsFinished); mean.Ok() {
			return knownLengths{mean, planner.Unknown("only the sum of lengths is exported, and not how much they vary")}
		}
		switch {
		case why != "":
		case all != nil && !at.IsZero():
			why = "no request finished in the window"
		default:
			why = v.sinceWhen(kind, what)
		}
	}
	return knownLengths{planner.Unknown(why), planner.Unknown(why)}
}

// ratio is the growth of one counter by that of another over the window,
// summed over the pods of a kind that tell both.
func (v *view) ratio(kind Kind, part, whole quantity) planner.Reading {
	var parts, wholes float64
	var at time.Time
	for _, p := range of(v.listed, kind) {
		base, last := p.span(whole, v.cfg.Window)
		if base == nil || !v.fresh(last.at) || base.tally(part).name == "" || base.tally(part).name != last.tally(part).name {
			continue
		}
		wholes += last.tally(whole).grown - base.tally(whole).grown
		parts += last.tally(part).grown - base.tally(part).grown
		at = older(at, last.at)
	}
	switch {
	case at.IsZero():
		return planner.Unknown(v.sinceWhen(kind, part))
	case wholes == 0:
		return planner.Unknown(fmt.Sprintf("%s did not grow in the window", whole))
	}
	return reading(parts/wholes, at, string(kind)+" pods")
}

// cachedShare is the share of prompt tokens that prefill pods found in their
// prefix caches: as their counters say, else as the frontends count it, else the
// pods' own average.
func (v *view) cachedShare() planner.Reading {
	first := planner.Unknown("")
	for _, lookups := range []quantity{cacheLookups, promptTokens} {
		r := v.ratio(KindPrefill, cacheHits, lookups)
		switch {
		case r.Or(0) > 1:
			return planner.Unknown("more tokens were found in the prefix cache than were looked up")
		case r.Ok():
			return r
		case first.Why == "":
			first = r
		}
	}
	if v.hasFrontend() {
		cached, at, _ := v.observed(KindFrontend, cachedTokens)
		prompts, _, _ := v.observed(KindFrontend, inputTokens)
		if cached != nil && prompts != nil && prompts.sum > 0 && cached.sum <= prompts.sum && !at.IsZero() {
			return reading(cached.sum/prompts.sum, at, count(len(of(v.listed, KindFrontend)), KindFrontend))
		}
	}
	if values, at, _, _ := v.gauges(KindPrefill, cacheHitShare); len(values) > 0 {
		return reading(mean(values), at, string(KindPrefill)+" pods' own average")
	}
	return first
}

func mean(values []float64) float64 {
	total := 0.0
	for _, x := range values {
		total += x
	}
	return total / float64(len(values))
}

// remember returns lengths, or the last known ones while they are younger than
// the maximum age: what requests look like changes more slowly than how many come.
func (c *Collector) remember(what quantity, now time.Time, read func() knownLengths) (mean, scv planner.Reading) {
	k := read()
	if k.mean.Ok() {
		c.lengths[what] = k
		return k.mean, k.scv
	}
	if last, ok := c.lengths[what]; ok && now.Sub(last.mean.At) <= c.cfg.MaxAge {
		return last.mean, last.scv
	}
	return k.mean, k.scv
}
