package planner

import (
	"testing"

	"pgregory.net/rapid"
)

// alonePair is what both roles want without the budget, and are asked for now.
func alonePair(in Input) (prefill, decode sight, want, from pair) {
	in.Spec.BudgetGPUs = 0
	d, m := Plan(in)
	prefill, decode = look(&in, &d, &m, Prefill), look(&in, &d, &m, Decode)
	return prefill, decode, pair{d.Prefill.Wanted, d.Decode.Wanted}, pair{d.Prefill.From, d.Decode.From}
}

// gpusIn counts the GPUs of a pair by what a replica of each role takes.
func gpusIn(in *Input, c pair) int {
	per := func(role Role) int {
		return max(in.Snapshot.pool(role).GPUsPerReplica, in.Spec.role(role).GPUsPerReplica)
	}
	return c.prefill*per(Prefill) + c.decode*per(Decode)
}

func (c pair) within(low, high pair) bool {
	return low.prefill <= c.prefill && c.prefill <= high.prefill && low.decode <= c.decode && c.decode <= high.decode
}

// TestBudgetThatHoldsEverythingChangesNothing: where the wanted counts fit and
// what is free holds all growth, the budget might as well not be there.
func TestBudgetThatHoldsEverythingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move = nil
		_, _, want, from := alonePair(in)
		growth := pair{max(0, want.prefill-from.prefill), max(0, want.decode-from.decode)}
		held := independentHeld(in)
		in.Spec.BudgetGPUs = max(gpusIn(&in, want), held+gpusIn(&in, growth), 1) + die(t, 2)
		d, _ := Plan(in)
		in.Spec.BudgetGPUs = 0
		free, _ := Plan(in)
		if d.Prefill.To != free.Prefill.To || d.Decode.To != free.Decode.To || d.Move != nil {
			t.Fatalf("with %d GPUs, %d of which are held: %s; without a budget: %s", d.GPUs.Budget, held, d.Summary, free.Summary)
		}
		if hasNote(d, ReasonMoveHeld) {
			t.Fatalf("with GPUs for all, a move is said to be held: %v", d.Notes)
		}
		if d.GPUs.Held != held {
			t.Fatalf("%d GPUs are held, the decision says %d", held, d.GPUs.Held)
		}
		if asked := gpusIn(&in, pair{max(0, d.Prefill.To-d.Prefill.From), max(0, d.Decode.To-d.Decode.From)}); d.GPUs.Requested != asked {
			t.Fatalf("%d GPUs are asked for, the decision says %d", asked, d.GPUs.Requested)
		}
	})
}

// TestBudgetThatBindsGivesTheBestPair: without moves, the wanted pair lies
// between what is there and what is wanted, and none that fits is better.
func TestBudgetThatBindsGivesTheBestPair(t *testing.T) {
	bound := 0
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move, in.Spec.Rebalance.Enabled = nil, false
		prefill, decode, want, from := alonePair(in)
		budget, over := in.Spec.BudgetGPUs, independentHeld(in) > in.Spec.BudgetGPUs
		if budget == 0 || in.Spec.Paused != "" || gpusIn(&in, want) <= budget {
			t.Skip("nothing to choose")
		}
		bound++
		low := pair{min(from.prefill, want.prefill), min(from.decode, want.decode)}
		high := want
		if over {
			high = low // nothing grows, and down to the minimum all may go
			if low = (pair{min(low.prefill, in.Spec.Prefill.Min), min(low.decode, in.Spec.Decode.Min)}); prefill.fixed() {
				low.prefill = from.prefill
			}
			if decode.fixed() {
				low.decode = from.decode
			}
		} else { // what may come goes before what is expected
			for _, s := range []*sight{&prefill, &decode} {
				s.traffic.RequestsPerSecond -= max(0, s.d.Demand.HeadroomPerSecond+s.d.Demand.SurgePerSecond)
				s.limitMs = s.limit()
			}
		}
		d, _ := Plan(in)
		got := pair{d.Prefill.Wanted, d.Decode.Wanted}
		if gpusIn(&in, high) <= budget {
			if got != high {
				t.Fatalf("%+v is wanted where %+v fit %d GPUs: %s", got, high, budget, d.Summary)
			}
			return
		}
		if gpusIn(&in, low) > budget {
			if got != low {
				t.Fatalf("%+v is wanted where not even %+v fit %d GPUs: %s", got, low, budget, d.Summary)
			}
			return
		}
		if !got.within(low, high) || gpusIn(&in, got) > budget {
			t.Fatalf("%+v is wanted, which is not within %+v and %+v or %d GPUs: %s", got, low, high, budget, d.Summary)
		}
		worst := func(c pair) (float64, float64) {
			a, b := max(1, prefill.shortfall(c.prefill)), max(1, decode.shortfall(c.decode))
			return max(a, b), min(a, b)
		}
		gotWorst, gotOther := worst(got)
		for a := low.prefill; a <= high.prefill; a++ {
			for b := low.decode; b <= high.decode; b++ {
				w, o := worst(pair{a, b})
				if c := (pair{a, b}); gpusIn(&in, c) <= budget && (w < gotWorst*(1-1e-9) || w <= gotWorst && o < gotOther*(1-1e-9)) {
					t.Fatalf("%+v is wanted with the ratios %g and %g; %+v has %g and %g: %s", got, gotWorst, gotOther, c, w, o, d.Summary)
				}
			}
		}
	})
	if bound == 0 && !testing.Short() {
		t.Fatal("the budget never bound: the test tests nothing")
	}
}

// TestFreeGPUsAreUsed: what is wanted, allowed and free is asked for at once.
func TestFreeGPUsAreUsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move = nil
		d, m := Plan(in)
		left := in.Spec.BudgetGPUs - d.GPUs.Held - d.GPUs.Requested
		if in.Spec.BudgetGPUs == 0 || d.GPUs.Held > in.Spec.BudgetGPUs || m.Move != nil {
			return
		}
		for _, role := range []Role{Prefill, Decode} {
			r, step := d.role(role), in.Spec.role(role).Up.MaxStep
			may := r.Wanted
			if step > 0 {
				may = min(may, r.From+step)
			}
			per := max(in.Snapshot.pool(role).GPUsPerReplica, in.Spec.role(role).GPUsPerReplica)
			if r.To < may && left >= per {
				t.Fatalf("%s %d -> %d of %d with %d GPUs left: %s", role, r.From, r.To, may, left, d.Summary)
			}
		}
	})
}

// TestWhoMissesMoreGrowsFirst: where what is free now holds one replica, and
// both roles want one, it goes to the role that is further from its objective.
func TestWhoMissesMoreGrowsFirst(t *testing.T) {
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		in.Memory.Move, in.Spec.Behavior.Headroom = nil, 0
		held := independentHeld(in)
		in.Spec.BudgetGPUs = held + 2
		for _, role := range []Role{Prefill, Decode} { // those that leave will make room
			pool, spec := in.Snapshot.pool(role), in.Spec.role(role)
			spec.GPUsPerReplica, pool.GPUsPerReplica = 2, 2
			for i := range pool.Replicas {
				pool.Replicas[i].GPUs = 2
			}
		}
		for range 12 {
			in.Snapshot.Decode.Replicas = append(in.Snapshot.Decode.Replicas, Replica{State: Terminating, Since: in.Now, GPUs: 2})
		}
		in.Spec.BudgetGPUs = independentHeld(in) + 2
		d, m := Plan(in)
		if m.Move != nil || d.Prefill.Wanted <= d.Prefill.From || d.Decode.Wanted <= d.Decode.From {
			return
		}
		compared++
		p, q := look(&in, &d, &m, Prefill), look(&in, &d, &m, Decode)
		a, b := p.urgency(), q.urgency()
		first := Decode
		if a >= b {
			first = Prefill
		}
		if r := d.role(first); r.To != r.From+1 {
			t.Fatalf("%s has %g and decode %g times its objective, and %s", Prefill, a, b, d.Summary)
		}
	})
	if compared == 0 && !testing.Short() { // few cases are drawn then
		t.Fatal("never did both roles want the same GPUs: the test tests nothing")
	}
}

// TestPairsAreOrdered: by the worse ratio, then the other, then by what changes;
// a met objective is as good as one that is met with room.
func TestPairsAreOrdered(t *testing.T) {
	in := settled(testSpec(), have{3, 3}, have{3, 3}, aimed{rate: 6, prefill: 4, decode: 4, full: 0.9}.load())
	p := newRound(&in)
	p.sizeRoles()
	for name, c := range map[string]struct{ better, worse pair }{
		"the worse ratio":               {pair{3, 3}, pair{2, 4}},
		"the other ratio":               {pair{2, 4}, pair{2, 3}},
		"nothing is won by more":        {pair{4, 4}, pair{5, 4}},
		"fewer changes, above":          {pair{4, 5}, pair{4, 6}},
		"fewer changes, of either role": {pair{5, 4}, pair{4, 6}},
		"changes downwards count alike": {pair{6, 5}, pair{4, 8}},
		"none at all is worst of all":   {pair{1, 4}, pair{0, 8}},
		"none of decode is no better":   {pair{4, 1}, pair{8, 0}},
	} {
		if !p.better(c.better, c.worse) || p.better(c.worse, c.better) {
			t.Errorf("%s: %+v is not better than %+v", name, c.better, c.worse)
		}
	}
	p.prefill.curve, p.decode.curve = curve{}, curve{} // nothing arrives: all are alike
	if !p.better(pair{2, 3}, pair{1, 3}) || !p.better(pair{3, 2}, pair{3, 5}) || !p.better(pair{3, 3}, pair{2, 4}) || p.better(pair{2, 3}, pair{4, 3}) {
		t.Error("of pairs that are alike, the one with fewer changes is not preferred")
	}
}
