package natsqueue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
)

// Options name the queue. A zero field takes Dynamo's value.
type Options struct {
	Stream   string
	Consumer string
	// MaxAge is when a message that nobody took expires. Default 10 minutes.
	MaxAge time.Duration
	// Logger gets what goes wrong; nil is silence.
	Logger *slog.Logger
}

// Dynamo's names of 2025.
const (
	DefaultStream   = "dynamo_prefill_queue"
	DefaultConsumer = "worker-group"
	defaultMaxAge   = 10 * time.Minute
)

// Subject is where the prompts of a stream are published.
func Subject(stream string) string { return stream + ".queue" }

// Delivery is a message for a worker, to be passed on to Engine.Deliver.
type Delivery struct {
	Worker  string
	Message engine.Message
}

// Queue implements engine.Queue on a JetStream stream. What the server holds
// back or loses is late or lost here too.
type Queue struct {
	o        Options
	conn     *nats.Conn
	js       jetstream.JetStream
	consumer jetstream.Consumer

	ctx        context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup
	deliveries chan Delivery

	mu          sync.Mutex
	unpublished []engine.Message
	published   chan struct{} // holds a token while there is something to publish
	pullers     map[string]*puller
}

const (
	connectTimeout = time.Minute
	retryPause     = 200 * time.Millisecond
	publishTimeout = 2 * time.Second
)

// Connect connects to a server and creates stream and consumer where they do
// not exist.
func Connect(ctx context.Context, url string, o Options) (*Queue, error) {
	if o.Stream == "" {
		o.Stream = DefaultStream
	}
	if o.Consumer == "" {
		o.Consumer = DefaultConsumer
	}
	if o.MaxAge <= 0 {
		o.MaxAge = defaultMaxAge
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	conn, err := nats.Connect(url, nats.Name("emulated prefill workers"), nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(retryPause))
	if err != nil {
		return nil, fmt.Errorf("natsqueue: cannot connect to %s: %w", url, err)
	}
	q := &Queue{o: o, conn: conn, deliveries: make(chan Delivery, 256), published: make(chan struct{}, 1), pullers: map[string]*puller{}}
	if err := q.create(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	q.ctx, q.cancel = context.WithCancel(context.WithoutCancel(ctx))
	q.running.Go(q.publishAll)
	return q, nil
}

func (q *Queue) create(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if q.js, err = jetstream.New(q.conn); err != nil {
		return fmt.Errorf("natsqueue: %w", err)
	}
	stream, err := q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: q.o.Stream, Subjects: []string{q.o.Stream + ".*"}, Retention: jetstream.LimitsPolicy, MaxAge: q.o.MaxAge,
	})
	if err != nil {
		return fmt.Errorf("natsqueue: stream %s: %w", q.o.Stream, err)
	}
	q.consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: q.o.Consumer, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return fmt.Errorf("natsqueue: consumer %s of stream %s: %w", q.o.Consumer, q.o.Stream, err)
	}
	return nil
}

// Deliveries are the messages that workers got. Whoever drives the engine reads
// them and passes each to Engine.Deliver.
func (q *Queue) Deliveries() <-chan Delivery { return q.deliveries }

// Bind implements engine.Queue; deliveries go through Deliveries instead.
func (q *Queue) Bind(func(string, engine.Message)) {}

// Publish implements engine.Queue: the message is sent soon after, in order, and
// again until the server has confirmed it.
func (q *Queue) Publish(m engine.Message) {
	q.mu.Lock()
	q.unpublished = append(q.unpublished, m)
	q.mu.Unlock()
	select {
	case q.published <- struct{}{}:
	default:
	}
}

func (q *Queue) publishAll() {
	for {
		select {
		case <-q.ctx.Done():
			return
		case <-q.published:
		}
		q.mu.Lock()
		batch := q.unpublished
		q.unpublished = nil
		q.mu.Unlock()
		for _, m := range batch {
			for !q.publish(m) {
				if !q.pause() {
					return
				}
			}
		}
	}
}

// publish sends one message. Its identity lets the server drop a second copy of
// a message whose confirmation was lost.
func (q *Queue) publish(m engine.Message) bool {
	data, err := json.Marshal(m)
	if err != nil {
		q.o.Logger.Error("prefill message cannot be written as JSON", "request", m.Request, "error", err)
		return true
	}
	ctx, cancel := context.WithTimeout(q.ctx, publishTimeout)
	defer cancel()
	_, err = q.js.Publish(ctx, Subject(q.o.Stream), data, jetstream.WithMsgID(fmt.Sprintf("%d-%d", m.Request, m.Attempt)))
	if err != nil && q.ctx.Err() == nil {
		q.o.Logger.Warn("prefill message was not confirmed, sending it again", "request", m.Request, "error", err)
	}
	return err == nil
}

// pause waits before a retry; false when the queue is closed.
func (q *Queue) pause() bool {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-q.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Waiting is the number of prompts that no worker has taken, as the server
// counts them.
func (q *Queue) Waiting(ctx context.Context) (int, error) {
	info, err := q.consumer.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("natsqueue: consumer %s of stream %s: %w", q.o.Consumer, q.o.Stream, err)
	}
	return int(info.NumPending), nil
}

// Close ends all pulls and the connection, and waits for both.
func (q *Queue) Close() {
	q.cancel()
	q.running.Wait()
	q.conn.Close()
}
