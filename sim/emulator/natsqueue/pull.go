package natsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// puller is one worker's side of the consumer. It keeps one inbox for the
// worker's whole life: a message that comes after its request has timed out is
// taken by the next request instead of being lost until it is redelivered, as
// it would be with an inbox per request.
type puller struct {
	worker string
	want   chan struct{} // holds a token while the worker has asked for a message
	stop   chan struct{}
}

// pullTimeout is how long one request for a message stays open at the server,
// answerTimeout how long its answer is waited for.
const (
	pullTimeout   = time.Second
	answerTimeout = 1500 * time.Millisecond
)

// Pull implements engine.Queue.
func (q *Queue) Pull(worker string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.pullers[worker]
	if p == nil {
		p = &puller{worker: worker, want: make(chan struct{}, 1), stop: make(chan struct{})}
		q.pullers[worker] = p
		q.running.Go(func() { q.serve(p) })
	}
	select {
	case p.want <- struct{}{}:
	default:
	}
}

// Cancel implements engine.Queue. A request that is open at the server ends by
// its timeout; what it still brings is delivered.
func (q *Queue) Cancel(worker string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.pullers[worker]; p != nil {
		delete(q.pullers, worker)
		close(p.stop)
	}
}

// serve fetches messages for one worker, one for each time it asks.
func (q *Queue) serve(p *puller) {
	sub, err := q.conn.SubscribeSync(q.conn.NewInbox())
	for err != nil {
		q.o.Logger.Warn("no inbox for a prefill worker", "worker", p.worker, "error", err)
		if !q.pause() {
			return
		}
		sub, err = q.conn.SubscribeSync(q.conn.NewInbox())
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case <-q.ctx.Done():
			return
		case <-p.stop:
			q.rest(p, sub)
			return
		case <-p.want:
		}
		for !p.stopped() && q.ctx.Err() == nil && !q.fetch(p, sub) {
		}
	}
}

func (p *puller) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// rest delivers what has come for a worker that will not ask again, so that it
// need not wait for the server to redeliver it.
func (q *Queue) rest(p *puller, sub *nats.Subscription) {
	for {
		m, err := sub.NextMsg(time.Millisecond)
		if err != nil {
			return
		}
		if m.Header.Get("Status") == "" {
			q.deliver(p, m)
		}
	}
}

// fetch asks for one message and delivers it; false when none came in time.
func (q *Queue) fetch(p *puller, sub *nats.Subscription) bool {
	pending, _, _ := sub.Pending()
	if pending == 0 {
		ask, _ := json.Marshal(struct {
			Batch   int           `json:"batch"`
			Expires time.Duration `json:"expires"`
		}{1, pullTimeout})
		if err := q.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+q.o.Stream+"."+q.o.Consumer, sub.Subject, ask); err != nil {
			return !q.pause()
		}
	}
	ctx, cancel := context.WithTimeout(q.ctx, answerTimeout)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			if q.ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
				q.pause()
			}
			return false
		}
		if status := m.Header.Get("Status"); status != "" {
			if status != noMessages && status != timedOut {
				// No responders (503) while JetStream is away, or a conflict (409).
				q.pause()
			}
			return false
		}
		if q.deliver(p, m) {
			return true
		}
	}
}

// Statuses of an empty answer to a request for a message.
const (
	noMessages = "404"
	timedOut   = "408"
)

// deliver acknowledges a message at once, as Dynamo's workers do, and passes it
// on; false when it was not one of ours.
func (q *Queue) deliver(p *puller, m *nats.Msg) bool {
	if err := m.Respond([]byte("+ACK")); err != nil {
		q.o.Logger.Warn("prefill message could not be acknowledged", "worker", p.worker, "error", err)
	}
	var message engine.Message
	if err := json.Unmarshal(m.Data, &message); err != nil {
		q.o.Logger.Warn("message in the prefill queue is not one of ours", "subject", m.Subject, "error", err)
		return false
	}
	select {
	case q.deliveries <- Delivery{Worker: p.worker, Message: message}:
	case <-q.ctx.Done():
	}
	return true
}
