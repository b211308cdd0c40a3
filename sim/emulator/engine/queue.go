package engine

import "slices"

// Message asks for one prompt to be computed.
type Message struct {
	Request uint64 `json:"request"`
	// Attempt tells a request that was queued again from its earlier message.
	Attempt      uint64 `json:"attempt"`
	InputTokens  int    `json:"inputTokens"`
	CachedTokens int    `json:"cachedTokens"`
	// Decode is the worker whose KV blocks are reserved.
	Decode string `json:"decode"`
}

// Queue is the prefill queue: first in, first out, each message to one worker.
// The engine calls it from its own goroutine, and none of its methods may block.
type Queue interface {
	// Bind is called once, before any other method, with Engine.Deliver. A queue
	// that works in other goroutines may not call it from there: it leaves it to
	// whoever drives the engine.
	Bind(deliver func(worker string, m Message))
	// Publish adds a message at the end.
	Publish(m Message)
	// Pull asks for one message for a worker. It stays open until a message is
	// delivered; a worker has one open pull at most.
	Pull(worker string)
	// Cancel says that a worker will not pull again and ends its pull, if one is
	// open. A message that was already on its way may still be delivered.
	Cancel(worker string)
}

// MemoryQueue is a Queue inside the engine's own goroutine. Workers get
// messages in the order of their pulls.
type MemoryQueue struct {
	deliver  func(string, Message)
	messages []Message
	pulls    []string
}

// NewMemoryQueue returns an empty queue for one engine.
func NewMemoryQueue() *MemoryQueue { return &MemoryQueue{} }

// Bind implements Queue.
func (q *MemoryQueue) Bind(deliver func(string, Message)) { q.deliver = deliver }

// Publish implements Queue.
func (q *MemoryQueue) Publish(m Message) {
	q.messages = append(q.messages, m)
	q.match()
}

// Pull implements Queue.
func (q *MemoryQueue) Pull(worker string) {
	q.pulls = append(q.pulls, worker)
	q.match()
}

// Cancel implements Queue.
func (q *MemoryQueue) Cancel(worker string) {
	q.pulls = slices.DeleteFunc(q.pulls, func(w string) bool { return w == worker })
}

// Len is the number of messages that wait.
func (q *MemoryQueue) Len() int { return len(q.messages) }

func (q *MemoryQueue) match() {
	for len(q.messages) > 0 && len(q.pulls) > 0 {
		worker, m := q.pulls[0], q.messages[0]
		q.pulls, q.messages = q.pulls[1:], q.messages[1:]
		q.deliver(worker, m)
	}
}
