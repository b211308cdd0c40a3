package des

import (
	"fmt"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// quantileAccuracy is the relative error of a latency's quantiles.
const quantileAccuracy = 0.001

// Latency is a distribution of latencies in milliseconds.
type Latency struct {
	sketch *ddsketch.DDSketch
	count  uint64
	sum    float64
}

// NewLatency returns that of no request.
func NewLatency() (Latency, error) {
	m, err := mapping.NewLogarithmicMapping(quantileAccuracy)
	if err != nil {
		return Latency{}, fmt.Errorf("simulator: %w", err)
	}
	return Latency{sketch: ddsketch.NewDDSketch(m, store.NewDenseStore(), store.NewDenseStore())}, nil
}

// Add adds one latency.
func (l *Latency) Add(ms float64) {
	l.count++
	l.sum += ms
	_ = l.sketch.Add(ms) // fails for what no latency is: infinite, or beyond 1e300
}

// Count is how many latencies there are.
func (l *Latency) Count() uint64 { return l.count }

// MeanMs is their mean, 0 of none.
func (l *Latency) MeanMs() float64 {
	if l.count == 0 {
		return 0
	}
	return l.sum / float64(l.count)
}

// QuantileMs is a quantile, 0 <= q <= 1, within 0.1 %; 0 of none.
func (l *Latency) QuantileMs(q float64) float64 {
	ms, err := l.sketch.GetValueAtQuantile(q)
	if err != nil {
		return 0
	}
	return ms
}

// Merge adds another's latencies.
func (l *Latency) Merge(other *Latency) error {
	l.count += other.count
	l.sum += other.sum
	return l.sketch.MergeWith(other.sketch)
}

// Outcome is how the requests fared. Those that have not ended are in Requests alone.
type Outcome struct {
	Requests, Completed, Failed uint64
	// Attained met both objectives. A request of one token has no TPOT and meets it.
	Attained uint64
	// TTFT and TPOT are those of completed requests.
	TTFT, TPOT Latency
}

// NewOutcome returns that of no request.
func NewOutcome() (Outcome, error) {
	ttft, err := NewLatency()
	if err != nil {
		return Outcome{}, err
	}
	tpot, err := NewLatency()
	return Outcome{TTFT: ttft, TPOT: tpot}, err
}

// Attainment is the share of all requests that met both objectives, 1 of none. What has not ended has missed.
func (o *Outcome) Attainment() float64 {
	if o.Requests == 0 {
		return 1
	}
	return float64(o.Attained) / float64(o.Requests)
}

// Merge adds another simulation's outcome.
func (o *Outcome) Merge(other *Outcome) error {
	o.Requests += other.Requests
	o.Completed += other.Completed
	o.Failed += other.Failed
	o.Attained += other.Attained
	if err := o.TTFT.Merge(&other.TTFT); err != nil {
		return err
	}
	return o.TPOT.Merge(&other.TPOT)
}

// End is how a request ended.
type End uint8

// The ends of a request.
const (
	Finished End = iota
	Failed
)

// Record is what became of one request that has ended.
type Record struct {
	// ID is the place in the order of arrivals, from 1.
	ID                        uint64
	Arrived, FirstToken, Done Time
	InputTokens, OutputTokens int32
	CachedTokens              int32
	Preempted, Migrated       uint16
	End                       End
}

// TTFTMs is the time to first token.
func (r *Record) TTFTMs() float64 { return (r.FirstToken - r.Arrived).Ms() }

// TPOTMs is (end - first token)/(output - 1), 0 of a single token.
func (r *Record) TPOTMs() float64 {
	if r.OutputTokens < 2 {
		return 0
	}
	return (r.Done - r.FirstToken).Ms() / float64(r.OutputTokens-1)
}

// Outcome is how the requests have fared so far. It shares its latencies with the engine.
func (e *Engine) Outcome() Outcome { return e.outcome }

// firstToken gives the client its first token, once.
func (e *Engine) firstToken(q *request, at Time) {
	if q.first != noTime {
		return
	}
	q.first = at
	e.counters.TTFT.observe((at - q.arrived).Ms())
}

// finish ends a request whose last token the client has.
func (e *Engine) finish(q *request) {
	ttft, tpot := (q.first - q.arrived).Ms(), 0.0
	e.outcome.TTFT.Add(ttft)
	if q.output > 1 {
		tpot = (e.now - q.first).Ms() / float64(q.output-1)
		e.outcome.TPOT.Add(tpot)
		e.counters.TPOT.observe(tpot)
	}
	e.outcome.Completed++
	if ttft <= e.cfg.Objectives.TTFTMs && tpot <= e.cfg.Objectives.TPOTMs {
		e.outcome.Attained++
	}
	e.counters.finish(q)
	e.report(q, Finished)
	e.discard(q)
}

func (e *Engine) report(q *request, end End) {
	if e.cfg.OnEnd != nil {
		e.cfg.OnEnd(Record{ID: q.id, Arrived: q.arrived, FirstToken: q.first, Done: e.now, InputTokens: q.input, OutputTokens: q.output,
			CachedTokens: q.hit, Preempted: q.preempted, Migrated: q.migrated, End: end})
	}
}
