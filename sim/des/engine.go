package des

import (
	"errors"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// Engine is one service being simulated. It is for one goroutine.
type Engine struct {
	cfg       Config
	now       Time
	agenda    agenda
	source    trace.Source
	next      trace.Request
	nextAt    Time // of next; forever when there is none
	arrivals  uint64
	replicas  [2][]*replica // by role, in order of creation; those that are gone are taken out
	serial    uint64
	desired   [2]int
	turn      [2]int
	prefixes  *prefixIndex
	queue     fifo // prompts that any prefill replica may take
	idle      int  // ready prefill replicas without work
	parked    fifo
	pool      []*request // all that were ever made
	spare     []*request
	steps     stepTimes
	kvTotal   int64
	kvAdmit   int64 // of it may be filled by admission
	atPrefill bool  // the first token comes from prefill
	admitted  uint64
	// nextSample is when OnSample is called again.
	nextSample Time

	counters Counters
	outcome  Outcome
	usage    usage
	evicted  []*request // preempted in the course of one event
}

// New returns a service at time zero, its first replicas ready, that will be sent what source gives.
func New(cfg Config, source trace.Source) (*Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if source == nil {
		return nil, errors.New("simulator: no source of requests was given")
	}
	outcome, err := NewOutcome()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, source: source, prefixes: newPrefixIndex(), outcome: outcome, counters: newCounters(),
		steps:     newStepTimes(cfg.Service.Decode.Decode, cfg.Service.MaxSequences),
		kvTotal:   int64(cfg.Service.Decode.KVCapacityTokens),
		kvAdmit:   int64((1 - kvWatermark) * cfg.Service.Decode.KVCapacityTokens),
		atPrefill: cfg.Service.TTFTEndsAt == capacity.EndsAtPrefill}
	for _, role := range []Role{Decode, Prefill} {
		for range e.pools(role).Replicas {
			e.ready(e.create(role))
		}
		e.desired[role] = e.pools(role).Replicas
	}
	for i := range cfg.Faults {
		if f := &e.cfg.Faults[i]; f.Kind == Kill {
			e.agenda.add(event{at: timeOf(f.At), kind: faulted, version: uint32(i)}, uint64(i))
		}
	}
	e.fetch()
	return e, nil
}

func (e *Engine) pools(role Role) *Pool {
	if role == Prefill {
		return &e.cfg.Prefill
	}
	return &e.cfg.Decode
}

// fetch takes the next request from the source. One that comes out of order arrives now.
func (e *Engine) fetch() {
	var ok bool
	if e.next, ok = e.source.Next(); !ok {
		e.nextAt = forever
		return
	}
	e.nextAt = max(e.now, timeOf(e.next.At))
}

// Now is the time up to which everything has happened.
func (e *Engine) Now() time.Duration { return e.now.Duration() }

// Advance plays everything up to and at now, an offset from the start. A time in the past does nothing.
func (e *Engine) Advance(now time.Duration) {
	to := timeOf(now)
	for e.cfg.OnSample != nil && e.nextSample <= to {
		e.advance(e.nextSample)
		e.nextSample = e.nextSample.plus(timeOf(e.cfg.SampleEvery))
		e.cfg.OnSample(e.View())
	}
	e.advance(to)
}

// Finish plays until every request has ended or the given time has come, and reports whether all have ended. The service
// must have replicas for them.
func (e *Engine) Finish(by time.Duration) bool {
	const look = 10 * time.Second
	for e.InFlight() > 0 || e.nextAt != forever {
		if e.Now() >= by {
			return false
		}
		e.Advance(min(by, e.Now()+look))
	}
	return true
}

func (e *Engine) advance(to Time) {
	for {
		at := forever
		if len(e.agenda) > 0 {
			at = e.agenda[0].at
		}
		if e.nextAt < at {
			if e.nextAt > to {
				break
			}
			e.now = e.nextAt
			e.arrive()
			continue
		}
		if at > to || at == forever {
			break
		}
		ev := e.agenda.pop()
		e.now = ev.at
		e.handle(&ev)
	}
	e.now = max(e.now, to)
}

func (e *Engine) handle(ev *event) {
	switch ev.kind {
	case stepped:
		if ev.version == ev.replica.version {
			e.endRun(ev.replica)
		}
	case evicted:
		e.routeEvicted()
	case transferred:
		if ev.version == ev.request.version {
			e.handOver(ev.request)
		}
	case prefilled:
		if ev.version == ev.replica.version {
			e.endPrefill(ev.replica)
		}
	case released:
		if ev.version == ev.replica.version {
			e.freePrefill(ev.replica)
		}
	case started:
		if ev.version == ev.replica.version {
			e.endStart(ev.replica)
		}
	case unstuck:
		if ev.version == ev.replica.version {
			e.beginStart(ev.replica)
		}
	case faulted:
		e.strike(&e.cfg.Faults[ev.version])
	case graceEnded:
		if ev.replica.state == draining {
			e.kill(ev.replica)
		}
	}
}

// arrive takes the next request in.
func (e *Engine) arrive() {
	q := e.newRequest(&e.next)
	e.fetch()
	e.counters.arrive(q)
	e.outcome.Requests++
	if int64(q.input)+int64(q.output) > e.kvAdmit {
		e.outcome.Failed++
		e.counters.Failed++
		e.report(q, Failed)
		e.discard(q)
		return
	}
	e.route(q)
}

// InFlight is how many requests have arrived and not ended.
func (e *Engine) InFlight() int { return len(e.pool) - len(e.spare) }
