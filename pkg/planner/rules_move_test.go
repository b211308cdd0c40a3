package planner

// Rules 8 to 12, and that a plan is a pure function.

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"pgregory.net/rapid"
)

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
		for i := range 75 {
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
	if moves == 0 && !testing.Short() { // few cases are drawn then
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
		s.DecodeWaiting, s.DecodeKVUseMax, s.DecodeRunning = Known(20, in.Now, "test"), Known(0.97, in.Now, "test"), Unknown("not exported")
		s.PrefillWaiting, s.TTFTMs = Zero(in.Now, "test"), Quantile{}
		in.Memory.Prefill.BreachSince = time.Time{}
		calm, _ := Plan(in)
		budget := in.Spec.BudgetGPUs
		in.Spec.BudgetGPUs = 0
		alone, _ := Plan(in) // what prefill wants for its own load, were decode not to have its share
		in.Spec.BudgetGPUs = budget
		s.PrefillWaiting = Known(rapid.Float64Range(0, 1e4).Draw(t, "queue"), in.Now, "test")
		s.TTFTMs = Quantile{Reading: Known(rapid.Float64Range(2001, 1e5).Draw(t, "latency"), in.Now, "test")}
		in.Memory.Prefill.BreachSince = in.Now.Add(-time.Hour)
		queued, _ := Plan(in)
		if queued.Prefill.To > max(calm.Prefill.To, alone.Prefill.Wanted, calm.Prefill.From) {
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
			&in.Snapshot.Signals.DecodeRunning, &in.Snapshot.Signals.DecodeKVUse,
			&in.Snapshot.Signals.TTFTMs.Reading, &in.Snapshot.Signals.TPOTMs.Reading} {
			if !finite(r.Value) {
				*r = Unknown("not finite") // JSON has no such numbers
			}
		}
		if in.Snapshot.FreeGPUsByNode == nil && rapid.Bool().Draw(t, "no GPU is free anywhere") {
			in.Snapshot.FreeGPUsByNode = map[string]int{} // which is not the same as not knowing
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
