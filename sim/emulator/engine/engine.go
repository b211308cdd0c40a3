package engine

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Source gives requests in order of arrival; load.Stream is one.
type Source interface {
	Next() (load.Request, bool)
}

// Engine plays one service. It is for one goroutine at a time.
type Engine struct {
	cfg    Config
	now    time.Duration
	agenda agenda
	noise  noise

	prefillTable, decodeTable []activityRow

	workers []*worker
	turn    int // of the frontends
	parked  []*request
	live    map[uint64]*request

	lastID                    uint64
	arrived, finished, failed int
	migrated, preempted       int
	records                   []Record
	recent                    recent
}

// New returns an engine at time 0 without workers.
func New(cfg Config) (*Engine, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, live: map[uint64]*request{}, noise: newNoise(cfg.Seed, cfg.StepNoise)}
	p, d := cfg.Service.Prefill.BusyActivity, cfg.Service.Decode.BusyActivity
	e.prefillTable = scaledTo(prefillActivity, referencePrompt, p.PrefillTensorActive, p.PrefillDRAMActive)
	e.decodeTable = scaledTo(decodeActivity, referenceSequences, d.DecodeTensorActive, d.DecodeDRAMActive)
	cfg.Queue.Bind(e.Deliver)
	return e, nil
}

// Now is the time the engine was advanced to.
func (e *Engine) Now() time.Duration { return e.now }

// Play lets the requests of a source arrive, its time 0 being at start.
func (e *Engine) Play(source Source, start time.Duration) {
	e.next(source, max(start, e.now))
	e.catchUp()
}

// Deliver is how the queue hands a message to a prefill worker; it takes effect
// within the call of the engine that is under way, or at the next Advance.
func (e *Engine) Deliver(workerID string, m Message) {
	e.agenda.add(event{at: e.now, kind: delivered, to: workerID, message: m})
}

// Advance plays everything up to now, an offset from the engine's start. A time
// in the past does nothing.
func (e *Engine) Advance(now time.Duration) {
	for e.agenda.due(now) {
		ev := e.agenda.pop()
		e.now = max(e.now, ev.at)
		e.handle(&ev)
	}
	e.now = max(e.now, now)
}

// Next is when the engine next has something to do; false when nothing is left.
func (e *Engine) Next() (time.Duration, bool) {
	if len(e.agenda.events) == 0 {
		return 0, false
	}
	return e.agenda.events[0].at, true
}

// catchUp handles what has become due at the present time.
func (e *Engine) catchUp() { e.Advance(e.now) }

func (e *Engine) handle(ev *event) {
	switch ev.kind {
	case arrives:
		e.arrive(ev.request)
		e.next(ev.source, ev.at-ev.request.At)
	case delivered:
		e.take(ev.to, ev.message)
	case prefilled:
		if ev.version == ev.worker.jobs {
			e.endPrefill(ev.worker)
		}
	case transferred:
		if ev.version == ev.request.attempt && ev.request.state == Transferring {
			e.handOver(ev.request)
		}
	case stepped:
		if ev.version == ev.worker.runs {
			e.endSteps(ev.worker)
		}
	case expires:
		if ev.version == ev.request.attempt && ev.request.state == Queued {
			e.release(ev.request)
			e.fail(ev.request, "expired in the prefill queue")
		}
	case graceEnds:
		e.kill(ev.worker)
	}
}

// next schedules the next arrival of a source.
func (e *Engine) next(source Source, start time.Duration) {
	r, ok := source.Next()
	if !ok {
		return
	}
	e.agenda.add(event{at: start + r.At, kind: arrives, source: source, request: &request{Request: r, firstToken: noTime}})
}

// arrive brings a request to a frontend.
func (e *Engine) arrive(r *request) {
	e.lastID++
	r.id, r.arrived = e.lastID, e.now
	r.InputTokens, r.OutputTokens = max(1, r.InputTokens), max(1, r.OutputTokens)
	r.CachedTokens = min(max(0, r.CachedTokens), r.InputTokens-1)
	e.arrived++
	e.recent.arrived(e.now)
	e.live[r.id] = r
	r.frontend = e.nextFrontend()
	if r.frontend == nil {
		e.fail(r, "no frontend was ready")
		return
	}
	r.frontend.front.Inflight++
	if float64(r.InputTokens+r.OutputTokens) > e.admissible() {
		e.fail(r, "longer than the KV cache of a decode worker")
		return
	}
	e.route(r)
}

// nextFrontend takes the frontends in turn.
func (e *Engine) nextFrontend() *worker {
	for range e.workers {
		e.turn++
		if w := e.workers[e.turn%len(e.workers)]; w.Role == Frontend && w.serves() {
			return w
		}
	}
	return nil
}

// finish ends a request whose last token the client has.
func (e *Engine) finish(r *request, at time.Duration) {
	r.state, r.lastToken = Finished, at
	e.finished++
	f := &r.frontend.front
	f.Inflight--
	f.Succeeded++
	f.Duration.Observe((at - r.arrived).Seconds(), 1)
	f.OutputTokens.Observe(float64(r.OutputTokens), 1)
	e.close(r, at, "")
}

// fail ends a request that will not be served.
func (e *Engine) fail(r *request, why string) {
	r.state = Failed
	e.failed++
	if r.frontend != nil {
		f := &r.frontend.front
		f.Inflight--
		f.Failed++
		f.Duration.Observe((e.now - r.arrived).Seconds(), 1)
	}
	e.close(r, e.now, why)
}

func (e *Engine) close(r *request, at time.Duration, why string) {
	delete(e.live, r.id)
	record := r.record(at)
	record.Why = why
	e.records = append(e.records, record)
	e.recent.ended(at, record)
}
