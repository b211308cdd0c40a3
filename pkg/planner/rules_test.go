package planner

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"pgregory.net/rapid"
)

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
		for range 30 {
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
		for range 12 {
			w.step(before)
		}
		for range 160 { // until the step is out of what the role rises by
			w.step(after)
		}
		settled := w.counts()
		for range 20 {
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
		plan := func(heavier float64) (got pair, in Input) {
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
			for range 32 { // until the last move has ended
				in, _ = w.step(l)
			}
			return pair{w.pools[Prefill].Desired, w.pools[Decode].Desired}, in
		}
		less, in := plan(1)
		more, _ := plan(heavier)
		if more.count(role) < less.count(role) && !keptByTolerance(&in, less, more) {
			t.Fatalf("%s has %d replicas, and %d under %.2f times the load", role, less.count(role), more.count(role), heavier)
		}
	})
}

// keptByTolerance reports that at this input nothing within the budget holds both objectives, and that the pair that is kept
// is bettered by another, but not by more than GPUs are moved for.
func keptByTolerance(in *Input, kept, other pair) bool {
	p := newRound(in)
	p.observe()
	p.sizeRoles()
	for _, r := range p.roles() {
		r.curve = p.curveOf(r, r.expected)
	}
	return p.worst(kept) > 1 && p.worst(other) <= p.worst(kept) && p.worst(other) >= p.worst(kept)*(1-max(in.Spec.Behavior.Tolerance, 0.05))
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
		spec.BudgetGPUs, spec.Behavior.StartTimeoutSeconds = 32, 150
		w := newWorld(spec, 1, 1)
		w.stuckStart[stuck] = true
		grew := false
		for range 30 {
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
