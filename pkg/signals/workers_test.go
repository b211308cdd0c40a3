package signals

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// worker side of the queue.
type workers struct {
	t testing.TB
	// ctx is the test's, with a deadline: without one JetStream's client gives each question 5 s.
	ctx      context.Context
	js       jetstream.JetStream
	stream   jetstream.Stream
	consumer jetstream.Consumer
	// published is how many messages were sent.
	published int
}

func newWorkers(t testing.TB, s *server.Server) *workers {
	t.Helper()
	conn, err := nats.Connect(s.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	t.Cleanup(cancel)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return &workers{t: t, ctx: ctx, js: js}
}

func (w *workers) createStream(replicas int) {
	w.t.Helper()
	var err error
	if w.stream, err = w.js.CreateStream(w.ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{stream + ".*"}, Replicas: replicas}); err != nil {
		w.t.Fatal(err)
	}
}

// keepFor changes how long the stream keeps a message. It is never made 0, for ever: a check of ages that is under way then
// takes all messages for too old.
func (w *workers) keepFor(maxAge time.Duration) {
	w.t.Helper()
	cfg := w.stream.CachedInfo().Config
	cfg.MaxAge = maxAge
	cfg.Duplicates = min(maxAge, 2*time.Minute) // it may be no longer
	var err error
	if w.stream, err = w.js.UpdateStream(w.ctx, cfg); err != nil {
		w.t.Fatal(err)
	}
}

// onceOnly is a consumer that gives no message out again while a test lasts: by itself it would after 30 s.
var onceOnly = jetstream.ConsumerConfig{Durable: consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour}

func (w *workers) createConsumer() {
	w.t.Helper()
	var err error
	if w.consumer, err = w.stream.CreateConsumer(w.ctx, onceOnly); err != nil {
		w.t.Fatal(err)
	}
}

// publish puts messages into the queue and waits for the consumer to know of
// them: the server acknowledges a message a moment before it counts it.
func (w *workers) publish(n int) {
	w.t.Helper()
	before := uint64(0)
	if w.consumer != nil {
		before = w.waiting()
	}
	w.send(n)
	if w.consumer != nil {
		w.awaitWaiting(before + uint64(n))
	}
}

// send puts messages into the queue.
func (w *workers) send(n int) {
	w.t.Helper()
	for range n {
		w.published++
		id := jetstream.WithMsgID(fmt.Sprint(w.published)) // one that was taken and not answered for is not taken twice
		w.try("the stream to take a message", func(ctx context.Context) error {
			_, err := w.js.Publish(ctx, subject, []byte("prefill this"), id)
			return err
		})
	}
}

// answerWithin is after how long a question is asked again: one that came while nobody led is lost.
const answerWithin = 2 * time.Second

// try asks until there is a good answer.
func (w *workers) try(what string, ask func(ctx context.Context) error) {
	w.t.Helper()
	await(w.t, what, func() bool {
		ctx, cancel := context.WithTimeout(w.ctx, answerWithin)
		defer cancel()
		return ask(ctx) == nil
	})
}

// waiting is what the consumer itself counts.
func (w *workers) waiting() uint64 {
	w.t.Helper()
	var info *jetstream.ConsumerInfo
	w.try("the consumer to answer", func(ctx context.Context) (err error) { info, err = w.consumer.Info(ctx); return err })
	return info.NumPending
}

// awaitWaiting waits for the consumer to count so many.
func (w *workers) awaitWaiting(n uint64) {
	w.t.Helper()
	await(w.t, fmt.Sprintf("the consumer to count %d messages", n), func() bool { return w.waiting() == n })
}

// fetch takes messages out of the queue and acknowledges them, as prefill workers do at once.
func (w *workers) fetch(n int, ack bool) {
	w.t.Helper()
	batch, err := w.consumer.Fetch(n, jetstream.FetchMaxWait(patience))
	if err != nil {
		w.t.Fatal(err)
	}
	taken := 0
	for m := range batch.Messages() {
		taken++
		if ack {
			if err := m.DoubleAck(w.ctx); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if taken != n {
		w.t.Fatalf("%d messages were taken, want %d (%v)", taken, n, batch.Error())
	}
}

// await waits for what another process does in its own time.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	const most = 2 * patience // only a hang takes longer
	deadline := time.After(most)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", most, what)
		}
	}
}

// publishTo puts messages into the queue and waits for every server to hold them. A server that leads from now on counts what it
// holds itself, and one that lags behind counts too few.
func (w *workers) publishTo(servers []*server.Server, n int) {
	w.t.Helper()
	w.publish(n)
	for _, s := range servers {
		await(w.t, fmt.Sprintf("%s to hold %d messages", s.Name(), w.published), func() bool {
			held, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
			if err != nil {
				w.t.Fatal(err)
			}
			for _, account := range held.AccountDetails {
				for i := range account.Streams {
					if of := &account.Streams[i]; of.Name == stream && of.State.Msgs == uint64(w.published) {
						return true
					}
				}
			}
			return false
		})
	}
}
