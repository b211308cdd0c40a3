package des

// slot is a sequence of a running batch.
type slot struct {
	finish  int64 // the replica's step count with which it is complete
	request *request
}

func (s *slot) before(o *slot) bool {
	return s.finish < o.finish || s.finish == o.finish && s.request.order < o.request.order
}

// batch is a heap of sequences, the one that ends first at the front.
type batch []slot

func (b *batch) push(s slot) {
	*b = append(*b, s)
	h := *b
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = s
}

// take removes the sequence at place i.
func (b *batch) take(i int) slot {
	h := *b
	out, last := h[i], len(h)-1
	s := h[last]
	h[last] = slot{}
	h = h[:last]
	*b = h
	if i == last {
		return out
	}
	for i > 0 && s.before(&h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	for {
		least := 2*i + 1
		if least >= last {
			break
		}
		if right := least + 1; right < last && h[right].before(&h[least]) {
			least = right
		}
		if !h[least].before(&s) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = s
	return out
}

// shorten ends a run of steps early. Nothing that it holds changes by that; a run can always be cut.
func (e *Engine) shorten(d *replica, steps int64) {
	if steps < d.run.steps {
		d.run.steps = steps
		e.scheduleSteps(d)
	}
}

func (e *Engine) scheduleSteps(d *replica) {
	d.version++
	at, _ := e.steps.end(&d.run, d.run.steps)
	e.agenda.add(event{at: at, kind: stepped, replica: d, version: d.version}, d.id)
}

// endRun ends a run: sequences finish, others join, the next run starts.
func (e *Engine) endRun(d *replica) {
	e.settle(d, d.run.steps)
	freed := false
	for len(d.running) > 0 && d.running[0].finish == d.stepCount {
		q := d.running.take(0).request
		d.run.context -= int64(q.context) + d.stepCount - q.joined
		d.held--
		freed = true
		e.finish(q)
	}
	e.startRun(d)
	if freed {
		e.admit(d)
		e.leaveIfDrained(d)
	}
}

// settle books a number of steps of the run. The run is then one without steps that starts where they ended.
func (e *Engine) settle(d *replica, steps int64) {
	r := &d.run
	e.counters.DecodeBusy += e.runTime(d, steps)
	r.start, r.fraction = e.steps.end(r, steps)
	r.context += r.sequence * steps
	d.stepCount += steps
	e.counters.GeneratedTokens += r.sequence * steps
	e.counters.DecodeSteps += steps
	r.steps, r.sequence = 0, 0
}

func (e *Engine) runTime(d *replica, steps int64) Time {
	at, _ := e.steps.end(&d.run, steps)
	return at - d.run.start
}

// startRun forms the next batch and starts its run.
func (e *Engine) startRun(d *replica) {
	fresh := d.fresh[:0]
	fresh = e.joinAll(d, fresh)
	for len(d.running) > 0 && d.reserved+d.run.context+int64(len(d.running)) > e.kvTotal {
		e.preempt(d)
		fresh = e.joinAll(d, fresh) // a place in the batch became free
	}
	if n := int64(len(d.running)); n > 0 {
		r := &d.run
		r.sequence = n
		r.steps = min(d.running[0].finish-d.stepCount, (e.kvTotal-d.reserved-r.context)/n, maxRunSteps)
		if e.cfg.Stepwise {
			r.steps = 1
		}
		e.scheduleSteps(d)
		first, _ := e.steps.end(r, 1)
		for _, q := range fresh {
			if q.first == noTime && q.state == decoding {
				e.firstToken(q, first)
			}
		}
	}
	clear(fresh)
	d.fresh = fresh[:0]
	e.leaveIfDrained(d) // it may have preempted all it had
}

// routeEvicted gives preempted sequences to the replicas again. It comes after all steps that end at the same time:
// a replica that takes one in must have ended its own step, whether its steps are taken singly or at once.
func (e *Engine) routeEvicted() {
	again := e.evicted
	e.evicted = nil
	for _, q := range again {
		e.route(q)
	}
}

// joinAll takes those who wait for the batch in, as far as there are places, and adds them to fresh.
func (e *Engine) joinAll(d *replica, fresh []*request) []*request {
	for d.joiningCount > 0 && len(d.running) < e.cfg.Service.MaxSequences {
		q := d.joining.pop()
		d.joiningCount--
		d.reserved -= int64(q.context)
		d.run.context += int64(q.context)
		q.state, q.joined = decoding, d.stepCount
		d.running.push(slot{finish: d.stepCount + int64(q.left()), request: q})
		fresh = append(fresh, q)
	}
	return fresh
}

// preempt drops the youngest sequence of a batch, between two runs.
func (e *Engine) preempt(d *replica) {
	youngest := 0
	for i := range d.running {
		if d.running[i].request.order > d.running[youngest].request.order {
			youngest = i
		}
	}
	q := e.dropOut(d, youngest)
	q.preempted++
	e.counters.Preempted++
	if len(e.evicted) == 0 {
		e.agenda.add(event{at: e.now, kind: evicted}, 0)
	}
	e.evicted = append(e.evicted, q)
}

// dropOut takes a sequence out of a batch between two runs, with what it has generated.
func (e *Engine) dropOut(d *replica, place int) *request {
	q := d.running.take(place).request
	steps := d.stepCount - q.joined
	d.run.context -= int64(q.context) + steps
	d.held--
	q.generated += int32(steps)
	q.decode = nil
	if q.first > e.now {
		q.first = noTime // its first step was not to end
	}
	return q
}
