package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

// Times of the loop that nobody needs to set.
const (
	firstBackoff    = time.Second
	longestBackoff  = 30 * time.Second
	rediscoverEvery = 30 * time.Second
	profilingRetry  = 30 * time.Second
)

// Config says how often the GPUs are read and how old a value may be.
type Config struct {
	// Interval is both the period at which DCGM updates the fields and that at which they are read.
	Interval time.Duration
	// MaxAge is the age at which a value is no longer served.
	MaxAge time.Duration
}

// Agent reads the GPUs of a node. Run is its loop; the other methods may be
// called by any goroutine meanwhile.
type Agent struct {
	cfg    Config
	engine Engine
	board  *condition.Board
	log    *slog.Logger

	sample   atomic.Pointer[gpu.Sample]
	progress atomic.Pointer[Progress]

	// The rest belongs to the loop.
	connected     bool
	backoff       time.Duration
	devices       []gpu.Device
	entities      []gpu.Entity
	rediscoverAt  time.Time
	profiling     []gpu.FieldID // the profiling fields that are watched
	profilingAt   time.Time     // when they were watched, or refused
	refusal       error         // why the whole profiling set is not watched
	essentialOnly bool          // the whole set was refused and the essential fields are watched alone
}

// Progress says how the loop is getting on.
type Progress struct {
	// LastRound is when a round last ended, whether well or not.
	LastRound time.Time
	// LastRead is when the GPUs were last read, and ReadTook how long that took.
	LastRead time.Time
	ReadTook time.Duration
	// Connections counts the times that DCGM was connected to, Failures the rounds that failed.
	Connections, Failures int
}

// New returns an agent that has not begun.
func New(cfg Config, engine Engine, board *condition.Board, log *slog.Logger, now time.Time) *Agent {
	a := &Agent{cfg: cfg, engine: engine, board: board, log: log, backoff: firstBackoff}
	a.progress.Store(&Progress{LastRound: now})
	return a
}

// Sample returns what was read last, nil before the first time and while DCGM is gone.
func (a *Agent) Sample() *gpu.Sample { return a.sample.Load() }

// Progress returns how the loop is getting on.
func (a *Agent) Progress() Progress { return *a.progress.Load() }

// Run reads until the context ends, and then lets go of DCGM.
func (a *Agent) Run(ctx context.Context) {
	defer a.engine.Disconnect()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(a.step(time.Now()))
		}
	}
}

// step does one round and returns how long to wait for the next.
func (a *Agent) step(now time.Time) time.Duration {
	progress := a.Progress()
	wait := a.cfg.Interval
	started := time.Now()
	if err := a.round(now, &progress); err != nil {
		a.lose(now, err)
		progress.Failures++
		wait = a.backoff + time.Duration((rand.Float64()-0.5)*0.4*float64(a.backoff))
		a.backoff = min(2*a.backoff, longestBackoff)
	} else {
		a.backoff = firstBackoff
		progress.LastRead, progress.ReadTook = now, time.Since(started)
	}
	progress.LastRound = now
	a.progress.Store(&progress)
	return wait
}

// round connects and watches where that is needed, and reads. Any error is one
// after which the connection is given up.
func (a *Agent) round(now time.Time, progress *Progress) error {
	if !a.connected {
		if err := a.engine.Connect(); err != nil {
			return err
		}
		a.connected = true
		progress.Connections++
		a.rediscoverAt = now
	}
	if !now.Before(a.rediscoverAt) {
		if err := a.discover(now); err != nil {
			return err
		}
		a.rediscoverAt = now.Add(rediscoverEvery)
	}
	if a.profiling == nil && !now.Before(a.profilingAt.Add(profilingRetry)) {
		if err := a.watchProfiling(now); err != nil {
			return err
		}
	}
	sample, err := a.read(now)
	if err != nil {
		return err
	}
	a.sample.Store(sample)
	a.board.Set(now, condition.DCGM, true, condition.Works, fmt.Sprintf("%s shows %d GPUs and instances", a.engine.Describe(), len(a.devices)))
	a.judge(now, sample)
	return nil
}

// read gets the two sets apart, so that what fails for one is not lost for the other.
func (a *Agent) read(now time.Time) (*gpu.Sample, error) {
	values, err := a.engine.Latest(a.entities, gpu.DeviceSet.IDs())
	if err != nil {
		return nil, err
	}
	if notWatched(values) {
		return nil, &Error{condition.ConnectionLost, "DCGM no longer knows what it was asked to watch: its engine was restarted"}
	}
	if a.profiling != nil {
		more, err := a.engine.Latest(a.profiled(), a.profiling)
		if err != nil {
			return nil, err
		}
		if notWatched(more) {
			a.profiling, a.profilingAt = nil, now
			a.refusal = &Error{condition.NoValues, "it stopped watching them"}
		}
		values = append(values, more...)
	}
	sample := &gpu.Sample{At: now, Devices: a.devices, Of: make(map[gpu.Entity]gpu.Readings, len(a.devices))}
	for _, v := range values {
		if sample.Of[v.Entity] == nil {
			sample.Of[v.Entity] = gpu.Readings{}
		}
		sample.Of[v.Entity][v.Field] = v
	}
	return sample, nil
}

// lose gives the connection up and says why.
func (a *Agent) lose(now time.Time, err error) {
	a.engine.Disconnect()
	a.connected = false
	a.devices, a.entities, a.profiling, a.essentialOnly = nil, nil, nil, false
	a.profilingAt = time.Time{}
	a.sample.Store(nil)
	reason := reasonOf(err)
	a.board.Set(now, condition.DCGM, false, reason, err.Error())
	a.board.Set(now, condition.DeviceFields, false, reason, "no GPU is read while DCGM is gone")
	a.board.Set(now, condition.ProfilingFields, false, reason, "no GPU is read while DCGM is gone")
	a.log.Debug("round failed", "error", err, "retry in about", a.backoff)
}
