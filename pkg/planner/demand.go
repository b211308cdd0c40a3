package planner

import (
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

// maxSamples bounds each series that forecasts are made from.
const maxSamples = 96

// fullKV is the share of KV cache in use from which a decode replica admits
// nothing more: engines keep a little for the sequences that they run.
const fullKV = 0.9

// findBackPressure decides whether prefill's queue is decode's doing. A
// prefill worker that has no decode replica to hand its KV cache to waits, and
// so does its queue; growing prefill would not help. A full KV cache alone does
// not prove it: engines that reserve a decode worker's blocks before the prefill
// request is queued fill it while prefill is slow. Then few sequences run; where
// decode is at fault, those that run hold the cache.
func (p *round) findBackPressure() {
	s := &p.snap.Signals
	waiting, full := p.fresh(s.DecodeWaiting), p.fresh(s.DecodeKVUseMax)
	running, input, output := p.fresh(s.DecodeRunning), p.fresh(s.InputTokens), p.fresh(s.OutputTokens)
	if running.Ok() && input.Ok() && output.Ok() {
		held := running.Or(0) * (input.Or(0) + output.Or(0)/2)
		if held < p.spec.Service.Decode.KVCapacityTokens*float64(p.decode.ready)/2 {
			return
		}
	}
	if waiting.Or(0) > 0 && full.Or(0) >= fullKV {
		p.backPressure = sprintf("%.0f requests wait in decode with its KV cache %.0f %% full: more prefill replicas would not help", waiting.Value, 100*full.Value)
		p.note(ReasonBackPressure, Prefill, p.backPressure)
	}
}

// mostPlausible bounds every reading: a rate, a length or a queue beyond it is a
// fault of its source, not a service.
const mostPlausible = 1e7

// fresh returns a reading that can be used: young enough and plausible.
func (p *round) fresh(r Reading) Reading {
	if r.Ok() && r.Value > mostPlausible {
		return Unknown(sprintf("%s gave %g, which no service has", r.Source, r.Value))
	}
	return r.Fresh(p.now, p.spec.Behavior.MaxAgeSeconds)
}

// lengths are the token counts of a mean request.
type lengths struct{ input, output float64 }

// of returns those that are the role's own work.
func (l lengths) of(role Role) float64 {
	if role == Decode {
		return l.output
	}
	return l.input
}

// demand works out the traffic a role must be sized for: the larger of what
// arrives now and what is expected for when a replica asked for now would be
// ready, with the headroom that was asked for, what the past has shown it to rise
// by in that time, and a queue that is too long for the objective on top.
func (p *round) demand(r *roleRound) (capacity.Traffic, bool) {
	s := &p.snap.Signals
	rate := p.fresh(s.RequestsPerSecond)
	if !rate.Ok() {
		r.d.Demand.Why = reason(rate, "the arrival rate is not known")
		return capacity.Traffic{}, false
	}
	now := rate.Or(0)
	mean := lengths{p.fresh(s.InputTokens).Or(0), p.fresh(s.OutputTokens).Or(0)}
	if now > 0 {
		mean = p.rememberedLengths(mean)
		if mean.input <= 0 || mean.output <= 0 {
			r.d.Demand.Why = "requests arrive but their token counts are not known yet"
			return capacity.Traffic{}, false
		}
	}

	horizon := r.horizon(p.spec)
	ahead := p.requestsAhead(r, now, mean, horizon)
	base := max(now, ahead)
	backlog := p.backlog(r, base, horizon)
	// Where nothing arrives any more, what waits has still to be worked off.
	mean = p.rememberedLengths(mean)
	p.rememberRise(r, mean.output)
	headroom, surge := base*p.spec.Behavior.Headroom, p.surge(r, base, mean.of(r.role))
	t := capacity.Traffic{
		RequestsPerSecond: base + headroom + surge + backlog,
		ArrivalSCV:        p.mem.Traits.ArrivalSCV.Or(1),
		CachedShare:       min(p.mem.Traits.CachedShare.Or(0), 0.99),
		Input:             capacity.Lengths{Mean: mean.input, SCV: p.mem.Traits.InputSCV.Or(1)},
		Output:            OutputLengths(mean.output, p.mem.Traits.OutputSCV.Or(1)),
		LocalPrefillShare: p.spec.LocalPrefillShare,
	}
	inFlight := p.inFlightFactor(r, t, now)
	if inFlight > 1 {
		t.Output = OutputLengths(t.Output.Mean*inFlight, t.Output.SCV)
	}
	r.expected = t
	r.expected.RequestsPerSecond = base + backlog
	r.d.Demand = Demand{Known: true, InFlightFactor: inFlight, RequestsPerSecond: t.RequestsPerSecond, NowPerSecond: now, ForecastPerSecond: ahead,
		BacklogPerSecond: backlog, HeadroomPerSecond: headroom, SurgePerSecond: surge, InputTokens: t.Input.Mean, OutputTokens: t.Output.Mean, CachedShare: t.CachedShare}
	return t, true
}

// rememberedLengths fills in lengths that are not known now from the last ones
// that were: requests have started, but none has finished to be measured.
func (p *round) rememberedLengths(now lengths) lengths {
	for i := len(p.mem.Requests) - 1; i >= 0 && (now.input <= 0 || now.output <= 0); i-- {
		rate := p.mem.Requests[i].Value
		if rate <= 0 || i >= len(p.mem.Input) || i >= len(p.mem.Output) {
			continue
		}
		if now.input <= 0 {
			now.input = p.mem.Input[i].Value / rate
		}
		if now.output <= 0 {
			now.output = p.mem.Output[i].Value / rate
		}
	}
	return now
}

// traitSeconds is for how long a trait is believed after it was last read: engines that are replaced by others without that
// metric would have their last word for ever. A cached share that is gone means more prefill, never less.
const traitSeconds Seconds = 600

// remember appends the demand of this moment to the series forecasts are made from.
func (p *round) remember() {
	s := &p.snap.Signals
	for _, trait := range []struct {
		last *Reading
		now  Reading
	}{{&p.mem.Traits.ArrivalSCV, s.ArrivalSCV}, {&p.mem.Traits.InputSCV, s.InputSCV}, {&p.mem.Traits.OutputSCV, s.OutputSCV}, {&p.mem.Traits.CachedShare, s.CachedShare}} {
		if now := p.fresh(trait.now); now.Ok() {
			*trait.last = now
		} else if !trait.last.Fresh(p.now, traitSeconds).Ok() {
			*trait.last = Reading{}
		}
	}
	rate := p.fresh(s.RequestsPerSecond)
	if !rate.Ok() {
		return
	}
	now := rate.Or(0)
	mean := p.rememberedLengths(lengths{p.fresh(s.InputTokens).Or(0), p.fresh(s.OutputTokens).Or(0)})
	if now > 0 && (mean.input <= 0 || mean.output <= 0) {
		return
	}
	for series, value := range map[*[]forecast.Sample]float64{&p.mem.Requests: now, &p.mem.Input: now * mean.input, &p.mem.Output: now * mean.output} {
		*series = p.appended(*series, forecast.Sample{At: p.now, Value: value})
	}
}

// appended adds a sample to a series. The last one is of now; those before lie so far apart that the series reaches back as
// far as a forecast looks.
func (p *round) appended(series []forecast.Sample, now forecast.Sample) []forecast.Sample {
	reach := forecast.Lookback * max(p.prefill.horizon(p.spec), p.decode.horizon(p.spec))
	if n := len(series); n > 1 && series[n-1].At.Sub(series[n-2].At) < reach/maxSamples {
		series = series[:n-1]
	}
	series = append(series, now)
	return series[max(0, len(series)-maxSamples):]
}

// requestsAhead is the rate, in requests as long as those now, that is expected one horizon from now. What counts for a role
// is its own tokens, which may rise with more requests or with longer ones.
func (p *round) requestsAhead(r *roleRound, now float64, mean lengths, horizon time.Duration) float64 {
	series, tokens := p.tokens(r), mean.of(r.role)
	if now <= 0 || tokens <= 0 {
		return p.ahead(p.mem.Requests, now, horizon)
	}
	return p.ahead(series, now*tokens, horizon) / tokens
}

// ahead returns the value expected one horizon from now.
func (p *round) ahead(series []forecast.Sample, now float64, horizon time.Duration) float64 {
	v, ok := forecast.Ahead(series, p.now, horizon)
	if !ok || !finite(v) {
		return now
	}
	return max(0, v)
}

// horizon is how far ahead a decision must look: the time until a replica that
// is asked for now serves, and the interval until the next decision.
func (r *roleRound) horizon(s *Spec) time.Duration {
	startup := s.Behavior.StartupSeconds
	if r.pool.StartupSeconds.Ok() {
		startup = Seconds(r.pool.StartupSeconds.Or(0))
	}
	return (min(startup, s.Behavior.StartTimeoutSeconds) + s.Behavior.IntervalSeconds).Duration()
}

// backlog turns the requests that wait for prefill beyond what the objective
// allows into a rate that works them off within one horizon. By Little's law
// rate × TTFT* may wait without harm. It adds no more than the largest rate that
// is remembered: a queue is no reason to jump without bound.
func (p *round) backlog(r *roleRound, rate float64, horizon time.Duration) float64 {
	if r.role == Decode || p.backPressure != "" {
		return 0
	}
	waiting := p.fresh(p.snap.Signals.PrefillWaiting).Or(0)
	most := rate
	for i := range p.mem.Requests {
		most = max(most, p.mem.Requests[i].Value)
	}
	return min(max(0, waiting-rate*p.spec.TTFT.Ms/1000)/max(horizon.Seconds(), 1), most)
}

// mostInFlightFactor bounds what the sequences in flight may add to the output
// lengths of finished requests.
const mostInFlightFactor = 2

// sequencesError is how far the model's number of sequences may be off: its step times are within a tenth (pkg/capacity).
const sequencesError = 0.1

// inFlightFactor is by how much outputs must be longer than those of the
// requests that have finished. Finished requests tell of the past: when outputs
// grow longer, the sequences in flight show it first. By Little's law their
// number is rate × output × TPOT, so that a number beyond what the model expects,
// beyond the model's own error and beyond chance (two standard deviations of a
// Poisson count), means longer outputs. Those that wait count only where decode
// itself makes them wait.
func (p *round) inFlightFactor(r *roleRound, t capacity.Traffic, now float64) float64 {
	running := p.fresh(p.snap.Signals.DecodeRunning)
	if r.role == Prefill || !running.Ok() || r.ready == 0 || now <= 0 {
		return 1
	}
	t.RequestsPerSecond = now
	expected := p.spec.Service.DecodePool(r.ready, t).Sequences * float64(r.ready)
	seen := running.Or(0)
	if p.backPressure != "" {
		seen += p.fresh(p.snap.Signals.DecodeWaiting).Or(0)
	}
	surely := seen/(1+sequencesError) - 2*math.Sqrt(seen)
	if !finite(expected) || expected <= 0 || surely <= expected {
		return 1
	}
	return min(surely/expected, mostInFlightFactor)
}

func reason(r Reading, otherwise string) string {
	if r.Why != "" {
		return r.Why
	}
	return otherwise
}
