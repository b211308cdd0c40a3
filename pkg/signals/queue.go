package signals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// queue reads the depth of a JetStream pull consumer through the JetStream
// API: the answer comes from the consumer's leader whichever server is asked.
// The monitoring page of a follower says 0, and the stream's message count
// keeps what was already worked, so neither is the depth.
type queue struct {
	cfg  NATSConfig
	stop context.CancelFunc
	// tried is closed when the first attempt to connect has ended.
	tried chan struct{}
	link  atomic.Pointer[link]

	points []queuePoint // of one life of the consumer, oldest first
	// born tells one life of the consumer from the next.
	born time.Time
	// lost is how many messages went undelivered, 0 since work was last seen to go on.
	lost   uint64
	lostAt time.Time
	keep   time.Duration
	// stream is the one that the consumer was last found on.
	stream string
	// monitored says that the last state came from a monitoring page.
	monitored bool
	monitor   *http.Client
}

// queuePoint is the state of the consumer at one time.
type queuePoint struct {
	at time.Time
	// waiting messages were never delivered; working ones are delivered and not
	// acknowledged. Workers that acknowledge at once show no working ones.
	waiting, working uint64
	// delivered counts deliveries ever. It is the only proof of work: the
	// acknowledgement floor also moves when messages expire.
	delivered uint64
}

// link is a connection, or why there is none yet.
type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
	err  error
}

// reconnectWait is the time between two attempts to connect.
const reconnectWait = time.Second

// newQueue connects in the background and keeps trying until close.
func newQueue(cfg Config) *queue {
	ctx, stop := context.WithCancel(context.Background())
	q := &queue{cfg: *cfg.NATS, stop: stop, tried: make(chan struct{}), keep: cfg.Window + cfg.MaxAge, stream: cfg.NATS.Stream}
	q.monitor = newMonitor(&q.cfg)
	go q.connect(ctx, cfg.Timeout)
	return q
}

// connect makes the first connection, however often it must try, and ends it
// with ctx. A connection once made is made again by the client library.
func (q *queue) connect(ctx context.Context, timeout time.Duration) {
	var first sync.Once
	again := time.NewTicker(reconnectWait)
	defer again.Stop()
	for {
		l := &link{}
		if l.conn, l.err = nats.Connect(q.cfg.URL, q.cfg.options(ctx, timeout)...); l.err == nil {
			defer l.conn.Close()
			l.js, l.err = jetstream.New(l.conn)
		}
		q.link.Store(l)
		first.Do(func() { close(q.tried) })
		if l.conn != nil {
			<-ctx.Done()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// cancelDialer dials until its context ends, so that close never waits for a server.
type cancelDialer struct {
	ctx context.Context
	net.Dialer
}

func (d *cancelDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(d.ctx, network, address)
}

func (n *NATSConfig) options(ctx context.Context, timeout time.Duration) []nats.Option {
	options := []nats.Option{
		nats.Name("pdautoscaler"),
		nats.Timeout(timeout),
		nats.SetCustomDialer(&cancelDialer{ctx, net.Dialer{Timeout: timeout}}),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password that is put right is used
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),                                         // a question asked while away fails at once
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // kept off stderr; LastError has it
		// A server of the cluster that it tells of may be any host: with credentials
		// only the addresses of the configuration are asked.
		nats.IgnoreDiscoveredServers(),
	}
	login, err := n.login()
	if err != nil {
		return append(options, func(*nats.Options) error { return err })
	}
	return append(options, login...)
}

// login are the options that carry credentials and certificates, or what is
// wrong with them. No message repeats a credential.
func (n *NATSConfig) login() ([]nats.Option, error) {
	var options []nats.Option
	switch {
	case n.User != "" || n.Password != "":
		options = append(options, nats.UserInfo(n.User, n.Password))
	case n.Token != "":
		options = append(options, nats.Token(n.Token))
	case len(n.Credentials) > 0:
		// Both halves are looked at now: the library looks when it connects.
		_, errToken := nkeys.ParseDecoratedJWT(n.Credentials)
		_, errSeed := nkeys.ParseDecoratedUserNKey(n.Credentials)
		if errToken != nil || errSeed != nil {
			return nil, errors.New("signals: the NATS credentials hold no JWT with its seed: they must be the content of a .creds file")
		}
		options = append(options, nats.UserCredentialBytes(n.Credentials))
	case len(n.NKeySeed) > 0:
		pair, err := nkeys.FromSeed(bytes.TrimSpace(n.NKeySeed))
		if err != nil {
			return nil, errors.New("signals: the NATS NKey seed is not valid: it must begin with SU")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, errors.New("signals: the NATS NKey seed is not valid: it must begin with SU")
		}
		options = append(options, nats.Nkey(public, pair.Sign))
	}
	secured, err := n.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("signals: NATS: %w", err)
	}
	if secured != nil {
		options = append(options, nats.Secure(secured))
	}
	return options, nil
}

// name is the queue for people.
func (q *queue) name() string { return "nats " + q.stream + "/" + q.cfg.Consumer }

// answer is what was said of the consumer, and by whom.
type answer struct {
	stream string
	info   *jetstream.ConsumerInfo
	// monitored is set where a monitoring page said it.
	monitored bool
}

// ask returns the consumer's state before ctx ends, or why there is none. The
// monitoring page is asked where JetStream's API cannot be, with half of the time kept for it.
func (q *queue) ask(ctx context.Context) (*answer, error) {
	if q.cfg.Monitoring == "" {
		return q.askAPI(ctx)
	}
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Minute)
	}
	first, cancel := context.WithTimeout(ctx, time.Until(end)/2)
	defer cancel()
	got, err := q.askAPI(first)
	if err == nil || errors.Is(err, errNoQueue) {
		return got, err
	}
	said, errMonitoring := q.askMonitoring(ctx)
	if errMonitoring != nil {
		return nil, fmt.Errorf("%w; its monitoring: %w", err, errMonitoring)
	}
	return said, nil
}

// errNoQueue marks an answer that is one: there is no such stream or consumer.
var errNoQueue = errors.New("no worker has connected yet, or it has another name")

// askAPI asks JetStream. Whichever server is connected, the consumer's leader answers.
func (q *queue) askAPI(ctx context.Context) (*answer, error) {
	select {
	case <-q.tried:
	case <-ctx.Done():
		return nil, errors.New("the NATS server has not answered yet")
	}
	l := q.link.Load()
	if l.err != nil {
		return nil, fmt.Errorf("the NATS server is not connected: %w", l.err)
	}
	if l.conn.Status() != nats.CONNECTED {
		if err := l.conn.LastError(); err != nil {
			return nil, fmt.Errorf("the NATS server is not connected: %w", err)
		}
		return nil, errors.New("the NATS server is not connected")
	}
	info, err := q.consumer(ctx, l.js, q.cfg.Stream)
	for _, stream := range q.cfg.Alternatives {
		if !errors.Is(err, errNoQueue) {
			break
		}
		if other, errOther := q.consumer(ctx, l.js, stream); errOther == nil {
			return other, nil
		}
	}
	return info, err
}

// consumer asks for the state of the consumer on one stream.
func (q *queue) consumer(ctx context.Context, js jetstream.JetStream, stream string) (*answer, error) {
	consumer, err := js.Consumer(ctx, stream, q.cfg.Consumer)
	switch {
	case err == nil:
		return &answer{stream: stream, info: consumer.CachedInfo()}, nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("NATS has no stream %q: %w", stream, errNoQueue)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("the NATS stream %q has no consumer %q: %w", stream, q.cfg.Consumer, errNoQueue)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, errors.New("nobody answers for JetStream on the NATS server: it is not enabled, or has no leader")
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.New("the NATS server did not answer in time")
	}
	return nil, fmt.Errorf("the NATS server answered: %s", strings.TrimPrefix(err.Error(), "nats: "))
}

// record takes in one answer. A depth that falls by more than was delivered
// has lost messages: they expired, or someone purged them.
func (q *queue) record(got *answer, now time.Time) {
	info := got.info
	if got.stream != q.stream {
		q.points, q.lost, q.stream = nil, 0, got.stream
	}
	q.monitored = got.monitored
	next := queuePoint{at: now, waiting: info.NumPending, working: uint64(max(info.NumAckPending, 0)), delivered: info.Delivered.Consumer}
	if n := len(q.points); n > 0 {
		before := q.points[n-1]
		switch gone := int64(before.waiting) - int64(next.waiting) - int64(next.delivered-before.delivered); {
		case !info.Created.Equal(q.born) || next.delivered < before.delivered || next.at.Before(before.at):
			q.points, q.lost = nil, 0
		case gone > 0:
			q.lost += uint64(gone)
			q.lostAt = now
		case next.delivered > before.delivered:
			q.lost = 0
		}
	}
	q.born = info.Created
	q.points = append(q.points, next)
	for len(q.points) > 1 && !q.points[1].at.After(now.Add(-q.keep)) {
		q.points = q.points[1:]
	}
}

// depth returns how many requests wait in the queue, given the outcome of this collection's question.
func (q *queue) depth(err error) planner.Reading {
	switch {
	case err != nil:
		return planner.Unknown(err.Error())
	case q.lost > 0:
		return planner.Unknown(fmt.Sprintf("%d messages of %s expired or were purged without being delivered, last seen at %s",
			q.lost, q.name(), q.lostAt.UTC().Format(time.TimeOnly)))
	}
	last := q.points[len(q.points)-1]
	return reading(float64(last.waiting), last.at, q.name())
}

// unacknowledged is how many messages were delivered and not acknowledged. It is
// no depth: workers that acknowledge at once, as Dynamo's do, have none while they work.
func (q *queue) unacknowledged(err error) planner.Reading {
	if err != nil {
		return planner.Unknown(err.Error())
	}
	last := q.points[len(q.points)-1]
	return reading(float64(last.working), last.at, q.name())
}

// growthPerSecond returns how fast the depth grew over the window. It is not
// ok while the queue was followed for less than the shortest time. As with
// pods, a point that is over twice the window old is no base: the queue was not
// read in between, and pods' rates, which this is added to, are of the window.
func (q *queue) growthPerSecond(window, shortest time.Duration) (perSecond float64, ok bool) {
	n := len(q.points)
	if n < 2 {
		return 0, false
	}
	last := q.points[n-1]
	base := last
	for i := n - 2; i >= 0 && last.at.Sub(q.points[i].at) <= 2*window && last.at.Sub(base.at) < window; i-- {
		base = q.points[i]
	}
	over := last.at.Sub(base.at)
	if over < shortest || over == 0 {
		return 0, false
	}
	return (float64(last.waiting) - float64(base.waiting)) / over.Seconds(), true
}

// close ends the connection, and the attempts to make one.
func (q *queue) close() {
	q.stop()
	q.monitor.CloseIdleConnections()
}
