package engine

// route sends a request to the least loaded decode worker, where it waits for
// KV cache; where there is none it is parked at the frontend.
func (e *Engine) route(r *request) {
	var best *worker
	least := 0
	for _, w := range e.workers {
		if w.Role != Decode || !w.serves() {
			continue
		}
		e.count(w)
		if load := w.kvTokens() + w.waitingTokens(); best == nil || load < least {
			best, least = w, load
		}
	}
	if best == nil {
		r.state, r.decode = Parked, nil
		e.parked = append(e.parked, r)
		return
	}
	r.state, r.decode = Waiting, best
	best.waiting = append(best.waiting, r)
	e.admit(best)
}

func (e *Engine) routeParked() {
	for _, r := range takeAll(&e.parked) {
		e.route(r)
	}
}

// admissible is how many tokens of a decode worker's cache admission may fill.
func (e *Engine) admissible() float64 {
	return (1 - kvWatermark) * e.cfg.Service.Decode.KVCapacityTokens
}

// kvTokens is what a decode worker's KV cache holds or is reserved for.
func (w *worker) kvTokens() int { return w.reserved + w.run.kvTokens() }

func (w *worker) waitingTokens() int {
	tokens := 0
	for _, r := range w.waiting {
		tokens += r.prompt()
	}
	return tokens
}

// admit reserves KV cache for those who wait at a decode worker, first come
// first served, and queues their prompts. A token of room beyond the prompt is
// asked for, so that each admission leads to at least one step.
func (e *Engine) admit(w *worker) {
	if !w.serves() || len(w.waiting) == 0 {
		return
	}
	e.count(w)
	admitted := false
	for len(w.waiting) > 0 {
		r := w.waiting[0]
		if float64(w.kvTokens()+r.prompt()+1) > e.admissible() {
			break
		}
		w.waiting = w.waiting[1:]
		w.admitted = append(w.admitted, r)
		r.context = r.prompt()
		w.reserved += r.context
		admitted = true
		e.enqueue(r)
	}
	if admitted {
		e.shortenForKV(w)
	}
}

// enqueue puts a request whose KV cache is reserved on the prefill queue.
func (e *Engine) enqueue(r *request) {
	r.state = Queued
	e.agenda.add(event{at: e.now + e.cfg.QueueMaxAge, kind: expires, request: r, version: r.attempt})
	e.cfg.Queue.Publish(Message{Request: r.id, Attempt: r.attempt, InputTokens: r.prompt(), CachedTokens: r.CachedTokens, Decode: r.decode.ID})
}

// release gives back the KV cache of a request that is not in a running batch.
func (e *Engine) release(r *request) {
	w := r.decode
	if w == nil {
		return
	}
	if remove(&w.admitted, r) {
		w.reserved -= r.context
	} else {
		remove(&w.waiting, r)
	}
	remove(&w.joining, r)
	r.decode = nil
	e.admit(w)
}

// startAgain queues a request again from its start, keeping what the client has.
func (e *Engine) startAgain(r *request) {
	r.attempt++
	if r.prefill != nil {
		remove(&r.prefill.sending, r)
		r.prefill = nil
	}
	if r.decode != nil && !r.decode.dead {
		e.release(r)
	}
	e.route(r)
}
