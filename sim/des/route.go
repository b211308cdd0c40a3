package des

import "slices"

// route sends a request to a decode replica, where it waits for KV cache; where there is none it is parked.
func (e *Engine) route(q *request) {
	q.version++
	q.prefill = nil
	d := e.chooseDecode()
	if d == nil {
		q.state, q.decode = parked, nil
		e.parked.push(q)
		return
	}
	q.state, q.decode = waiting, d
	d.waiting.push(q)
	d.waitingCount++
	d.waitingTokens += int64(q.prompt())
	e.admit(d)
}

func (e *Engine) chooseDecode() *replica {
	all := e.replicas[Decode]
	if e.cfg.Routing == RoundRobin {
		return e.takeTurn(Decode)
	}
	var best *replica
	var least int64
	for _, d := range all {
		if d.state != serving {
			continue
		}
		if load := e.kvTokens(d) + d.waitingTokens; best == nil || load < least {
			best, least = d, load
		}
	}
	return best
}

// takeTurn returns the next replica that serves, nil when none does.
func (e *Engine) takeTurn(role Role) *replica {
	all := e.replicas[role]
	for range all {
		e.turn[role]++
		if r := all[e.turn[role]%len(all)]; r.state == serving {
			return r
		}
	}
	return nil
}

// kvTokens is what a decode replica's KV cache holds or is reserved for: while a step runs, each sequence has the slot that
// the step fills.
func (e *Engine) kvTokens(d *replica) int64 {
	if d.run.steps == 0 {
		return d.reserved + d.run.context
	}
	done := e.steps.done(&d.run, e.now)
	return d.reserved + d.run.context + d.run.sequence*min(d.run.steps, done+1)
}

// admit reserves KV cache for those who wait at a decode replica, first come first served, and queues their prompts. A token
// beyond the prompt is asked for, so that each admission leads to at least one step.
func (e *Engine) admit(d *replica) {
	if d.state != serving {
		return
	}
	q := d.waiting.peek()
	if q == nil {
		return
	}
	held := e.kvTokens(d)
	admitted := false
	for ; q != nil; q = d.waiting.peek() {
		prompt := q.prompt()
		if held+int64(prompt)+1 > e.kvAdmit {
			break
		}
		d.waiting.pop()
		d.waitingCount--
		d.waitingTokens -= int64(prompt)
		d.held++
		d.reserved += int64(prompt)
		held += int64(prompt)
		q.context = prompt
		e.admitted++
		q.order = e.admitted
		admitted = true
		e.enqueue(q)
	}
	if admitted && d.run.steps > 0 {
		e.shorten(d, max(e.steps.done(&d.run, e.now)+1, (e.kvTotal-d.reserved-d.run.context)/d.run.sequence))
	}
}

// enqueue puts a request whose KV cache is reserved where prefill will find it.
func (e *Engine) enqueue(q *request) {
	q.state = queued
	e.counters.Queued++
	e.counters.QueuedTokens += int64(q.prompt() - q.cached)
	p := e.choosePrefill(q)
	if p == nil {
		e.queue.push(q)
		if e.idle > 0 {
			e.startPrefill(e.idlePrefill())
		}
		return
	}
	q.prefill = p
	p.queue.push(q)
	p.load += int64(q.prompt() - q.cached)
	if !p.busy {
		e.startPrefill(p)
	}
}

// choosePrefill returns the replica whose own queue a prompt goes to; nil is the common queue.
func (e *Engine) choosePrefill(q *request) *replica {
	switch e.cfg.Routing {
	case RoundRobin:
		return e.takeTurn(Prefill)
	case KVAware:
		var best *replica
		var least int64
		e.prefixes.matchAll(q)
		for _, p := range e.replicas[Prefill] {
			if p.state != serving {
				continue
			}
			if load := p.load + int64(q.prompt()-p.cache.lastMatch(q)); best == nil || load < least {
				best, least = p, load
			}
		}
		return best
	}
	return nil
}

func (e *Engine) idlePrefill() *replica {
	i := slices.IndexFunc(e.replicas[Prefill], func(p *replica) bool { return p.state == serving && !p.busy })
	return e.replicas[Prefill][i]
}

// startAgain routes a request again after its replica was lost, keeping what the client has.
func (e *Engine) startAgain(q *request) {
	if q.state == queued {
		e.unqueue(q)
	}
	if d := q.decode; d != nil && d.state != gone {
		e.release(q)
	}
	if q.state != waiting {
		q.migrated++
		e.counters.Migrated++
	}
	e.route(q)
}

// unqueue takes a request out of the counts of the prefill queue.
func (e *Engine) unqueue(q *request) {
	e.counters.Queued--
	e.counters.QueuedTokens -= int64(q.prompt() - q.cached)
	if q.prefill != nil {
		q.prefill.load -= int64(q.prompt() - q.cached)
	}
}

// release gives back the KV cache, or the place in the queue for it, of a request that is not in a running batch.
func (e *Engine) release(q *request) {
	d := q.decode
	q.decode = nil
	if q.state == waiting {
		d.waitingCount--
		d.waitingTokens -= int64(q.prompt())
		return
	}
	d.held--
	d.reserved -= int64(q.context)
	q.version++ // out of the joining queue
	e.admit(d)
	e.leaveIfDrained(d)
}
