package policy

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/des"
)

// Readings says how the service is read.
type Readings struct {
	Scrape time.Duration // default 15 s
	// Window is over how long rates and lengths are taken. Default 1 minute.
	Window time.Duration
	// Noise is the relative standard deviation of every value.
	Noise   float64
	Outages []Outage
	Seed    uint64
}

// Outage is a time without scrapes.
type Outage struct {
	At, For time.Duration
}

func (r *Readings) setDefaults() {
	if r.Scrape <= 0 {
		r.Scrape = 15 * time.Second
	}
	if r.Window <= 0 {
		r.Window = time.Minute
	}
}

func (r *Readings) down(at time.Duration) bool {
	for _, o := range r.Outages {
		if at >= o.At && (o.For == 0 || at < o.At+o.For) {
			return true
		}
	}
	return false
}

// Observed is the service in the units of the peers' rules, over the window that ended with the last scrape.
type Observed struct {
	// Fresh is false when the last scrape is older than the readings may be, or there are not two yet.
	Fresh             bool
	RequestsPerSecond float64
	InputTokens       float64 // mean of a prompt
	OutputTokens      float64 // mean of those that finished
	CachedShare       float64
	PromptPerSecond   float64 // tokens arriving
	ComputedPerSecond float64 // prompt tokens computed, cache misses only
	DecodePerSecond   float64 // tokens generated
	TTFTMs, TPOTMs    float64 // means; 0 of none
	// Utilisation of the GPUs as GPU_UTIL shows it, 0..1: the share of time in which any kernel ran.
	PrefillUtil, DecodeUtil float64
	Queued                  float64 // prompts in the prefill queue
	QueuedTokens            float64
	DecodeWaiting           float64
	DecodeRunning           float64
	KVTokens                float64 // over all decode replicas
	KVUse, KVUseMax         float64
}

// meter keeps what was scraped.
type meter struct {
	cfg    Readings
	maxAge time.Duration
	noise  *rand.Rand
	views  []des.View
	factor [16]float64 // noise of the last scrape, by reading
	// output is the last mean and SCV that finished requests gave.
	output, outputSCV         float64
	input, inputSCV           float64
	prefillStart, decodeStart float64 // longest start-up seen, seconds
	starting                  map[uint64]time.Duration
}

func newMeter(cfg Readings, maxAge time.Duration) *meter {
	cfg.setDefaults()
	m := &meter{cfg: cfg, maxAge: maxAge, noise: rand.New(rand.NewPCG(cfg.Seed, 77)), starting: map[uint64]time.Duration{}}
	for i := range m.factor {
		m.factor[i] = 1
	}
	return m
}

// scrape reads the service, unless there is an outage.
func (m *meter) scrape(e *des.Engine) {
	if m.cfg.down(e.Now()) {
		return
	}
	v := e.View()
	m.views = append(m.views, v)
	for len(m.views) > 2 && v.Now-m.views[1].Now >= m.cfg.Window {
		m.views = m.views[1:]
	}
	if s := m.cfg.Noise; s > 0 {
		variance := math.Log1p(s * s)
		for i := range m.factor {
			m.factor[i] = math.Exp(math.Sqrt(variance)*m.noise.NormFloat64() - variance/2)
		}
	}
	m.watchStarts(&v)
	first, last := &m.views[0].Counters, &v.Counters
	if mean, scv, ok := lengths(first.Arrived, last.Arrived, first.InputTokens, last.InputTokens, first.InputSquares, last.InputSquares); ok {
		m.input, m.inputSCV = mean, scv
	}
	if mean, scv, ok := lengths(first.Finished, last.Finished, first.OutputTokens, last.OutputTokens, first.OutputSquares, last.OutputSquares); ok {
		m.output, m.outputSCV = mean, scv
	}
}

func lengths(n0, n1 uint64, sum0, sum1, square0, square1 float64) (mean, scv float64, ok bool) {
	n := float64(n1 - n0)
	if n == 0 {
		return 0, 0, false
	}
	mean = (sum1 - sum0) / n
	if n < 2 || mean <= 0 {
		return mean, 1, true
	}
	return mean, max(0, (square1-square0)/n/(mean*mean)-1), true
}

// watchStarts measures start-up times by the states of the replicas.
func (m *meter) watchStarts(v *des.View) {
	for role, all := range v.Replicas {
		for _, r := range all {
			switch r.State {
			case des.StateStarting:
				m.starting[r.ID] = r.Since
			case des.StateReady:
				if asked, ok := m.starting[r.ID]; ok {
					delete(m.starting, r.ID)
					longest := &m.prefillStart
					if des.Role(role) == des.Decode {
						longest = &m.decodeStart
					}
					*longest = max(*longest, (r.Since - asked).Seconds())
				}
			}
		}
	}
}

// The places of each reading's noise.
const (
	ofRate = iota
	ofInput
	ofOutput
	ofCached
	ofTTFT
	ofTPOT
	ofQueue
	ofWaiting
	ofRunning
	ofKV
	ofTensor
	ofDRAM
	ofTokens
)

func (m *meter) reading(value float64, place int, at time.Time, source string) planner.Reading {
	if value == 0 {
		return planner.Zero(at, source)
	}
	return planner.Known(value*m.factor[place], at, source)
}

// span returns the first and the last scrape of the window.
func (m *meter) span() (first, last *des.View, seconds float64) {
	if len(m.views) < 2 {
		return nil, nil, 0
	}
	first, last = &m.views[0], &m.views[len(m.views)-1]
	return first, last, (last.Now - first.Now).Seconds()
}

// observe gives the peers' view.
func (m *meter) observe(now time.Duration) (o Observed) {
	first, last, seconds := m.span()
	if first == nil || seconds <= 0 {
		return o
	}
	a, b := &first.Counters, &last.Counters
	o.Fresh = now-last.Now <= m.maxAge
	o.RequestsPerSecond = float64(b.Arrived-a.Arrived) / seconds * m.factor[ofRate]
	o.InputTokens, o.OutputTokens = m.input*m.factor[ofInput], m.output*m.factor[ofOutput]
	o.PromptPerSecond = (b.InputTokens - a.InputTokens) / seconds * m.factor[ofTokens]
	prompts, computed := float64(b.PromptTokens-a.PromptTokens), float64(b.ComputedTokens-a.ComputedTokens)
	o.ComputedPerSecond = computed / seconds * m.factor[ofTokens]
	if prompts > 0 {
		o.CachedShare = min(0.99, max(0, (1-computed/prompts)*m.factor[ofCached]))
	}
	o.DecodePerSecond = float64(b.GeneratedTokens-a.GeneratedTokens) / seconds * m.factor[ofTokens]
	o.TTFTMs, o.TPOTMs = meanOf(&a.TTFT, &b.TTFT)*m.factor[ofTTFT], meanOf(&a.TPOT, &b.TPOT)*m.factor[ofTPOT]
	ready := [2]float64{}
	for role, all := range last.Replicas {
		for _, r := range all {
			if r.State == des.StateReady {
				ready[role]++
			}
			o.DecodeWaiting += float64(r.Waiting)
			if des.Role(role) == des.Decode {
				o.DecodeRunning += float64(r.Running)
				o.KVTokens += float64(r.KVTokens)
				o.KVUse += r.KVUse
				o.KVUseMax = max(o.KVUseMax, r.KVUse)
			}
		}
	}
	o.KVUse = min(1, ratio(o.KVUse, ready[des.Decode])*m.factor[ofKV])
	o.DecodeWaiting += float64(last.Parked)
	o.PrefillUtil = min(1, ratio((b.PrefillBusy-a.PrefillBusy).Seconds(), seconds*ready[des.Prefill])*m.factor[ofTensor])
	o.DecodeUtil = min(1, ratio((b.DecodeBusy-a.DecodeBusy).Seconds(), seconds*ready[des.Decode])*m.factor[ofDRAM])
	o.Queued, o.QueuedTokens = float64(b.Queued)*m.factor[ofQueue], float64(b.QueuedTokens)*m.factor[ofQueue]
	return o
}

func meanOf(a, b *des.Histogram) float64 {
	n := 0.0
	for i := range b.Counts {
		n += float64(b.Counts[i] - a.Counts[i])
	}
	if n == 0 {
		return 0
	}
	return (b.SumMs - a.SumMs) / n
}

// signals gives the planner's view.
func (m *meter) signals(spec *planner.Spec, start time.Time) planner.Signals {
	s := planner.Signals{
		RequestsPerSecond: planner.Unknown("the counters were not read twice yet"),
		ArrivalSCV:        planner.Unknown("the time between arrivals is in no engine's metrics"),
		InputTokens:       planner.Unknown("no request yet"), InputSCV: planner.Unknown("no request yet"),
		OutputTokens: planner.Unknown("no request has finished yet"), OutputSCV: planner.Unknown("no request has finished yet"),
	}
	first, last, seconds := m.span()
	if first == nil || seconds <= 0 {
		return s
	}
	at := start.Add(last.Now)
	o := m.observe(last.Now)
	s.RequestsPerSecond = m.reading(float64(last.Counters.Arrived-first.Counters.Arrived)/seconds, ofRate, at, "frontend")
	if s.RequestsPerSecond.State == planner.StateZero && seconds < m.cfg.Window.Seconds() {
		s.RequestsPerSecond = planner.Unknown("no request for less than a window")
	}
	if m.input > 0 {
		s.InputTokens, s.InputSCV = m.reading(m.input, ofInput, at, "frontend"), planner.Known(m.inputSCV, at, "frontend")
	}
	if m.output > 0 {
		s.OutputTokens, s.OutputSCV = m.reading(m.output, ofOutput, at, "frontend"), planner.Known(m.outputSCV, at, "frontend")
	}
	s.CachedShare = planner.Known(o.CachedShare, at, "prefill pods")
	s.TTFTMs = m.quantile(&first.Counters.TTFT, &last.Counters.TTFT, spec.TTFT.Quantile, ofTTFT, at)
	s.TPOTMs = m.quantile(&first.Counters.TPOT, &last.Counters.TPOT, spec.TPOT.Quantile, ofTPOT, at)
	s.PrefillWaiting = m.reading(float64(last.Counters.Queued), ofQueue, at, "prefill queue")
	s.DecodeWaiting = m.reading(o.DecodeWaiting, ofWaiting, at, "decode pods")
	s.DecodeRunning = m.reading(o.DecodeRunning, ofRunning, at, "decode pods")
	s.DecodeKVUse = planner.Known(o.KVUse, at, "decode pods")
	s.DecodeKVUseMax = planner.Known(min(1, o.KVUseMax*m.factor[ofKV]), at, "decode pods")
	// A busy GPU shows the model's activity; one that waits shows none.
	s.PrefillTensorActive = planner.Known(o.PrefillUtil*spec.Service.Prefill.BusyActivity.PrefillTensorActive, at, "DCGM")
	s.DecodeDRAMActive = planner.Known(o.DecodeUtil*spec.Service.Decode.BusyActivity.DecodeDRAMActive, at, "DCGM")
	return s
}

// quantile reads a latency from the buckets that grew between two scrapes.
func (m *meter) quantile(a, b *des.Histogram, share float64, place int, at time.Time) planner.Quantile {
	q := planner.Quantile{Percentile: share, Reading: planner.Unknown("no request in the window")}
	total := 0.0
	for i := range b.Counts {
		total += float64(b.Counts[i] - a.Counts[i])
	}
	if total == 0 {
		return q
	}
	q.MeanMs = (b.SumMs - a.SumMs) / total
	rank, before := share*total, 0.0
	for i := range b.Counts {
		n := float64(b.Counts[i] - a.Counts[i])
		if before+n < rank || n == 0 {
			before += n
			continue
		}
		if i > 0 {
			q.LowMs = b.BoundsMs[i-1]
		}
		value := max(q.LowMs, q.MeanMs) // beyond the last bound
		if i < len(b.BoundsMs) {
			q.HighMs = b.BoundsMs[i]
			value = q.LowMs + (q.HighMs-q.LowMs)*(rank-before)/n
		}
		q.Reading = planner.Known(value*m.factor[place], at, "frontend")
		return q
	}
	return q
}
