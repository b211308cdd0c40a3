package des

// eventKind also orders events of the same time: what ends comes before what begins.
type eventKind uint8

const (
	stepped     eventKind = iota // a decode replica ended its run of steps
	evicted                      // preempted sequences look for a replica again
	transferred                  // a KV cache reached its decode replica
	prefilled                    // a prefill replica ended its step
	released                     // a prefill replica's blocking transfers ended
	started                      // a replica is ready, or its start-up failed
	unstuck                      // a pending replica begins to start
	faulted                      // replicas are killed
	graceEnded                   // a draining replica is killed
)

// event is something that will happen.
type event struct {
	at Time
	// order is the kind and the subject's number: it decides between events of the same time.
	order   uint64
	version uint32
	kind    eventKind
	replica *replica
	request *request
}

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.order < f.order
}

// agenda is a binary heap of events. An event whose subject has moved on since (its version is another) is void and stays
// until its time.
type agenda []event

func (a *agenda) add(e event, subject uint64) {
	e.order = uint64(e.kind)<<56 | subject
	*a = append(*a, e)
	h := *a
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (a *agenda) pop() event {
	h := *a
	first, last := h[0], len(h)-1
	e := h[last]
	h[last] = event{}
	h = h[:last]
	*a = h
	if last == 0 {
		return first
	}
	i := 0
	for {
		least := 2*i + 1
		if least >= last {
			break
		}
		if right := least + 1; right < last && h[right].before(&h[least]) {
			least = right
		}
		if !h[least].before(&e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
	return first
}
