package planner

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"pgregory.net/rapid"
)

// anyReading draws a reading in any state, nonsense included.
func anyReading(now time.Time, most float64) *rapid.Generator[Reading] {
	return rapid.Custom(func(t *rapid.T) Reading {
		switch rapid.IntRange(0, 9).Draw(t, "state") {
		case 0:
			return Unknown("test")
		case 1:
			return Zero(now, "test")
		case 2:
			return Known(rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), -1, math.MaxFloat64}).Draw(t, "nonsense"), now, "test")
		case 3:
			return Known(rapid.Float64Range(0, most).Draw(t, "stale"), now.Add(-time.Hour), "test")
		}
		return Known(rapid.Float64Range(0, most).Draw(t, "value"), now, "test")
	})
}

// anyPool draws a pool in any state, also such as no controller would leave.
func anyPool(now time.Time, gpus int) *rapid.Generator[Pool] {
	return rapid.Custom(func(t *rapid.T) Pool {
		p := Pool{Desired: rapid.IntRange(0, 10).Draw(t, "desired"), GPUsPerReplica: gpus}
		live := max(0, p.Desired+rapid.SampledFrom([]int{0, 0, 0, 0, -1, 1, 2}).Draw(t, "live"))
		for range live {
			age := time.Duration(rapid.IntRange(0, 600).Draw(t, "age")) * time.Second
			state := rapid.SampledFrom([]ReplicaState{Ready, Ready, Ready, Starting}).Draw(t, "state")
			p.Replicas = append(p.Replicas, Replica{State: state, Since: now.Add(-age), GPUs: gpus})
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "terminating") {
			p.Replicas = append(p.Replicas, Replica{State: Terminating, Since: now, GPUs: gpus})
		}
		odd := rapid.IntRange(0, 30).Draw(t, "odd")
		switch odd {
		case 0:
			p.Missing = "the role is not in the group"
		case 1:
			p.Writer = "HorizontalPodAutoscaler default/x"
		case 2:
			p.Held = "decode waits for prefill"
		case 3:
			p.Rollout = true
		case 4:
			p.GPUsPerReplica = 0
		}
		return p
	})
}

// anyInput draws a whole input: spec, snapshot and a memory with a past.
func anyInput() *rapid.Generator[Input] {
	return rapid.Custom(func(t *rapid.T) Input {
		spec := testSpec()
		spec.BudgetGPUs = rapid.SampledFrom([]int{0, 2, 8, 12, 24, 40}).Draw(t, "budget")
		spec.Rebalance.Enabled = rapid.Bool().Draw(t, "rebalance")
		for _, role := range []Role{Prefill, Decode} {
			r := spec.role(role)
			r.GPUsPerReplica = rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "gpus")
			r.Min = rapid.IntRange(0, 3).Draw(t, "min")
			r.Max = rapid.IntRange(max(1, r.Min), 10).Draw(t, "max")
			r.Up.MaxStep = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "upStep")
			r.Down.MaxStep = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "downStep")
			r.Up.Disabled = rapid.IntRange(0, 9).Draw(t, "upOff") == 0
			r.Down.Disabled = rapid.IntRange(0, 9).Draw(t, "downOff") == 0
		}
		now := epoch.Add(time.Hour)
		in := Input{Spec: spec, Now: now}
		in.Snapshot = Snapshot{
			Signals: Signals{
				RequestsPerSecond: anyReading(now, 30).Draw(t, "rate"), ArrivalSCV: anyReading(now, 4).Draw(t, "arrivals"),
				InputTokens: anyReading(now, 10000).Draw(t, "input"), InputSCV: anyReading(now, 4).Draw(t, "inputSCV"),
				OutputTokens: anyReading(now, 2000).Draw(t, "output"), OutputSCV: anyReading(now, 4).Draw(t, "outputSCV"),
				CachedShare:    anyReading(now, 1.2).Draw(t, "cached"),
				PrefillWaiting: anyReading(now, 300).Draw(t, "waiting"), DecodeWaiting: anyReading(now, 50).Draw(t, "decodeWaiting"),
				DecodeKVUseMax: anyReading(now, 1).Draw(t, "kv"), PrefillTensorActive: anyReading(now, 1).Draw(t, "tensor"),
				DecodeDRAMActive: anyReading(now, 1).Draw(t, "dram"),
				TTFTMs:           Quantile{Reading: anyReading(now, 9000).Draw(t, "ttft")}, TPOTMs: Quantile{Reading: anyReading(now, 200).Draw(t, "tpot")},
			},
			Prefill: anyPool(now, spec.Prefill.GPUsPerReplica).Draw(t, "prefill"),
			Decode:  anyPool(now, spec.Decode.GPUsPerReplica).Draw(t, "decode"),
		}
		in.Memory = anyMemory(now).Draw(t, "memory")
		return in
	})
}

// anyMemory draws a memory: none, or one whose windows are full, sometimes
// with a running move.
func anyMemory(now time.Time) *rapid.Generator[Memory] {
	return rapid.Custom(func(t *rapid.T) Memory {
		if rapid.IntRange(0, 4).Draw(t, "fresh") == 0 {
			return Memory{}
		}
		m := Memory{Version: RecordVersion, Since: now.Add(-30 * time.Minute), LastAt: now.Add(-10 * time.Second)}
		for _, role := range []Role{Prefill, Decode} {
			r := m.role(role)
			needed := rapid.IntRange(0, 4).Draw(t, "needed")
			for age := 300; age >= 10; age -= 10 {
				at := now.Add(-time.Duration(age) * time.Second)
				r.Needs = append(r.Needs, Need{From: at, To: at, Replicas: needed})
			}
			if rapid.IntRange(0, 9).Draw(t, "capped") == 0 {
				r.CappedAt, r.CappedUntil, r.CapSeconds = rapid.IntRange(0, 4).Draw(t, "cap"), now.Add(time.Minute), 60
			}
			if rapid.IntRange(0, 9).Draw(t, "breach") == 0 {
				r.BreachSince = now.Add(-2 * time.Minute)
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "moving") == 0 {
			before := rapid.IntRange(1, 5).Draw(t, "donorBefore")
			after := rapid.IntRange(0, before-1).Draw(t, "donorAfter")
			receiver := rapid.IntRange(0, 5).Draw(t, "receiverBefore")
			m.Move = &Move{From: Prefill, To: Decode, DonorBefore: before, DonorAfter: after, ReceiverBefore: receiver,
				ReceiverAfter: receiver + before - after, GPUs: 2 * (before - after),
				Phase:      rapid.SampledFrom([]MovePhase{Draining, StartingUp, Returning, "Nonsense"}).Draw(t, "phase"),
				StartedAt:  now.Add(-time.Minute),
				PhaseSince: now.Add(-time.Duration(rapid.IntRange(0, 600).Draw(t, "inPhase")) * time.Second)}
			if rapid.Bool().Draw(t, "opposite") {
				m.Move.From, m.Move.To = Decode, Prefill
			}
		}
		return m
	})
}

// independentHeld counts GPUs as rule 1 means it, without HeldGPUs.
func independentHeld(in Input) int {
	total := 0
	for _, role := range []Role{Prefill, Decode} {
		pool := in.Snapshot.pool(role)
		gpus := pool.GPUsPerReplica
		if gpus == 0 {
			gpus = in.Spec.role(role).GPUsPerReplica
		}
		live := 0
		for _, r := range pool.Replicas {
			total += r.GPUs
			if r.State == Starting || r.State == Ready {
				live++
			}
		}
		if pool.Desired > live {
			total += (pool.Desired - live) * gpus
		}
	}
	return total
}

func checkBudget(t *rapid.T, in Input, d Decision) {
	t.Helper()
	held, requested := independentHeld(in), 0
	for _, role := range []Role{Prefill, Decode} {
		r := d.role(role)
		if r.To > r.From {
			requested += (r.To - r.From) * max(in.Snapshot.pool(role).GPUsPerReplica, in.Spec.role(role).GPUsPerReplica)
		}
	}
	if budget := in.Spec.BudgetGPUs; budget > 0 && requested > 0 && held+requested > budget {
		t.Fatalf("%d GPUs held, %d requested, budget %d\n%s", held, requested, budget, d.Summary)
	}
}

func TestRule1Budget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		d, _ := Plan(in)
		checkBudget(t, in, d)
	})
}

func TestRule2BoundsAndDirection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		d, _ := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			r, spec := d.role(role), in.Spec.role(role)
			if r.From >= spec.Min && r.From <= spec.Max && (r.To < spec.Min || r.To > spec.Max) {
				if in.Memory.Move == nil { // a move planned under other bounds may return to them
					t.Fatalf("%s %d -> %d outside [%d, %d]: %s", role, r.From, r.To, spec.Min, spec.Max, r.Because)
				}
			}
			if r.To < min(r.From, r.Wanted) || r.To > max(r.From, r.Wanted) {
				t.Fatalf("%s: %d to write is not between %d now and %d wanted", role, r.To, r.From, r.Wanted)
			}
			if r.To < 0 || r.To > max(r.From, spec.Max) {
				t.Fatalf("%s: %d is out of any bound", role, r.To)
			}
		}
	})
}

func TestRule2BudgetNeverRaises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move = nil
		limited, _ := Plan(in)
		in.Spec.BudgetGPUs = 0
		free, _ := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			if limited.role(role).To > free.role(role).To {
				t.Fatalf("%s: %d with a budget, %d without: %s", role, limited.role(role).To, free.role(role).To, limited.Summary)
			}
		}
	})
}

func TestRule3UnknownNeverLowers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move = nil
		in.Snapshot.Signals.RequestsPerSecond = rapid.SampledFrom([]Reading{Unknown("outage"), {}, Known(math.NaN(), in.Now, "x"),
			Known(5, in.Now.Add(-time.Hour), "stale")}).Draw(t, "unknown")
		d, _ := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			r := d.role(role)
			overBudget := in.Spec.BudgetGPUs > 0 && independentHeld(in) > in.Spec.BudgetGPUs
			if r.To < min(r.From, in.Spec.role(role).Max) && !overBudget && r.Binding != ReasonGivenUp {
				if !hasStep(r, ReasonGivenUp) {
					t.Fatalf("%s %d -> %d on unknown demand: %s", role, r.From, r.To, r.Because)
				}
			}
		}
	})
}

func hasStep(r *RoleDecision, reason Reason) bool {
	for _, s := range r.Steps {
		if s.Reason == reason {
			return true
		}
	}
	return false
}

func TestRule3ConfirmedZeroGoesToTheMinimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(testSpec(), rapid.IntRange(1, 3).Draw(t, "prefill"), rapid.IntRange(1, 3).Draw(t, "decode"))
		for range 5 {
			w.step(load{rate: 3, input: 1000, output: 100})
		}
		for range 40 {
			w.step(load{})
		}
		if got := w.counts(); got != [2]int{1, 1} {
			t.Fatalf("counts %v after a long confirmed zero, want the minimum of both", got)
		}
	})
}

func drawLoad(t *rapid.T, name string) load {
	return load{
		rate:   rapid.Float64Range(0.1, 25).Draw(t, name+" rate"),
		input:  rapid.Float64Range(50, 9000).Draw(t, name+" input"),
		output: rapid.Float64Range(10, 1500).Draw(t, name+" output"),
	}
}

func drawBudget(t *rapid.T) int {
	return rapid.SampledFrom([]int{0, 4, 8, 12, 16, 32}).Draw(t, "budget")
}

func TestRule4SteadyConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.BudgetGPUs = drawBudget(t)
		w := newWorld(spec, 1, 1)
		before, after := drawLoad(t, "before"), drawLoad(t, "after")
		for range 20 {
			w.step(before)
		}
		for range 80 {
			w.step(after)
		}
		settled := w.counts()
		for range 40 {
			_, d := w.step(after)
			if got := w.counts(); got != settled || d.Move != nil {
				t.Fatalf("counts went from %v to %v under a steady load (move %v): %s", settled, got, d.Move, d.Summary)
			}
		}
	})
}

func TestRule4MoreLoadNeverGivesFewer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.BudgetGPUs = drawBudget(t)
		l := drawLoad(t, "load")
		role := rapid.SampledFrom([]Role{Prefill, Decode}).Draw(t, "role")
		// With a TTFT that ends at prefill the KV transfer is part of TPOT, spread over
		// the output: there a longer output may be easier to serve.
		spec.Service.TTFTEndsAt = capacity.EndsAtDecode
		prefill, decode := rapid.IntRange(1, 4).Draw(t, "prefill"), rapid.IntRange(1, 4).Draw(t, "decode")
		if spec.BudgetGPUs > 0 {
			prefill = min(prefill, spec.BudgetGPUs/4)
			decode = min(decode, spec.BudgetGPUs/4)
		}
		heavier := rapid.Float64Range(1, 3).Draw(t, "heavier")
		plan := func(heavier float64) int {
			w := newWorld(spec, prefill, decode)
			w.change = func(s *Snapshot) {
				// Uncached tokens are prefill work alone, the output decode work alone
				// (decode keeps its KV cache whatever was cached).
				if role == Prefill {
					s.Signals.CachedShare = Known(1-heavier*0.3, s.Signals.RequestsPerSecond.At, "test")
				} else {
					s.Signals.OutputTokens.Value = l.output * heavier
				}
			}
			for range 20 {
				w.step(l)
			}
			return w.pools[role].Desired
		}
		less, more := plan(1), plan(heavier)
		if more < less {
			t.Fatalf("%s has %d replicas, and %d under %.2f times the load", role, less, more, heavier)
		}
	})
}

// enough is the smallest count that holds a role's objective, by trying each.
func enough(spec Spec, role Role, l load, scale float64) int {
	t := capacity.Traffic{RequestsPerSecond: l.rate * scale, ArrivalSCV: 1,
		Input: capacity.Lengths{Mean: l.input, SCV: 1}, Output: OutputLengths(l.output, 1)}
	if l.rate == 0 {
		return 0
	}
	for n := 1; n < spec.role(role).Max; n++ {
		if role == Prefill {
			pool := spec.Service.PrefillPool(n, t)
			if pool.TTFTQuantileMs(spec.TTFT.Quantile) <= max(spec.TTFT.Ms, pool.FloorMs(spec.TTFT.Quantile)*(1+attainableSlack)) {
				return n
			}
		} else if pool := spec.Service.DecodePool(n, t); pool.TPOTQuantileMs(spec.TPOT.Quantile) <= max(spec.TPOT.Ms, pool.FloorMs(spec.TPOT.Quantile)*(1+attainableSlack)) {
			return n
		}
	}
	return spec.role(role).Max
}

// TestRule5And6 follows long random runs: every decrease on a role's own
// account must have been enough at each moment of the window, all of which the
// planner has seen.
func TestRule5And6DownWithCare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.BudgetGPUs = drawBudget(t)
		w := newWorld(spec, 1, 1)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		loads := wander(rng, 60)
		restart := rapid.IntRange(0, 59).Draw(t, "restart")
		began, window := w.now, spec.Behavior.DownWindowSeconds.Duration()
		for i, l := range loads {
			if i == restart {
				w.mem, began = Memory{Move: w.mem.Move, MoveNotBefore: w.mem.MoveNotBefore}, w.now
			}
			at := w.now
			in, d := w.step(l)
			for _, role := range []Role{Prefill, Decode} {
				r := d.role(role)
				if r.To >= r.From || in.Memory.Move != nil {
					continue
				}
				if at.Sub(began) < window {
					t.Fatalf("step %d: %s %d -> %d only %s after the start: %s", i, role, r.From, r.To, at.Sub(began), r.Because)
				}
				if d.Move != nil && d.Move.From == role {
					continue // rule 8 and 11 govern the donor of a move
				}
				for back := 0; back <= i && at.Sub(epoch.Add(time.Duration(i-back)*10*time.Second)) <= window; back++ {
					if past := loads[i-back]; !past.unknown && enough(spec, role, past, 1+spec.Behavior.Tolerance) > r.To {
						t.Fatalf("step %d: %s %d -> %d, but %d steps ago %+v needed more: %s", i, role, r.From, r.To, back, past, r.Because)
					}
				}
			}
		}
	})
}

func TestRule7PendingIsNoSupplyOnTheWayDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move = nil
		in.Spec.BudgetGPUs = 0
		d, _ := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			r := d.role(role)
			if r.To < r.From && r.From <= in.Spec.role(role).Max && r.Wanted > r.Ready && !hasStep(r, ReasonGivenUp) {
				t.Fatalf("%s %d -> %d with %d ready: %s", role, r.From, r.To, r.Ready, r.Because)
			}
		}
	})
}

func TestRule7StuckReplicaIsGivenUpAndFreezesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stuck := rapid.SampledFrom([]Role{Prefill, Decode}).Draw(t, "stuck")
		spec := testSpec()
		spec.BudgetGPUs = 32
		w := newWorld(spec, 1, 1)
		w.stuckStart[stuck] = true
		grew := false
		for range 50 {
			_, d := w.step(load{rate: 8, input: 6000, output: 1000})
			if other := (&round{}).otherRole(stuck); d.role(other).To > d.role(other).From {
				grew = true
			}
		}
		if !grew {
			t.Fatalf("a stuck %s replica kept the other role from growing", stuck)
		}
		if w.mem.role(stuck).CappedUntil.IsZero() {
			t.Fatalf("the stuck %s replicas were never given up: %v", stuck, w.counts())
		}
	})
}

func (*round) otherRole(r Role) Role {
	if r == Prefill {
		return Decode
	}
	return Prefill
}

// TestRule8 follows moves through long runs under a hard cap with drains that
// take their time, replicas that get stuck and planners that restart.
func TestRule8MoveIsATransaction(t *testing.T) {
	moves := 0
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		w := newWorld(spec, rapid.IntRange(1, 5).Draw(t, "prefill"), 1)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		w.drain = time.Duration(rapid.IntRange(0, 150).Draw(t, "drain")) * time.Second
		heavy := []load{{rate: 5, input: 7000, output: 60}, {rate: 6, input: 300, output: 1300}}
		for i := range 90 {
			if rng.IntN(25) == 0 {
				w.stuckStart[Decode] = !w.stuckStart[Decode]
			}
			if rng.IntN(40) == 0 {
				w.mem = w.mem.afresh(&w.spec, w.now)
			}
			in, d := w.step(heavy[(i/30)%2])
			checkBudget(t, in, d)
			if w.held() > spec.BudgetGPUs {
				t.Fatalf("%d GPUs exist in the world and the budget is %d", w.held(), spec.BudgetGPUs)
			}
			if m := d.Move; m != nil {
				moves++
				donor, receiver := d.role(m.From), d.role(m.To)
				if m.Phase == Draining && receiver.To > receiver.From {
					t.Fatalf("the receiver grows while the donor drains: %s", d.Summary)
				}
				if m.Phase == Draining && donor.To > m.DonorAfter {
					t.Fatalf("the donor %s is at %d in a move to %d", m.From, donor.To, m.DonorAfter)
				}
				if limit := spec.Rebalance.DrainTimeoutSeconds + spec.Rebalance.StartTimeoutSeconds + spec.Behavior.IntervalSeconds; d.At.Sub(m.PhaseSince) > limit.Duration() {
					t.Fatalf("the move hangs in %s since %s", m.Phase, d.At.Sub(m.PhaseSince))
				}
				if m.ReceiverAfter <= m.ReceiverBefore && m.Phase != Returning || m.DonorAfter >= m.DonorBefore && m.Phase == Draining {
					t.Fatalf("a move that moves nothing: %+v", m)
				}
			}
			if w.mem.Move != nil && in.Memory.Move == nil && d.Move == nil {
				t.Fatal("a move began that the decision does not show")
			}
		}
	})
	if moves == 0 {
		t.Fatal("no move happened in any run: the test tests nothing")
	}
}

func TestRule8NotProposedWhereTheFreedGPUsCannotHoldTheReceiver(t *testing.T) {
	surge := load{rate: 6, input: 300, output: 1300}
	for name, change := range map[string]func(*world){
		"other GPU type": func(w *world) { w.pools[Decode].GPUType = "h100" },
		"GPUs on different nodes": func(w *world) {
			w.spec.Decode.GPUsPerReplica, w.pools[Decode].GPUsPerReplica = 4, 4
			w.spec.Prefill.GPUsPerReplica, w.pools[Prefill].GPUsPerReplica = 2, 2
			w.pools[Decode].Replicas[0].GPUs = 4
			w.spec.BudgetGPUs = 12
			w.change = func(s *Snapshot) {
				s.FreeGPUsByNode = map[string]int{"a": 0, "b": 0, "c": 0, "d": 0, "e": 0}
				for i := range s.Prefill.Replicas {
					s.Prefill.Replicas[i].Node = string(rune('a' + i))
				}
			}
		},
		"a step too small for the receiver's TP": func(w *world) {
			w.spec.Decode.GPUsPerReplica, w.pools[Decode].GPUsPerReplica = 4, 4
			w.pools[Decode].Replicas[0].GPUs = 4
			w.spec.Prefill.Down.MaxStep = 1
		},
		"a target that would not carry it out": func(w *world) { w.pools[Decode].Held = "decode waits for prefill" },
		"a gang that waits for a place":        func(w *world) { w.pools[Decode].HeldUp = "the group is scheduled as a gang" },
		"nodes on which the receiver may not run": func(w *world) {
			w.pools[Decode].NotOn = []string{"a", "b", "c", "d"}
			w.change = func(s *Snapshot) {
				s.FreeGPUsByNode = map[string]int{"a": 0, "b": 0, "c": 0, "d": 0, "e": 0}
				for i := range s.Prefill.Replicas {
					s.Prefill.Replicas[i].Node = string(rune('a' + i))
				}
			}
		},
		"rebalancing off": func(w *world) { w.spec.Rebalance.Enabled = false },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(testSpec(), 4, 1)
			w.spec.BudgetGPUs = 10
			w.spec.Behavior.DownWindowSeconds = 3000
			w.mem = Memory{}
			change(w)
			w.mem.Since = epoch.Add(-time.Hour)
			held := false
			for range 20 {
				_, d := w.step(surge)
				if d.Move != nil {
					t.Fatalf("a move was begun: %+v", *d.Move)
				}
				for _, n := range d.Notes {
					held = held || n.Reason == ReasonMoveHeld || n.Reason == ReasonHeld
				}
			}
			if !held && name != "rebalancing off" {
				t.Error("nothing says why no GPUs move")
			}
		})
	}
}

func TestRule9BackPressure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		s := &in.Snapshot.Signals
		s.DecodeWaiting, s.DecodeKVUseMax = Known(20, in.Now, "test"), Known(0.97, in.Now, "test")
		s.PrefillWaiting, s.TTFTMs = Zero(in.Now, "test"), Quantile{}
		in.Memory.Prefill.BreachSince = time.Time{}
		calm, _ := Plan(in)
		s.PrefillWaiting = Known(rapid.Float64Range(0, 1e4).Draw(t, "queue"), in.Now, "test")
		s.TTFTMs = Quantile{Reading: Known(rapid.Float64Range(2001, 1e5).Draw(t, "latency"), in.Now, "test")}
		in.Memory.Prefill.BreachSince = in.Now.Add(-time.Hour)
		queued, _ := Plan(in)
		if queued.Prefill.To > max(calm.Prefill.To, calm.Prefill.From) {
			t.Fatalf("prefill grows to %d, not %d, for a queue that decode causes: %s", queued.Prefill.To, calm.Prefill.To, queued.Prefill.Because)
		}
	})
}

func TestRule10OneWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		role := rapid.SampledFrom([]Role{Prefill, Decode}).Draw(t, "role")
		in.Snapshot.pool(role).Writer = "HorizontalPodAutoscaler default/prefill"
		d, _ := Plan(in)
		if r := d.role(role); r.To != r.From {
			t.Fatalf("%s %d -> %d beside another writer", role, r.From, r.To)
		}
	})
}

// TestRule11 holds the bisection against every pair there is.
func TestRule11BestPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Input{Spec: testSpec(), Now: epoch}
		in.Spec.BudgetGPUs = rapid.IntRange(4, 60).Draw(t, "budget")
		in.Snapshot.Prefill = Pool{Desired: 2, GPUsPerReplica: rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "gp")}
		in.Snapshot.Decode = Pool{Desired: 2, GPUsPerReplica: rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "gd")}
		in.Spec.Prefill.Max, in.Spec.Decode.Max = 30, 30
		p := newRound(&in)
		for _, r := range p.roles() {
			r.known = true
			l := drawLoad(t, string(r.role))
			r.curve = p.curveOf(r, capacity.Traffic{RequestsPerSecond: l.rate * 3, ArrivalSCV: 1,
				Input: capacity.Lengths{Mean: l.input, SCV: 1}, Output: capacity.Lengths{Mean: l.output, SCV: 1}})
		}
		low := pair{rapid.IntRange(1, 3).Draw(t, "lp"), rapid.IntRange(1, 3).Draw(t, "ld")}
		high := pair{rapid.IntRange(low.prefill, 30).Draw(t, "hp"), rapid.IntRange(low.decode, 30).Draw(t, "hd")}
		if p.gpusOf(low) > in.Spec.BudgetGPUs {
			t.Skip("the least does not fit")
		}
		got := p.bestPair(low, high)
		if got.prefill < low.prefill || got.decode < low.decode || got.prefill > high.prefill || got.decode > high.decode || p.gpusOf(got) > in.Spec.BudgetGPUs {
			t.Fatalf("%+v is outside %+v..%+v or %d GPUs", got, low, high, in.Spec.BudgetGPUs)
		}
		for a := low.prefill; a <= high.prefill; a++ {
			for b := low.decode; b <= high.decode; b++ {
				c := pair{a, b}
				worst, other := p.ratios(c)
				gotWorst, gotOther := p.ratios(got)
				if p.gpusOf(c) <= in.Spec.BudgetGPUs && (worst < gotWorst*(1-1e-9) || worst <= gotWorst && other < gotOther*(1-1e-9)) {
					t.Fatalf("%+v has the ratios %g and %g, %+v has %g and %g", got, gotWorst, gotOther, c, worst, other)
				}
			}
		}
	})
}

func TestRule12APersonsHandWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		d, _ := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			r, spec := d.role(role), in.Spec.role(role)
			if up := r.To - r.From; up > 0 && (spec.Up.Disabled || spec.Up.MaxStep > 0 && up > spec.Up.MaxStep) {
				t.Fatalf("%s %d -> %d against %+v", role, r.From, r.To, spec.Up)
			}
			if down := r.From - r.To; down > 0 && (spec.Down.Disabled || spec.Down.MaxStep > 0 && down > spec.Down.MaxStep) {
				t.Fatalf("%s %d -> %d against %+v", role, r.From, r.To, spec.Down)
			}
		}
		in.Spec.Paused = "a person is at work"
		d, mem := Plan(in)
		if d.Prefill.To != d.Prefill.From || d.Decode.To != d.Decode.From {
			t.Fatalf("paused and %s", d.Summary)
		}
		if (mem.Move == nil) != (in.Memory.Move == nil) {
			t.Fatal("a pause began or ended a move")
		}
	})
}

// TestPure: the same input gives the same result, also after its way through
// JSON, and is not changed.
func TestPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		for _, r := range []*Reading{&in.Snapshot.Signals.RequestsPerSecond, &in.Snapshot.Signals.InputTokens, &in.Snapshot.Signals.InputSCV,
			&in.Snapshot.Signals.OutputTokens, &in.Snapshot.Signals.OutputSCV, &in.Snapshot.Signals.ArrivalSCV, &in.Snapshot.Signals.CachedShare,
			&in.Snapshot.Signals.PrefillWaiting, &in.Snapshot.Signals.DecodeWaiting, &in.Snapshot.Signals.DecodeKVUseMax,
			&in.Snapshot.Signals.PrefillTensorActive, &in.Snapshot.Signals.DecodeDRAMActive,
			&in.Snapshot.Signals.TTFTMs.Reading, &in.Snapshot.Signals.TPOTMs.Reading} {
			if !finite(r.Value) {
				*r = Unknown("not finite") // JSON has no such numbers
			}
		}
		before, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		d1, m1 := Plan(in)
		d2, m2 := Plan(in)
		if diff := cmp.Diff(d1, d2) + cmp.Diff(m1, m2); diff != "" {
			t.Fatalf("two plans of one input differ: %s", diff)
		}
		after, _ := json.Marshal(in)
		if string(before) != string(after) {
			t.Fatal("Plan changed its input")
		}
		record, err := json.Marshal(Record{Version: RecordVersion, Input: in, Decision: d1})
		if err != nil {
			t.Fatalf("the record cannot be written: %v", err)
		}
		var read Record
		if err := json.Unmarshal(record, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(read.Decision, Replay(read)); diff != "" {
			t.Fatalf("the replayed decision differs: %s", diff)
		}
	})
}
