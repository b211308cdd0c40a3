package engine

import "math"

// pull opens a prefill worker's pull on the queue.
func (e *Engine) pull(w *worker) { e.cfg.Queue.Pull(w.ID) }

// take gives a message to a prefill worker. A message that was overtaken (its
// request was queued again, or expired) is thrown away, as an engine does that
// finds the decode worker's blocks gone.
func (e *Engine) take(workerID string, m Message) {
	w := e.find(workerID)
	r := e.live[m.Request]
	current := r != nil && r.attempt == m.Attempt && r.state == Queued
	switch {
	case w == nil || w.dead || w.Role != Prefill || w.job != nil:
		// The worker went away while the message was on its way. The queue holds
		// it as acknowledged, so it has to be sent again.
		if current {
			e.startAgain(r)
		}
	case current:
		e.startPrefill(w, r)
	case w.serves():
		e.pull(w)
	}
}

func (e *Engine) startPrefill(w *worker, r *request) {
	r.state, r.prefill = Prefilling, w
	prompt := r.prompt()
	pad := float64(e.cfg.Service.PadTokens)
	fresh := math.Ceil(float64(prompt-r.CachedTokens)/pad) * pad
	ms := e.cfg.Service.Prefill.Prefill.StepMs(fresh, float64(r.CachedTokens)) * e.noise.ofPrompt(r.id, r.attempt)

	w.job, w.attempt, w.jobStart, w.jobTokens = r, r.attempt, e.now, prompt
	w.jobFresh = fresh
	w.countedTo = e.now
	w.jobs++
	e.agenda.add(event{at: e.now + milliseconds(max(minStepMs, ms)), kind: prefilled, worker: w, version: w.jobs})
}

// endPrefill ends a worker's prompt: its first token and its KV cache leave.
func (e *Engine) endPrefill(w *worker) {
	e.count(w)
	r := w.job
	w.job = nil
	if current := r.attempt == w.attempt && r.state == Prefilling; current {
		s := &w.stats
		s.PromptTokens += uint64(w.jobTokens)
		s.PrefixQueries += uint64(w.jobTokens)
		s.PrefixHits += uint64(r.CachedTokens)
		s.PromptLengths.Observe(float64(w.jobTokens), 1)
		s.TTFT.Observe((e.now - w.jobStart).Seconds(), 1)
		// To its engine a prompt is a whole request of one token.
		s.GenerationTokens++
		s.GenerationLengths.Observe(1, 1)
		s.Succeeded++
		e.send(w, r)
	}
	if w.serves() {
		e.pull(w)
	}
}

func (e *Engine) send(w *worker, r *request) {
	prompt := r.prompt()
	if e.firstTokenAtPrefill() {
		e.token(r, e.now)
		r.generated++
		if r.left() == 0 {
			e.release(r)
			e.finish(r, e.now)
			return
		}
	}
	r.state = Transferring
	w.sending = append(w.sending, r)
	ms := e.cfg.Service.Prefill.Transfer.Ms(float64(prompt))
	e.agenda.add(event{at: e.now + milliseconds(ms), kind: transferred, request: r, version: r.attempt})
}

// handOver ends a transfer: the sequence joins the decode worker's next step.
func (e *Engine) handOver(r *request) {
	remove(&r.prefill.sending, r)
	r.prefill = nil
	r.state, r.handedOver = Joining, e.now
	r.decode.joining = append(r.decode.joining, r)
	e.makeRoomToJoin(r.decode)
}
