package des

// startPrefill begins a prefill replica's next step, if there is work for it.
func (e *Engine) startPrefill(p *replica) {
	wasIdle := !p.busy && p.state == serving
	e.takePrompts(p)
	if len(p.active) == 0 {
		if p.busy && p.state == serving {
			e.idle++
		}
		p.busy = false
		e.leaveIfDrained(p)
		return
	}
	if wasIdle {
		e.idle--
	}
	p.busy = true
	p.since = e.now
	tokens, attention := 0.0, 0.0
	for _, q := range p.active {
		n, before := float64(q.chunk), float64(q.hit+q.done)
		tokens += n
		attention += n*n + 2*n*before
	}
	p.version++
	e.agenda.add(event{at: e.now.plus(milliseconds(e.cfg.Service.Prefill.Prefill.BatchMs(tokens, attention))), kind: prefilled, replica: p, version: p.version}, p.id)
}

// takePrompts fills a prefill replica's step: what is under way first, then the queue.
func (e *Engine) takePrompts(p *replica) {
	budget := int32(e.cfg.MaxBatchTokens)
	for _, q := range p.active {
		q.chunk = min(q.need-q.done, budget)
		budget -= q.chunk
	}
	single := e.cfg.Batching == Single
	for p.state == serving && budget > 0 && !(single && len(p.active) > 0) {
		q := p.queue.pop()
		if q == nil {
			q = e.queue.pop()
		}
		if q == nil {
			return
		}
		e.unqueue(q)
		q.state, q.prefill = prefilling, p
		q.hit = p.cache.match(q)
		pad := int32(e.cfg.Service.PadTokens)
		q.need = (q.prompt() - q.hit + pad - 1) / pad * pad
		q.done, q.chunk = 0, q.need
		p.load += int64(q.prompt() - q.cached)
		p.active = append(p.active, q)
		if !single {
			q.chunk = min(q.chunk, budget)
			budget -= q.chunk
		}
	}
}

// endPrefill ends a prefill replica's step: prompts that are complete give their first token and leave.
func (e *Engine) endPrefill(p *replica) {
	e.counters.PrefillBusy += e.now - p.since
	p.since = e.now
	still, complete := p.active[:0], p.complete[:0]
	for _, q := range p.active {
		q.done += q.chunk
		if q.done < q.need {
			still = append(still, q)
		} else {
			complete = append(complete, q)
		}
	}
	clear(p.active[len(still):])
	p.active = still
	sent := false
	for _, q := range complete {
		p.load -= int64(q.prompt() - q.cached)
		e.counters.PromptTokens += int64(q.prompt())
		e.counters.ComputedTokens += int64(q.prompt() - q.hit)
		p.cache.keep(q)
		sent = e.leavePrefill(p, q) || sent
	}
	clear(complete)
	p.complete = complete[:0]
	if sent && e.cfg.Service.TransferBlocksPrefill {
		p.version++
		e.agenda.add(event{at: p.linkFree, kind: released, replica: p, version: p.version}, p.id)
		return
	}
	e.startPrefill(p)
}

// freePrefill goes on after blocking transfers.
func (e *Engine) freePrefill(p *replica) {
	p.since = e.now
	e.startPrefill(p)
}

// leavePrefill ends a prompt; it reports whether its KV cache has to be sent.
func (e *Engine) leavePrefill(p *replica, q *request) bool {
	prompt := q.prompt()
	if e.atPrefill {
		e.firstToken(q, e.now)
		q.generated++
		if q.left() == 0 {
			e.release(q)
			e.finish(q)
			return false
		}
	}
	e.send(p, q, prompt)
	return true
}

// send starts the transfer of a prompt's KV cache: the link carries one after the other, the latency comes on top.
func (e *Engine) send(p *replica, q *request, tokens int32) {
	q.state, q.prefill = transferring, p
	p.sending++
	link, n := e.cfg.Service.Prefill.Transfer, float64(tokens)
	if other := e.cfg.Service.Decode.Transfer; other.Ms(n) > link.Ms(n) {
		link = other // the slower end
	}
	start := max(e.now, p.linkFree)
	p.linkFree = start.plus(milliseconds(link.MsPerToken * n))
	arrives := p.linkFree.plus(milliseconds(link.LatencyMs))
	if e.cfg.Service.TransferBlocksPrefill {
		p.linkFree = arrives
	}
	e.agenda.add(event{at: arrives, kind: transferred, request: q, version: q.version}, q.id)
}

// handOver ends a transfer: the sequence joins the decode replica's next step.
func (e *Engine) handOver(q *request) {
	p, d := q.prefill, q.decode
	q.prefill = nil
	p.sending--
	e.leaveIfDrained(p)
	q.state = joining
	d.joining.push(q)
	d.joiningCount++
	switch {
	case d.run.steps == 0:
		d.run.start, d.run.fraction = e.now, 0
		e.startRun(d)
	case len(d.running) < e.cfg.Service.MaxSequences:
		e.shorten(d, e.steps.done(&d.run, e.now)+1)
	}
}
