package signals

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Reading is one thing that was read, by its name: what the planner decides
// from is in planner.Signals, and this is what else a person wants to see.
type Reading struct {
	// Name says what it is, Role of whom (empty for the service), Unit in what.
	Name string `json:"name"`
	Role Kind   `json:"role,omitempty"`
	Unit string `json:"unit"`
	planner.Reading
}

// Names of readings besides the planner's.
const (
	PromptTokensPerSecond    = "prompt tokens per second"
	GeneratedTokensPerSecond = "generated tokens per second"
	QueueTimeMs              = "mean time in the engine's queue"
	RequestsRunning          = "requests running"
	KVUse                    = "share of the KV cache in use"
	HeldForDecode            = "requests that wait for decode before prefill"
	HandOver                 = "requests computed and not yet handed over"
	Allocating               = "requests that wait for room in the KV cache"
	Arriving                 = "requests whose KV cache is on its way"
	KVTransferMs             = "mean time of a KV cache transfer"
	KVTransfersFailed        = "KV cache transfers that failed per second"
	QueueTokens              = "uncached prompt tokens that wait for prefill"
	Unacknowledged           = "messages delivered and not acknowledged"
	Registered               = "workers registered in etcd"
	RequestsRejected         = "requests turned away per second"
)

// Readings returns what the latest collection read besides planner.Signals,
// those that nothing told included, with the cause.
func (c *Collector) Readings() []Reading { return c.readings }

// others works these readings out.
func (c *Collector) others(v *view, s *planner.Signals) []Reading {
	milli := func(kind Kind, what quantity, perUnit float64) planner.Reading {
		all, at, name := v.observed(kind, what)
		switch {
		case all == nil || at.IsZero():
			return planner.Unknown(v.sinceWhen(kind, what))
		case all.count == 0:
			return planner.Unknown("there was none in the window")
		}
		return reading(all.mean()*perUnit, at, name)
	}
	transfer := milli(KindPrefill, kvTransferTime, v.millisecondsOf(kvTransferTime))
	if !transfer.Ok() {
		if values, at, pods, _ := v.gauges(KindPrefill, kvTransferMs); pods > 0 {
			transfer = reading(mean(values), at, "the latest transfer of "+count(pods, KindPrefill))
		}
	}
	out := []Reading{
		{PromptTokensPerSecond, KindPrefill, "tokens/s", v.growth(KindPrefill, promptTokens)},
		{GeneratedTokensPerSecond, KindDecode, "tokens/s", v.growth(KindDecode, generatedTokens)},
		{QueueTimeMs, KindPrefill, "ms", milli(KindPrefill, queueTime, 1000)},
		{QueueTimeMs, KindDecode, "ms", milli(KindDecode, queueTime, 1000)},
		{RequestsRunning, KindPrefill, "requests", v.sum(KindPrefill, requestsRunning)},
		{KVUse, KindPrefill, "share", v.average(KindPrefill, kvUse)},
		{HeldForDecode, KindPrefill, "requests", v.sum(KindPrefill, kvHandshake)},
		{HandOver, KindPrefill, "requests", v.sum(KindPrefill, kvHandedOver)},
		{Allocating, KindDecode, "requests", v.sum(KindDecode, kvAllocating)},
		{Arriving, KindDecode, "requests", v.sum(KindDecode, kvArriving)},
		{KVTransferMs, KindPrefill, "ms", transfer},
		{KVTransfersFailed, KindPrefill, "transfers/s", v.growth(KindPrefill, kvTransferFailed)},
		{QueueTokens, KindPrefill, "tokens", Backlog(s)},
	}
	out = append(out, v.rejected()...)
	if c.queue != nil {
		out = append(out, Reading{Unacknowledged, KindPrefill, "messages", c.queue.unacknowledged(v.queueErr)})
	}
	if c.etcd != nil {
		out = append(out, Reading{Registered, KindPrefill, "workers", c.etcd.prefill}, Reading{Registered, KindDecode, "workers", c.etcd.decode})
	}
	return out
}

// Backlog is the work before prefill in prompt tokens: what waits, times the
// mean prompt less what is found in the prefix cache. Requests are unequal: their
// number alone says little of the work. It is unknown where the number or the length
// is; a share of cached tokens that is unknown is taken for none, which is the most work that it can be.
func Backlog(s *planner.Signals) planner.Reading {
	switch {
	case !s.PrefillWaiting.Ok():
		return s.PrefillWaiting
	case s.PrefillWaiting.Or(0) == 0:
		return planner.Zero(s.PrefillWaiting.At, s.PrefillWaiting.Source)
	case !s.InputTokens.Ok():
		return s.InputTokens
	}
	tokens := s.PrefillWaiting.Or(0) * s.InputTokens.Or(0) * (1 - min(1, s.CachedShare.Or(0)))
	return reading(tokens, older(s.PrefillWaiting.At, s.InputTokens.At), s.PrefillWaiting.Source)
}

// BacklogSeconds is the same in seconds of work: how long replicas that compute
// so many tokens per second each need for it.
func BacklogSeconds(tokens planner.Reading, tokensPerSecond float64, replicas int) planner.Reading {
	switch {
	case !tokens.Ok() || tokens.Or(0) == 0:
		return tokens
	case replicas < 1 || !(tokensPerSecond > 0):
		return planner.Unknown("no replica works on it")
	}
	return planner.Known(tokens.Or(0)/tokensPerSecond/float64(replicas), tokens.At, tokens.Source)
}

// growth is how fast a counter grew over the window, summed over the pods of a
// kind. Where ready pods gave nothing it is at least that much.
func (v *view) growth(kind Kind, what quantity) planner.Reading {
	perSecond, pods, missing := 0.0, 0, 0
	var at time.Time
	for _, p := range of(v.listed, kind) {
		base, last := p.span(what, v.cfg.Window)
		if base == nil || !v.fresh(last.at) || last.at.Sub(base.at) < v.shortest() {
			if p.target.Ready {
				missing++
			}
			continue
		}
		pods++
		at = older(at, last.at)
		perSecond += (last.tally(what).grown - base.tally(what).grown) / last.at.Sub(base.at).Seconds()
	}
	switch {
	case pods == 0:
		return planner.Unknown(v.sinceWhen(kind, what))
	case missing == 0:
		return reading(perSecond, at, count(pods, kind))
	case perSecond == 0:
		return planner.Unknown("the pods that tell had none, and others do not tell")
	}
	return planner.Known(perSecond, at, atLeast(count(pods, kind)))
}

// average is the mean of a gauge over the engines that answered.
func (v *view) average(kind Kind, what quantity) planner.Reading {
	values, at, pods, _ := v.gauges(kind, what)
	if pods == 0 {
		return planner.Unknown(v.cause(kind, what))
	}
	return reading(mean(values), at, count(pods, kind))
}

// millisecondsOf is how many milliseconds the unit of a quantity has, as the
// prefill pods' vocabulary has it.
func (v *view) millisecondsOf(what quantity) float64 {
	for _, p := range of(v.listed, KindPrefill) {
		if p.words == nil {
			continue
		}
		for _, w := range p.words.words {
			if w.what == what {
				if w.unit == "seconds" {
					return 1000
				}
				return 1
			}
		}
	}
	return 1
}
