package engine

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Role is what a worker does.
type Role string

// The roles of workers.
const (
	Frontend Role = "frontend"
	Prefill  Role = "prefill"
	Decode   Role = "decode"
)

// Worker names one worker. The ID must be unique for ever: a pod's UID.
type Worker struct {
	ID   string
	Name string
	Role Role
}

// worker is one worker at work. Only the fields of its role are used.
type worker struct {
	Worker
	draining bool
	// dead: killed at the end of its grace, or gone.
	dead bool

	// Prefill.
	job      *request // whose prompt it computes
	attempt  uint64   // of the job, when it was taken
	jobStart time.Duration
	// jobTokens is what the KV cache will hold, jobFresh what of it is computed, padding included.
	jobTokens int
	jobFresh  float64
	jobs      uint64     // counts jobs; voids the event of a killed one
	sending   []*request // whose KV caches are on the way to decode workers

	// Decode.
	waiting  []*request // for KV cache, first come first served
	admitted []*request // all that hold KV cache here, in order of admission
	joining  []*request
	running  []*request
	// reserved is what the admitted that are not running hold.
	reserved int
	run      stepRun
	runs     uint64 // counts runs and their changes; voids older events
	// newcomers are the running that have had no step here yet.
	newcomers []*request
	streams   []streamCount
	noise     *rand.Rand

	stats     Stats
	front     FrontendStats
	countedTo time.Duration // up to where activity was integrated
}

// streamCount is how many of a run's sequences, newcomers apart, stream through
// a frontend.
type streamCount struct {
	frontend *worker
	n        int
}

// serves reports whether new work may be given to the worker.
func (w *worker) serves() bool { return !w.draining && !w.dead }

// Join adds a worker that is ready. A worker that is known is left as it is.
func (e *Engine) Join(who Worker) {
	if who.ID == "" || e.find(who.ID) != nil {
		return
	}
	w := &worker{Worker: who, stats: newStats(e.cfg.Buckets), front: newFrontendStats(), countedTo: e.now}
	e.workers = append(e.workers, w)
	switch who.Role {
	case Prefill:
		e.pull(w)
	case Decode:
		w.noise = e.noise.ofWorker(who.ID)
		e.routeParked()
	}
	e.catchUp()
}

// Terminate tells a worker to end by the given time, when it is killed.
func (e *Engine) Terminate(id string, by time.Duration) {
	w := e.find(id)
	if w == nil || w.draining || w.dead {
		return
	}
	w.draining = true
	switch w.Role {
	case Prefill:
		e.cfg.Queue.Cancel(w.ID)
	case Decode:
		for _, r := range takeAll(&w.waiting) {
			e.route(r)
		}
	}
	e.agenda.add(event{at: max(by, e.now), kind: graceEnds, worker: w})
	e.catchUp()
}

// Leave removes a worker, killing it if it still works.
func (e *Engine) Leave(id string) {
	i := slices.IndexFunc(e.workers, func(w *worker) bool { return w.ID == id })
	if i < 0 {
		return
	}
	e.kill(e.workers[i])
	e.workers = slices.Delete(e.workers, i, i+1)
	e.catchUp()
}

// kill ends a worker at once; what it held is queued again.
func (e *Engine) kill(w *worker) {
	if w.dead {
		return
	}
	e.count(w)
	w.dead = true
	var lost []*request
	switch w.Role {
	case Prefill:
		e.cfg.Queue.Cancel(w.ID)
		if w.job != nil && w.job.attempt == w.attempt && w.job.state == Prefilling {
			lost = append(lost, w.job)
		}
		w.job = nil
		w.jobs++
		lost = append(lost, takeAll(&w.sending)...)
	case Decode:
		e.endRun(w, w.run.counted)
		lost = append(takeAll(&w.admitted), takeAll(&w.waiting)...)
		w.joining, w.running, w.reserved = nil, nil, 0
	}
	for _, r := range lost {
		if r.state != Waiting {
			r.migrated++
			e.migrated++
		}
		e.startAgain(r)
	}
}

// drained reports whether nothing of the worker's is left to wait for.
func (w *worker) drained() bool {
	return w.dead || w.job == nil && len(w.sending) == 0 && len(w.admitted) == 0 && len(w.waiting) == 0
}

func (e *Engine) find(id string) *worker {
	for _, w := range e.workers {
		if w.ID == id {
			return w
		}
	}
	return nil
}

func takeAll(list *[]*request) []*request {
	all := *list
	*list = nil
	return all
}

func remove(list *[]*request, r *request) bool {
	i := slices.Index(*list, r)
	if i < 0 {
		return false
	}
	*list = slices.Delete(*list, i, i+1)
	return true
}
