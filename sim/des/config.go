package des

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Role is what a replica does.
type Role uint8

// The roles.
const (
	Prefill Role = iota
	Decode
)

// String returns the role's name.
func (r Role) String() string { return [...]string{"prefill", "decode"}[r] }

// Batching says how a prefill replica takes prompts.
type Batching string

// The ways to take prompts.
const (
	Single      Batching = "single"
	TokenBudget Batching = "tokenBudget"
)

// Routing says which replica a request goes to.
type Routing string

// The routings; see the package comment.
const (
	LeastLoaded Routing = "least-loaded"
	RoundRobin  Routing = "round-robin"
	KVAware     Routing = "kv-aware"
)

// Pool is one role at the start.
type Pool struct {
	Replicas int // ready at the start
	// Startup is the time from asking for a replica to its being ready.
	Startup time.Duration
	// Grace is how long a replica on its way out may go on; what it has then is routed again.
	Grace time.Duration
}

// Objectives are what a request has to keep to count as attained, both inclusive, in milliseconds.
type Objectives struct {
	TTFTMs float64
	TPOTMs float64
}

// Config is one service.
type Config struct {
	// Service is what one replica of each role can do, with padding, sequences, the end of TTFT and whether transfers block.
	Service  capacity.Service
	Batching Batching // Single by default
	// MaxBatchTokens is the budget of one prefill step with TokenBudget. Default 8192.
	MaxBatchTokens int
	Routing        Routing // LeastLoaded by default
	// PrefixCacheTokens is what a prefill replica keeps of prefix blocks. Default: its KV capacity.
	PrefixCacheTokens int

	Prefill, Decode Pool
	Objectives      Objectives
	Faults          []Fault

	// Stepwise takes decode steps one by one. The results are the same.
	Stepwise bool
	// OnEnd is called with every request that ends, in order of its end. It may be nil.
	OnEnd func(Record)
	// OnSample is called with the service every SampleEvery, from time zero on, while time advances. It may be nil; looking
	// changes nothing.
	OnSample    func(View)
	SampleEvery time.Duration
}

// FaultKind is what goes wrong.
type FaultKind string

// The faults.
const (
	// Kill ends ready replicas at once, oldest first; each is replaced by one that starts.
	Kill FaultKind = "kill"
	// FailStart makes every start-up that would end within the time begin anew.
	FailStart FaultKind = "failStart"
	// StuckPending keeps replicas that are asked for within the time from beginning to start before it is over. They hold no GPU.
	StuckPending FaultKind = "stuckPending"
)

// Fault is one thing that goes wrong with one role.
type Fault struct {
	Kind FaultKind
	Role Role
	At   time.Duration
	// For is how long FailStart and StuckPending last; 0 is to the end.
	For time.Duration
	// Replicas that a Kill ends. Default 1.
	Replicas int
}

func (f *Fault) holds(kind FaultKind, role Role, now Time) bool {
	return f.Kind == kind && f.Role == role && now >= timeOf(f.At) && now < f.end()
}

func (f *Fault) end() Time {
	if f.For == 0 {
		return forever
	}
	return timeOf(f.At + f.For)
}

const (
	defaultMaxSequences   = 256
	defaultMaxBatchTokens = 8192
	// kvWatermark is the share of the KV cache that admission keeps free, so that running sequences can grow (vLLM's default).
	kvWatermark  = 0.01
	maxSequences = 1 << 16
	maxReplicas  = 1 << 16
	maxStepMs    = 1e5
	maxDelay     = 30 * 24 * time.Hour
)

// check fills in defaults and returns one error for each field that cannot be simulated.
func (c *Config) check() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("simulator: "+format, args...)) }
	setDefault(&c.Batching, Single)
	setDefault(&c.Routing, LeastLoaded)
	setDefault(&c.Service.TTFTEndsAt, capacity.EndsAtPrefill)
	setDefault(&c.Service.MaxSequences, defaultMaxSequences)
	setDefault(&c.Service.PadTokens, 1)
	setDefault(&c.MaxBatchTokens, defaultMaxBatchTokens)
	for _, r := range []struct {
		role    Role
		pool    Pool
		replica *perfmodel.Replica
	}{{Prefill, c.Prefill, &c.Service.Prefill}, {Decode, c.Decode, &c.Service.Decode}} {
		if kv := r.replica.KVCapacityTokens; !(kv >= 1 && kv < math.MaxInt32) {
			refuse("the KV capacity of a %s replica is %v; it must be from 1 to %d tokens", r.role, kv, math.MaxInt32)
		}
		if r.replica.GPUs < 1 {
			refuse("a %s replica has %d GPUs; it must have 1 or more", r.role, r.replica.GPUs)
		}
		if r.pool.Replicas < 0 || r.pool.Replicas > maxReplicas {
			refuse("%d %s replicas; it must be from 0 to %d", r.pool.Replicas, r.role, maxReplicas)
		}
		if r.pool.Startup < 0 || r.pool.Startup > maxDelay || r.pool.Grace < 0 || r.pool.Grace > maxDelay {
			refuse("%s starts in %v and ends in %v; both must be from 0s to %v", r.role, r.pool.Startup, r.pool.Grace, maxDelay)
		}
	}
	d := c.Service.Decode.Decode
	for what, ms := range map[string]float64{
		"a prefill step":       c.Service.Prefill.Prefill.StepMs(1000, 0),
		"a decode step":        d.StepMs(1, 0),
		"a full decode step":   d.StepMs(float64(c.Service.MaxSequences), c.Service.Decode.KVCapacityTokens),
		"a transfer":           c.Service.Prefill.Transfer.Ms(1000) + c.Service.Decode.Transfer.Ms(1000),
		"1000 tokens of cache": 1000 * d.KVMsPerToken,
	} {
		if !(ms >= 0 && ms <= maxStepMs) {
			refuse("%s takes %v ms; it must be from 0 to %g", what, ms, maxStepMs)
		}
	}
	if c.OnSample != nil && c.SampleEvery < time.Millisecond {
		refuse("samples are %v apart; it must be 1ms or more", c.SampleEvery)
	}
	if c.Batching != Single && c.Batching != TokenBudget {
		refuse("batching is %q; allowed are %q and %q", c.Batching, Single, TokenBudget)
	}
	if c.Routing != LeastLoaded && c.Routing != RoundRobin && c.Routing != KVAware {
		refuse("routing is %q; allowed are %q, %q and %q", c.Routing, LeastLoaded, RoundRobin, KVAware)
	}
	if e := c.Service.TTFTEndsAt; e != capacity.EndsAtPrefill && e != capacity.EndsAtDecode {
		refuse("ttftEndsAt is %q; allowed are %q and %q", e, capacity.EndsAtPrefill, capacity.EndsAtDecode)
	}
	if n := c.Service.MaxSequences; n < 1 || n > maxSequences {
		refuse("maxSequences is %d; it must be from 1 to %d", n, maxSequences)
	}
	if c.Service.PadTokens < 1 || c.MaxBatchTokens < 1 || c.PrefixCacheTokens < 0 {
		refuse("padTokens is %d, maxBatchTokens %d and the prefix cache %d tokens; none may be negative", c.Service.PadTokens, c.MaxBatchTokens, c.PrefixCacheTokens)
	}
	for i := range c.Faults {
		f := &c.Faults[i]
		if f.Kind != Kill && f.Kind != FailStart && f.Kind != StuckPending {
			refuse("faults[%d] is %q; allowed are %q, %q and %q", i, f.Kind, Kill, FailStart, StuckPending)
		}
		if f.Role > Decode || f.At < 0 || f.For < 0 || f.At > maxDelay || f.For > maxDelay || f.Replicas < 0 {
			refuse("faults[%d]: at %v for %v on %d replicas; times must be from 0s to %v and replicas 0 (one) or more", i, f.At, f.For, f.Replicas, maxDelay)
		}
	}
	return errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
