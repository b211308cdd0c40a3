package emulator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/emulator/engine"
	"github.com/pdautoscaler/pdautoscaler/sim/emulator/natsqueue"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Emulator is a running service.
type Emulator struct {
	cfg   Config
	nats  *natsqueue.Server
	queue *natsqueue.Queue

	cancel context.CancelFunc
	done   chan struct{}
	start  time.Time // the engine's time 0

	mu     sync.Mutex
	engine *engine.Engine
	// pods are those of the last look at the source.
	pods  []Pod
	ready map[string]bool // by UID, those that the engine has
	// problems are what is wrong with pods, by UID; unserved those of the last
	// attempt to listen on their addresses.
	problems map[string]string
	unserved map[string]string
	gpus     gpuBook
	profile  *load.Profile
	stream   *stream       // of the profile
	loadAt   time.Duration // of the engine, when the profile began
	gpuHours gpuHours

	servers map[string]*podServer // by UID; for the loop only
}

// Start starts the queue's server and follows the pods until Stop. The context
// bounds the start only.
func Start(ctx context.Context, cfg Config) (_ *Emulator, err error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	e := &Emulator{
		cfg: cfg, done: make(chan struct{}), start: time.Now(),
		ready: map[string]bool{}, problems: map[string]string{}, servers: map[string]*podServer{},
		gpus: newGPUBook(cfg.GPU),
	}
	if e.nats, err = natsqueue.StartServer(cfg.NATS); err != nil {
		return nil, err
	}
	if e.queue, err = natsqueue.Connect(ctx, e.nats.URL(), cfg.Queue); err != nil {
		return nil, errors.Join(err, e.nats.Stop())
	}
	cfg.Engine.Queue = e.queue
	if e.engine, err = engine.New(cfg.Engine); err != nil {
		e.queue.Close()
		return nil, errors.Join(err, e.nats.Stop())
	}
	var loop context.Context
	loop, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.follow()
	go e.run(loop)
	return e, nil
}

// Stop ends everything: no listener, connection, goroutine or temporary file
// is left. It may be called once.
func (e *Emulator) Stop() error {
	e.cancel()
	<-e.done
	e.queue.Close()
	return e.nats.Stop()
}

// NATSURL is where the prefill queue is.
func (e *Emulator) NATSURL() string { return e.nats.URL() }

// Play starts a load now. One that still plays ends with the request that it
// would send next.
func (e *Emulator) Play(p *load.Profile, seed uint64) error {
	source, err := load.NewStream(p, seed)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	if e.stream != nil {
		e.stream.over = true
	}
	e.stream = &stream{Source: source}
	e.profile, e.loadAt = p, e.engine.Now()
	e.gpuHours.restart(e.engine.Now())
	e.engine.Play(e.stream, e.engine.Now())
	return nil
}

// stream is a load that can be ended; the emulator's lock is held.
type stream struct {
	engine.Source
	over bool
}

// Next implements engine.Source.
func (s *stream) Next() (load.Request, bool) {
	if s.over {
		return load.Request{}, false
	}
	return s.Source.Next()
}

// The loop sleeps until the engine has something to do, at most idleWait, at
// least shortest: events that close together are handled together. What happens
// in the engine has its exact time all the same; only what goes through NATS is
// late by that much.
const (
	idleWait = 10 * time.Millisecond
	shortest = time.Millisecond
)

func (e *Emulator) run(ctx context.Context) {
	defer close(e.done)
	defer e.closeServers()
	timer := time.NewTimer(shortest)
	defer timer.Stop()
	sample := time.NewTicker(e.cfg.ExporterInterval)
	defer sample.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.cfg.Pods.Changed():
			e.follow()
		case d := <-e.queue.Deliveries():
			e.deliver(d)
		case <-sample.C:
			e.sampleGPUs()
			if e.hasProblems() { // an address may have become free
				e.follow()
			}
		case <-timer.C:
		}
		timer.Reset(e.tick())
	}
}

// tick advances the engine and returns how long nothing will happen.
func (e *Emulator) tick() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	wait := idleWait
	if next, ok := e.engine.Next(); ok {
		wait = min(wait, next-e.now())
	}
	return max(wait, shortest)
}

// now is the time since the engine's start.
func (e *Emulator) now() time.Duration { return time.Since(e.start) }

// advance brings the engine up to now; the lock is held.
func (e *Emulator) advance() { e.engine.Advance(e.now()) }

func (e *Emulator) deliver(d natsqueue.Delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance()
	e.engine.Deliver(d.Worker, d.Message)
}
