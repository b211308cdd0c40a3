package des

import (
	"slices"
	"time"
)

type replicaState uint8

const (
	pending  replicaState = iota // it cannot start yet and holds no GPU
	starting                     // it holds its GPUs and serves nothing
	serving
	draining // it ends what it has
	gone
)

// replica is one instance of a role. Only the fields of its role are used.
type replica struct {
	id      uint64
	role    Role
	state   replicaState
	changed Time // since when it is in this state; of one that starts, since when it was asked for
	asked   Time
	// version counts what was scheduled for it; an event of an older one is void.
	version uint32

	// Prefill.
	queue    fifo // its own
	load     int64
	active   []*request // whose prompts are being computed
	complete []*request
	busy     bool // computing, or waiting for a blocking transfer
	since    Time // when the current step began
	cache    *prefixCache
	sending  int
	linkFree Time

	// Decode.
	waiting       fifo // for KV cache
	waitingCount  int
	waitingTokens int64
	held          int   // requests that hold KV cache here, reserved or used
	reserved      int64 // tokens of those not in the batch
	joining       fifo
	joiningCount  int
	running       batch
	run           run
	stepCount     int64 // steps before the run
	fresh         []*request
}

// Scale sets how many replicas of a role are wanted: new ones start, or the newest drain.
func (e *Engine) Scale(role Role, replicas int) {
	replicas = min(max(0, replicas), maxReplicas)
	e.desired[role] = replicas
	live := 0
	for _, r := range e.replicas[role] {
		if r.state != draining {
			live++
		}
	}
	for ; live < replicas; live++ {
		e.begin(e.create(role))
	}
	for i := len(e.replicas[role]) - 1; i >= 0 && live > replicas; i-- {
		if r := e.replicas[role][i]; r.state != draining {
			live--
			e.drain(r)
		}
	}
}

// Desired is the count last asked for.
func (e *Engine) Desired(role Role) int { return e.desired[role] }

func (e *Engine) create(role Role) *replica {
	e.serial++
	r := &replica{id: e.serial, role: role, state: pending, changed: e.now, asked: e.now}
	if role == Prefill {
		tokens := int64(e.cfg.PrefixCacheTokens)
		if tokens == 0 {
			tokens = int64(e.cfg.Service.Prefill.KVCapacityTokens)
		}
		r.cache = e.prefixes.cache(tokens)
	}
	e.replicas[role] = append(e.replicas[role], r)
	return r
}

// begin starts a replica, or lets it wait where a fault keeps it pending.
func (e *Engine) begin(r *replica) {
	until := Time(0)
	for i := range e.cfg.Faults {
		if f := &e.cfg.Faults[i]; f.holds(StuckPending, r.role, e.now) {
			until = max(until, f.end())
		}
	}
	switch until {
	case 0:
		e.beginStart(r)
	case forever:
		e.measure() // it is claimed for good
	default:
		r.version++
		e.agenda.add(event{at: until, kind: unstuck, replica: r, version: r.version}, r.id)
		e.measure()
	}
}

func (e *Engine) beginStart(r *replica) {
	e.become(r, starting)
	r.changed = r.asked
	r.version++
	e.agenda.add(event{at: e.now.plus(timeOf(e.pools(r.role).Startup)), kind: started, replica: r, version: r.version}, r.id)
}

// endStart makes a replica ready, unless a fault lets its start fail.
func (e *Engine) endStart(r *replica) {
	for i := range e.cfg.Faults {
		if e.cfg.Faults[i].holds(FailStart, r.role, e.now) {
			e.counters.FailedStarts++
			e.agenda.add(event{at: e.now.plus(max(timeOf(time.Second), timeOf(e.pools(r.role).Startup))), kind: started, replica: r, version: r.version}, r.id)
			return
		}
	}
	e.ready(r)
}

func (e *Engine) ready(r *replica) {
	e.become(r, serving)
	if r.role == Decode {
		for range len(e.parked.items) - e.parked.head {
			if q := e.parked.pop(); q != nil {
				e.route(q)
			}
		}
		return
	}
	e.idle++
	e.startPrefill(r)
}

// drain takes a replica out of service. One that has not started is gone at once.
func (e *Engine) drain(r *replica) {
	if r.state != serving {
		e.remove(r)
		return
	}
	e.become(r, draining)
	switch r.role {
	case Prefill:
		if !r.busy {
			e.idle--
		}
		for q := r.queue.pop(); q != nil; q = r.queue.pop() {
			e.unqueue(q)
			q.prefill = nil
			e.enqueue(q)
		}
	case Decode:
		for q := r.waiting.pop(); q != nil; q = r.waiting.pop() {
			e.release(q)
			e.route(q)
		}
	}
	if !e.leaveIfDrained(r) {
		e.agenda.add(event{at: e.now.plus(timeOf(e.pools(r.role).Grace)), kind: graceEnded, replica: r}, r.id)
	}
}

// leaveIfDrained removes a draining replica that has nothing left to do.
func (e *Engine) leaveIfDrained(r *replica) bool {
	if r.state != draining || r.busy || r.sending > 0 || r.held > 0 {
		return false
	}
	e.remove(r)
	return true
}

func (e *Engine) remove(r *replica) {
	e.become(r, gone)
	r.version++
	if r.cache != nil {
		r.cache.forget()
	}
	i := slices.Index(e.replicas[r.role], r)
	e.replicas[r.role] = slices.Delete(e.replicas[r.role], i, i+1)
	e.measure()
}

// become changes a replica's state, and what GPUs are held by that.
func (e *Engine) become(r *replica, state replicaState) {
	e.measure()
	r.state, r.changed = state, e.now
	e.measure()
}

// strike kills replicas of a role that serve, the oldest first. Each is replaced.
func (e *Engine) strike(f *Fault) {
	for range max(1, f.Replicas) {
		i := slices.IndexFunc(e.replicas[f.Role], func(r *replica) bool { return r.state == serving })
		if i < 0 {
			return
		}
		e.kill(e.replicas[f.Role][i])
		e.begin(e.create(f.Role))
	}
}

// kill ends a replica at once; what it had is routed again.
func (e *Engine) kill(r *replica) {
	if r.role == Decode && r.run.steps > 0 {
		e.settle(r, e.steps.done(&r.run, e.now))
	}
	if r.role == Prefill {
		if r.busy && len(r.active) > 0 {
			e.counters.PrefillBusy += e.now - r.since
		}
		if !r.busy && r.state == serving {
			e.idle--
		}
	}
	for r.role == Decode && len(r.running) > 0 {
		q := e.dropOut(r, 0)
		q.state = joining // it holds nothing any more
	}
	e.remove(r)
	var lost []*request
	for _, q := range e.pool {
		// Those dropped out of the batch above have no replica left.
		orphan := q.state == joining && q.decode == nil
		if q.state != free && q.state != parked && (orphan || q.decode == r || q.prefill == r) {
			lost = append(lost, q)
		}
	}
	slices.SortFunc(lost, func(a, b *request) int { return int(int64(a.id) - int64(b.id)) })
	for _, q := range lost {
		if p := q.prefill; p != nil && p != r {
			e.abandon(p, q)
		}
		e.startAgain(q)
	}
}

// abandon takes a request from the prefill replica that still works for it. A step that runs goes on without it.
func (e *Engine) abandon(p *replica, q *request) {
	switch q.state {
	case prefilling:
		p.load -= int64(q.prompt() - q.cached)
		i := slices.Index(p.active, q)
		p.active = slices.Delete(p.active, i, i+1)
	case transferring:
		p.sending--
		e.leaveIfDrained(p)
	}
}
