package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// restartAfter is how long a controller that ended stays away.
const restartAfter = 300 * time.Millisecond

// controllers keep one or two replicas of the controller running, each of which comes again when it was killed or has lost its
// lease, as a Deployment would have it.
type controllers struct {
	w  *world
	mu sync.Mutex
	// now are the replicas that run, by slot.
	now  map[int]*replica
	runs sync.WaitGroup
}

type replica struct {
	*lifeline
	stop    context.CancelFunc
	elected atomic.Bool
	round   atomic.Pointer[time.Time] // when the last one began
}

// keep runs n replicas until the context ends.
func (c *controllers) keep(ctx context.Context, n int) {
	for slot := range n {
		c.runs.Go(func() {
			for ctx.Err() == nil {
				c.run(ctx, slot, n > 1)
				select {
				case <-ctx.Done():
				case <-time.After(restartAfter):
				}
			}
		})
	}
}

// run runs one replica until it is dead or has ended.
func (c *controllers) run(ctx context.Context, slot int, elect bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	died := make(chan struct{})
	r := &replica{lifeline: &lifeline{}, stop: stop}
	r.onDeath = func(when, what string) {
		c.w.note("the controller is dead %s a write of %s", when, what)
		c.w.suite.hit(when, what)
		close(died)
	}
	r.onCount = func(object string) {
		if began := r.round.Load(); began != nil {
			c.w.rounds.wrote(object, *began, time.Now())
		}
	}
	o := controller.Options{
		Namespaces: []string{c.w.namespace}, Concurrency: 1,
		NewCollector: func(signals.Config) (controller.Collector, error) { return collector{c.w, r}, nil },
	}
	if elect {
		o.LeaderElection = controller.LeaderElection{Enabled: true, Namespace: c.w.namespace,
			LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 400 * time.Millisecond}
	}
	mgr, err := controller.NewManager(r.through(c.w.suite.rights), o)
	if err != nil {
		c.w.note("a controller could not be made: %v", err)
		return
	}
	c.mu.Lock()
	c.now[slot] = r
	c.mu.Unlock()
	go func() {
		select {
		case <-mgr.Elected():
			r.elected.Store(true)
		case <-ctx.Done():
		}
	}()
	ended := make(chan error, 1)
	c.runs.Go(func() { ended <- mgr.Start(ctx) }) // one that is dead ends in its own time
	select {
	case err := <-ended:
		if err != nil && ctx.Err() == nil {
			c.w.note("a controller ended: %v", err)
		}
	case <-died:
	}
	c.mu.Lock()
	delete(c.now, slot)
	c.mu.Unlock()
}

// leader is the replica that works, else any; nil between two.
func (c *controllers) leader() *replica {
	c.mu.Lock()
	defer c.mu.Unlock()
	var other *replica
	for _, r := range c.now {
		if r.isDead() {
			continue
		}
		if r.elected.Load() {
			return r
		}
		other = r
	}
	return other
}

// each does something with all that run.
func (c *controllers) each(do func(*replica)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.now {
		do(r)
	}
}

// collector reads the demand of the sequence.
type collector struct {
	w *world
	r *replica
}

func (c collector) Collect(_ context.Context, _ []signals.Target, now time.Time) (planner.Signals, []signals.SourceReport) {
	c.r.round.Store(&now)
	if c.w.silent.Load() {
		return planner.Signals{RequestsPerSecond: planner.Unknown("the metrics are silent")}, nil
	}
	return signalsOf(*c.w.demand.Load(), now), nil
}

func (collector) Close() {}
