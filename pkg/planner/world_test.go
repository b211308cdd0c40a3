package planner

import (
	"math/rand/v2"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// testService is Qwen3-32B with two H200 GPUs per replica.
func testService() capacity.Service {
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		panic(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		panic(err)
	}
	replica, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: 2})
	if err != nil {
		panic(err)
	}
	return capacity.Service{Prefill: replica, Decode: replica}
}

var sharedService = testService()

func testSpec() Spec {
	return Spec{
		Prefill:    RoleSpec{Min: 1, Max: 8, GPUsPerReplica: 2},
		Decode:     RoleSpec{Min: 1, Max: 8, GPUsPerReplica: 2},
		Service:    sharedService,
		TTFT:       capacity.Objective{Quantile: 0.95, Ms: 2000},
		TPOT:       capacity.Objective{Quantile: 0.95, Ms: 40},
		BudgetGPUs: 12,
		Behavior: Behavior{IntervalSeconds: 10, DownWindowSeconds: 120, Tolerance: 0.1, MaxAgeSeconds: 60,
			StartupSeconds: 40, StartTimeoutSeconds: 300, BreachSeconds: 60},
		Rebalance: Rebalance{Enabled: true, WindowSeconds: 40, DrainTimeoutSeconds: 120, StartTimeoutSeconds: 200, CooldownSeconds: 120},
	}
}

// load is the traffic of one moment.
type load struct {
	rate, input, output float64
	unknown             bool
}

// world plays the cluster: it obeys decisions with delays, and keeps watch.
type world struct {
	now     time.Time
	spec    Spec
	mem     Memory
	pools   map[Role]*Pool
	startup time.Duration
	drain   time.Duration
	// stuck makes new replicas of a role never ready, or terminating ones never gone.
	stuckStart, stuckDrain map[Role]bool
	// change is applied to each snapshot before it is planned with.
	change func(*Snapshot)
	serial int
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(spec Spec, prefill, decode int) *world {
	w := &world{now: epoch, spec: spec, startup: 40 * time.Second, drain: 15 * time.Second,
		pools: map[Role]*Pool{}, stuckStart: map[Role]bool{}, stuckDrain: map[Role]bool{}}
	for role, n := range map[Role]int{Prefill: prefill, Decode: decode} {
		pool := &Pool{Desired: n, GPUsPerReplica: spec.role(role).GPUsPerReplica, GPUType: "h200"}
		for range n {
			w.serial++
			pool.Replicas = append(pool.Replicas, Replica{State: Ready, Since: epoch.Add(-time.Hour), GPUs: pool.GPUsPerReplica})
		}
		w.pools[role] = pool
	}
	return w
}

// signals are what perfect metrics would say of a load.
func (w *world) signals(l load) Signals {
	if l.unknown {
		return Signals{RequestsPerSecond: Unknown("the frontend does not answer")}
	}
	s := Signals{
		RequestsPerSecond: Known(l.rate, w.now, "test"), ArrivalSCV: Unknown("not measured"),
		InputTokens: Known(l.input, w.now, "test"), InputSCV: Known(1, w.now, "test"),
		OutputTokens: Known(l.output, w.now, "test"), OutputSCV: Known(1, w.now, "test"),
		CachedShare: Zero(w.now, "test"),
	}
	if l.rate == 0 {
		s.RequestsPerSecond = Zero(w.now, "test")
	}
	return s
}

func (w *world) snapshot(l load) Snapshot {
	s := Snapshot{Signals: w.signals(l), Prefill: *w.pools[Prefill], Decode: *w.pools[Decode]}
	if w.change != nil {
		w.change(&s)
	}
	return s
}

// step plans once, obeys, and lets one interval pass.
func (w *world) step(l load) (Input, Decision) {
	in := Input{Spec: w.spec, Snapshot: w.snapshot(l), Memory: w.mem, Now: w.now}
	d, mem := Plan(in)
	w.mem = mem
	for _, role := range []Role{Prefill, Decode} {
		w.write(role, d.role(role).To)
	}
	w.now = w.now.Add(w.spec.Behavior.IntervalSeconds.Duration())
	w.settle()
	return in, d
}

// write sets a role's count: the last replicas terminate, or new ones start.
func (w *world) write(role Role, to int) {
	pool := w.pools[role]
	replicas := append([]Replica(nil), pool.Replicas...)
	live := 0
	for i := range replicas {
		if replicas[i].State != Terminating {
			live++
		}
	}
	for i := len(replicas) - 1; i >= 0 && live > to; i-- {
		if replicas[i].State != Terminating {
			replicas[i].State, replicas[i].Since = Terminating, w.now
			live--
		}
	}
	for ; live < to; live++ {
		replicas = append(replicas, Replica{State: Starting, Since: w.now, GPUs: pool.GPUsPerReplica})
	}
	pool.Desired, pool.Replicas = to, replicas
}

// settle makes replicas ready and lets terminated ones go.
func (w *world) settle() {
	for role, pool := range w.pools {
		var kept []Replica
		for _, r := range pool.Replicas {
			switch {
			case r.State == Starting && !w.stuckStart[role] && w.now.Sub(r.Since) >= w.startup:
				r.State, r.Since = Ready, w.now
			case r.State == Terminating && !w.stuckDrain[role] && w.now.Sub(r.Since) >= w.drain:
				continue
			}
			kept = append(kept, r)
		}
		pool.Replicas = kept
	}
}

// held is the GPUs that exist in the world, counted without the planner's help.
func (w *world) held() int {
	gpus := 0
	for _, pool := range w.pools {
		for _, r := range pool.Replicas {
			gpus += r.GPUs
		}
	}
	return gpus
}

func (w *world) counts() [2]int { return [2]int{w.pools[Prefill].Desired, w.pools[Decode].Desired} }

// wander returns a random walk of loads, for long runs.
func wander(rng *rand.Rand, steps int) []load {
	loads := make([]load, steps)
	l := load{rate: 2 + 6*rng.Float64(), input: 500 + 5000*rng.Float64(), output: 50 + 600*rng.Float64()}
	for i := range loads {
		if rng.IntN(12) == 0 {
			l = load{rate: 20 * rng.Float64(), input: 100 + 8000*rng.Float64(), output: 20 + 1500*rng.Float64()}
		}
		loads[i] = l
		switch rng.IntN(15) {
		case 0:
			loads[i].unknown = true
		case 1:
			loads[i].rate = 0
		}
	}
	return loads
}
