package engine

import (
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

func (e *Engine) firstTokenAtPrefill() bool {
	return e.cfg.Service.TTFTEndsAt == capacity.EndsAtPrefill
}

// makeRoomToJoin ends a worker's run of steps at its next step, so that who
// joins need not wait for the end of the run.
func (e *Engine) makeRoomToJoin(w *worker) {
	if len(w.running) == 0 {
		e.startSteps(w)
		e.admit(w)
		return
	}
	if len(w.running) >= e.cfg.Service.MaxSequences {
		return
	}
	e.shorten(w, w.run.stopAtOrAfter(e.now))
}

// shortenForKV ends a run before its growth would fill the KV cache.
func (e *Engine) shortenForKV(w *worker) {
	if b := len(w.running); b > 0 {
		room := int(e.cfg.Service.Decode.KVCapacityTokens) - w.reserved - w.run.context
		e.shorten(w, max(w.run.counted+1, room/b))
	}
}

func (e *Engine) shorten(w *worker, steps int) {
	if steps < w.run.steps {
		w.run.steps = steps
		e.scheduleSteps(w)
	}
}

func (e *Engine) scheduleSteps(w *worker) {
	w.runs++
	e.agenda.add(event{at: w.run.end(w.run.steps), kind: stepped, worker: w, version: w.runs})
}

// endSteps ends a run: sequences finish, others join, the next run starts.
func (e *Engine) endSteps(w *worker) {
	e.count(w)
	e.endRun(w, w.run.steps)
	e.startSteps(w)
	e.admit(w)
}

// endRun books a number of steps of the current run with its sequences, and
// ends those that are complete.
func (e *Engine) endRun(w *worker, steps int) {
	run := w.run
	w.run, w.newcomers, w.streams = stepRun{}, nil, nil
	w.runs++
	at := run.end(steps)
	still := w.running[:0]
	for _, r := range w.running {
		if steps > 0 {
			r.generated += steps
			r.context += steps
			r.lastToken = at
		}
		if r.left() > 0 {
			still = append(still, r)
			continue
		}
		remove(&w.admitted, r)
		r.decode = nil
		w.stats.Succeeded++
		w.stats.PromptLengths.Observe(float64(r.InputTokens), 1)
		w.stats.GenerationLengths.Observe(float64(r.OutputTokens), 1)
		e.finish(r, at)
	}
	clear(w.running[len(still):])
	w.running = still
}

// startSteps forms the next batch and starts its run of steps.
func (e *Engine) startSteps(w *worker) {
	total := int(e.cfg.Service.Decode.KVCapacityTokens)
	context := e.joinAll(w)
	for len(w.running) > 0 && w.reserved+context+len(w.running) > total {
		e.preempt(w)
		context = e.joinAll(w) // a place in the batch became free
	}
	b := len(w.running)
	if b == 0 {
		return
	}
	steps := (total - w.reserved - context) / b
	for _, r := range w.running {
		steps = min(steps, r.left())
	}
	w.countedTo = e.now
	w.streams = w.streams[:0]
	for _, r := range w.running {
		if !slices.Contains(w.newcomers, r) {
			w.addStream(r.frontend)
		}
	}
	w.run = newStepRun(e.now, e.cfg.Service.Decode.Decode, b, context, steps, e.noise.factor(w.noise))
	e.scheduleSteps(w)
}

// joinAll takes who waits to join into the batch, as far as it has places, and
// returns the tokens that the batch's sequences hold.
func (e *Engine) joinAll(w *worker) (context int) {
	for len(w.joining) > 0 && len(w.running) < e.cfg.Service.MaxSequences {
		r := w.joining[0]
		w.joining = w.joining[1:]
		w.reserved -= r.context
		r.state = Decoding
		w.running = append(w.running, r)
		w.newcomers = append(w.newcomers, r)
	}
	for _, r := range w.running {
		context += r.context
	}
	return context
}

// preempt takes the youngest sequence out of the batch; its KV cache is dropped.
func (e *Engine) preempt(w *worker) {
	r := slices.MaxFunc(w.running, func(a, b *request) int { return int(a.id) - int(b.id) })
	remove(&w.running, r)
	remove(&w.newcomers, r)
	remove(&w.admitted, r)
	r.attempt++
	r.preempted++
	e.preempted++
	w.stats.Preemptions++
	if !w.serves() {
		e.route(r)
		return
	}
	r.state = Waiting
	w.waiting = slices.Insert(w.waiting, 0, r)
}

func (w *worker) addStream(frontend *worker) {
	for i := range w.streams {
		if w.streams[i].frontend == frontend {
			w.streams[i].n++
			return
		}
	}
	w.streams = append(w.streams, streamCount{frontend, 1})
}

// count brings a worker's counters up to the present: the steps that have ended
// and the activity of its GPUs. It changes nothing that happens later.
func (e *Engine) count(w *worker) {
	switch {
	case w.Role == Prefill && w.job != nil:
		w.stats.Activity.add(e.prefillTable, w.jobFresh, (e.now - w.countedTo).Seconds())
	case w.Role == Decode && w.run.sequences > 0:
		e.countSteps(w)
		until := min(e.now, w.run.end(w.run.steps))
		w.stats.Activity.add(e.decodeTable, float64(w.run.sequences), max(0, until-w.countedTo).Seconds())
	}
	w.countedTo = e.now
}

func (e *Engine) countSteps(w *worker) {
	run := &w.run
	for run.counted < run.steps {
		end := run.end(run.counted + 1)
		if end > e.now {
			return
		}
		gap := (end - run.end(run.counted)).Seconds()
		run.counted++
		w.stats.GenerationTokens += uint64(run.sequences)
		w.stats.ITL.Observe(gap, run.sequences-len(w.newcomers))
		for _, s := range w.streams {
			s.frontend.front.ITL.Observe(gap, s.n)
		}
		for _, r := range w.newcomers {
			e.firstStep(w, r, end)
		}
		w.newcomers = nil
	}
}

// firstStep counts the first step of a sequence at this worker. From the next
// on, its tokens come with those of the others.
func (e *Engine) firstStep(w *worker, r *request, end time.Duration) {
	w.stats.PromptTokens += uint64(r.context)
	w.stats.TTFT.Observe((end - r.handedOver).Seconds(), 1)
	e.token(r, end)
	w.addStream(r.frontend)
}

// token gives the client one token.
func (e *Engine) token(r *request, at time.Duration) {
	f := &r.frontend.front
	if r.firstToken == noTime {
		r.firstToken = at
		f.TTFT.Observe((at - r.arrived).Seconds(), 1)
		f.InputTokens.Observe(float64(r.InputTokens), 1)
		e.recent.firstToken(at, at-r.arrived)
	} else {
		f.ITL.Observe((at - r.lastToken).Seconds(), 1)
	}
	r.lastToken = at
}
