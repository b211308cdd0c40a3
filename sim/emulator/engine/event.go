package engine

import "time"

type eventKind uint8

const (
	arrives     eventKind = iota // a request of a source
	delivered                    // the queue handed a message to a prefill worker
	prefilled                    // a prefill worker ended its prompt
	transferred                  // a KV cache reached its decode worker
	stepped                      // a decode worker ended its run of steps
	expires                      // a message grew too old in the queue
	graceEnds                    // a terminating worker is killed
)

// event is something that will happen. Events of the same time happen in the
// order in which they were scheduled, which makes a run repeatable.
type event struct {
	at    time.Duration
	order uint64
	kind  eventKind

	worker  *worker
	request *request
	// to is the prefill worker of a delivery, which may be gone by then.
	to string
	// version is that of the request's attempt or of the worker's job; an event
	// of an older version is void.
	version uint64
	source  Source
	message Message
}

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.order < f.order
}

// agenda is a binary heap of events.
type agenda struct {
	events []event
	order  uint64
}

func (a *agenda) add(e event) {
	a.order++
	e.order = a.order
	a.events = append(a.events, e)
	for i := len(a.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.events[i].before(&a.events[parent]) {
			break
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
}

// due reports whether an event lies at or before now.
func (a *agenda) due(now time.Duration) bool {
	return len(a.events) > 0 && a.events[0].at <= now
}

func (a *agenda) pop() event {
	first, last := a.events[0], len(a.events)-1
	a.events[0] = a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if a.events[child].before(&a.events[least]) {
				least = child
			}
		}
		if least == i {
			return first
		}
		a.events[i], a.events[least] = a.events[least], a.events[i]
		i = least
	}
}
