package des

import (
	"slices"
	"time"
)

// Counters only ever grow, but for Queued and QueuedTokens, which are gauges.
type Counters struct {
	Arrived, Finished, Failed uint64
	// Input is over the prompts that arrived and Output over those that finished: sums and sums of squares of tokens.
	InputTokens, InputSquares   float64
	OutputTokens, OutputSquares float64
	// GapSeconds and GapSquares are over the times between arrivals.
	GapSeconds, GapSquares float64
	lastArrival            Time

	// PromptTokens were prefilled and ComputedTokens of them were not found in a cache; GeneratedTokens come from decode steps.
	PromptTokens, ComputedTokens, GeneratedTokens int64
	DecodeSteps                                   int64
	Preempted, Migrated, FailedStarts             uint64
	// Busy is the sum over replicas of the time they computed.
	PrefillBusy, DecodeBusy Time
	// TTFT and TPOT as a histogram in the service's metrics shows them.
	TTFT, TPOT Histogram

	Queued       int   // prompts in prefill queues
	QueuedTokens int64 // and their tokens
}

func newCounters() Counters {
	return Counters{TTFT: newHistogram(ttftBoundsMs), TPOT: newHistogram(tpotBoundsMs)}
}

func (c *Counters) arrive(q *request) {
	if c.Arrived > 0 {
		gap := (q.arrived - c.lastArrival).Seconds()
		c.GapSeconds += gap
		c.GapSquares += gap * gap
	}
	c.lastArrival = q.arrived
	c.Arrived++
	n := float64(q.input)
	c.InputTokens += n
	c.InputSquares += n * n
}

func (c *Counters) finish(q *request) {
	c.Finished++
	n := float64(q.output)
	c.OutputTokens += n
	c.OutputSquares += n * n
}

// The bounds are those of Dynamo's frontend for TTFT and of vLLM for the time per output token, in milliseconds.
var (
	ttftBoundsMs = []float64{1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000, 20_000, 40_000, 80_000, 160_000}
	tpotBoundsMs = []float64{10, 25, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 2500}
)

// Histogram counts latencies by bounds in milliseconds; the last count is beyond all of them.
type Histogram struct {
	BoundsMs []float64 // must not be changed
	Counts   []uint64
	SumMs    float64
}

func newHistogram(boundsMs []float64) Histogram {
	return Histogram{BoundsMs: boundsMs, Counts: make([]uint64, len(boundsMs)+1)}
}

func (h *Histogram) observe(ms float64) {
	i := 0
	for i < len(h.BoundsMs) && ms > h.BoundsMs[i] {
		i++
	}
	h.Counts[i]++
	h.SumMs += ms
}

// ReplicaState is where a replica is in its life, for those who look.
type ReplicaState uint8

// The states of a replica.
const (
	StatePending ReplicaState = iota
	StateStarting
	StateReady
	StateDraining
)

// ReplicaView is one replica.
type ReplicaView struct {
	ID    uint64
	State ReplicaState
	Since time.Duration
	// Running is prompts being computed or sequences being decoded; Waiting is at this replica, for KV cache or a place.
	Running, Waiting int
	// KVTokens are used or reserved on a decode replica, KVUse is their share.
	KVTokens int64
	KVUse    float64
	// RunningTokens are the contexts of the sequences being decoded.
	RunningTokens int64
}

// View is everything that can be seen at one moment.
type View struct {
	Now      time.Duration
	Counters Counters
	// Replicas by role, in order of creation: the last goes first.
	Replicas [2][]ReplicaView
	Desired  [2]int
	Parked   int
}

// View shows the service now. The view shares nothing with the engine.
func (e *Engine) View() View {
	v := View{Now: e.Now(), Counters: e.counters, Desired: e.desired}
	v.Counters.TTFT.Counts = slices.Clone(e.counters.TTFT.Counts)
	v.Counters.TPOT.Counts = slices.Clone(e.counters.TPOT.Counts)
	for role := range e.replicas {
		v.Replicas[role] = make([]ReplicaView, 0, len(e.replicas[role]))
		for _, r := range e.replicas[role] {
			v.Replicas[role] = append(v.Replicas[role], e.look(r, &v.Counters))
		}
	}
	for i := e.parked.head; i < len(e.parked.items); i++ {
		if t := e.parked.items[i]; t.version == t.request.version {
			v.Parked++
		}
	}
	return v
}

// look shows one replica, and adds to the counters what its unfinished work has come to.
func (e *Engine) look(r *replica, c *Counters) ReplicaView {
	v := ReplicaView{ID: r.id, State: ReplicaState(r.state), Since: r.changed.Duration()}
	if r.role == Prefill {
		v.Running = len(r.active)
		if len(r.active) > 0 {
			c.PrefillBusy += e.now - r.since
		}
		return v
	}
	v.Running, v.Waiting = len(r.running), r.waitingCount+r.joiningCount
	v.KVTokens = e.kvTokens(r)
	v.KVUse = float64(v.KVTokens) / float64(e.kvTotal)
	v.RunningTokens = r.run.context
	if r.run.steps > 0 {
		done := e.steps.done(&r.run, e.now)
		v.RunningTokens += done * r.run.sequence
		c.GeneratedTokens += done * r.run.sequence
		c.DecodeSteps += done
		c.DecodeBusy += e.now - r.run.start
	}
	return v
}

// usage integrates the GPUs that are held.
type usage struct {
	since      Time
	gpus       int
	gpuSeconds float64
	claimed    int // most ever, with the replicas that are pending
}

// measure books the GPUs held so far and counts them anew.
func (e *Engine) measure() {
	u := &e.usage
	u.gpuSeconds += float64(u.gpus) * (e.now - u.since).Seconds()
	u.since, u.gpus = e.now, 0
	claimed := 0
	for role, all := range e.replicas {
		per := e.cfg.Service.Prefill.GPUs
		if Role(role) == Decode {
			per = e.cfg.Service.Decode.GPUs
		}
		for _, r := range all {
			claimed += per
			if r.state != pending {
				u.gpus += per
			}
		}
	}
	u.claimed = max(u.claimed, claimed)
}

// GPUHours are the GPUs held so far by replicas that start, serve or drain, integrated over time.
func (e *Engine) GPUHours() float64 {
	e.measure()
	return e.usage.gpuSeconds / 3600
}

// HeldGPUs are those held now.
func (e *Engine) HeldGPUs() int { return e.usage.gpus }

// MaxGPUs is the most that replicas ever held or waited for.
func (e *Engine) MaxGPUs() int { return e.usage.claimed }
