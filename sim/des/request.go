package des

import "github.com/pdautoscaler/pdautoscaler/sim/trace"

type requestState uint8

const (
	free         requestState = iota // in the pool, no request at all
	parked                           // no decode replica can take it
	waiting                          // for KV cache at its decode replica
	queued                           // its KV cache is reserved, it is in the prefill queue
	prefilling                       // a prefill replica computes its prompt
	transferring                     // its KV cache is on the way
	joining                          // it joins the batch at the next step, or when there is a place
	decoding                         // in the running batch
)

// request is one request in flight. It is used again when it ends.
type request struct {
	id                    uint64
	arrived, first        Time // first token; noTime before it
	input, output, cached int32
	blocks                []uint64
	found                 []*cachedBlock // of blocks, as far as they were looked up

	state requestState
	// version grows each time the request is routed, and voids what was under way before.
	version uint32
	decode  *replica // where its KV cache is or is waited for
	prefill *replica // computes its prompt or sends its KV cache

	// generated is what the client has, but for the steps since it joined its batch.
	generated int32
	// context is what its KV cache held when it joined the batch, or is reserved for.
	context int32
	joined  int64 // the decode replica's step count when it joined
	order   uint64

	// The prompt's prefill: tokens to compute, padding included, those computed, and those in the current step.
	need, done, chunk int32
	hit               int32 // tokens found in the cache

	preempted, migrated uint16
}

// prompt is what has to be in the KV cache before the next token: the input and, after a preemption or a loss, what was
// generated already.
func (q *request) prompt() int32 { return q.input + q.generated }

// left is how many tokens the client still waits for.
func (q *request) left() int32 { return q.output - q.generated }

// newRequest takes a request from the pool.
func (e *Engine) newRequest(r *trace.Request) *request {
	var q *request
	if n := len(e.spare); n > 0 {
		q, e.spare = e.spare[n-1], e.spare[:n-1]
	} else {
		q = &request{}
		e.pool = append(e.pool, q)
	}
	e.arrivals++
	clear(q.found)
	*q = request{
		found: q.found[:0],
		id:    e.arrivals, arrived: e.now, first: noTime, version: q.version + 1, state: parked,
		input: max(1, r.InputTokens), output: max(1, r.OutputTokens), blocks: r.Blocks,
	}
	q.cached = min(max(0, r.CachedTokens), q.input-1)
	return q
}

func (e *Engine) discard(q *request) {
	q.state, q.decode, q.prefill, q.blocks = free, nil, nil, nil
	q.version++
	e.spare = append(e.spare, q)
}

// fifo is a queue of requests. Those whose version has changed since are passed over.
type fifo struct {
	items []ticket
	head  int
}

type ticket struct {
	request *request
	version uint32
}

func (f *fifo) push(q *request) {
	if f.head > 64 && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, ticket{q, q.version})
}

// peek returns the first that is still queued here, nil when there is none.
func (f *fifo) peek() *request {
	for f.head < len(f.items) {
		if t := f.items[f.head]; t.request.version == t.version {
			return t.request
		}
		f.items[f.head] = ticket{}
		f.head++
	}
	f.items, f.head = f.items[:0], 0
	return nil
}

func (f *fifo) pop() *request {
	q := f.peek()
	if q != nil {
		f.items[f.head] = ticket{}
		f.head++
	}
	return q
}
