package planner

import (
	"math/rand/v2"
	"testing"
	"time"
)

// States that a long life brings and random inputs seldom do. Each was once
// planned wrongly.

func TestBothRolesShareWhatIsFree(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 16
	for range 5 {
		w.pools[Prefill].Replicas = append(w.pools[Prefill].Replicas, Replica{State: Terminating, Since: w.now, GPUs: 2})
	}
	in, d := w.step(load{rate: 12, input: 5000, output: 1200})
	if asked := d.GPUs.Requested; asked > 2 || independentHeld(in)+asked > 16 {
		t.Errorf("%d GPUs are held of 16 and %d were asked for", independentHeld(in), asked)
	}
}

func TestLoweredBudgetTakesNoMoreThanItMust(t *testing.T) {
	for name, l := range map[string]load{"idle": {}, "unknown": {unknown: true}, "both at work": {rate: 9, input: 5500, output: 700}} {
		w := newWorld(testSpec(), 8, 4)
		w.spec.BudgetGPUs = 24
		w.run(3, l)
		w.spec.BudgetGPUs = 22
		w.run(1, l)
		if got := w.counts(); got[0]+got[1] != 11 {
			t.Errorf("%s: the budget was lowered by one replica's GPUs and the counts went from [8 4] to %v", name, got)
		}
		w.run(4, l)
		if w.held() > 22 {
			t.Errorf("%s: %d GPUs are still held of 22", name, w.held())
		}
	}
}

func TestNoiseMovesNoGPUs(t *testing.T) {
	w := newWorld(testSpec(), 3, 3)
	rng := rand.New(rand.NewPCG(1, 2))
	moves, running := 0, false
	for range 720 { // two hours
		noise := func() float64 { return 1 + 0.2*rng.NormFloat64() }
		_, d := w.step(load{rate: 9 * noise(), input: 5500 * noise(), output: 1000 * noise()})
		if d.Move != nil && !running {
			moves++
		}
		running = d.Move != nil
	}
	if moves > 4 {
		t.Errorf("%d moves in two hours of stationary, noisy load", moves)
	}
}

func TestBreachThatComesBackIsBelievedLonger(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	// The model is too hopeful by two replicas: fewer than 3 miss the objective.
	w.change = func(s *Snapshot) {
		ms := 500.0
		if len(s.Prefill.Replicas) < 3 {
			ms = 5000
		}
		s.Signals.TTFTMs = Quantile{Reading: Known(ms, s.Signals.RequestsPerSecond.At, "test")}
	}
	changes, last := 0, w.counts()
	for range 720 {
		w.step(load{rate: 1, input: 1000, output: 100})
		if w.counts() != last {
			changes, last = changes+1, w.counts()
		}
	}
	if changes > 24 {
		t.Errorf("%d changes in two hours of steady load", changes)
	}
}

func TestReadingThatFailsOnceChangesNothing(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	l := load{rate: 8, input: 5000, output: 200}
	cached := func(s *Snapshot) {
		s.Signals.CachedShare = Known(0.8, s.Signals.RequestsPerSecond.At, "test")
		s.Signals.InputSCV = Known(5, s.Signals.RequestsPerSecond.At, "test")
	}
	w.change = cached
	w.run(30, l)
	before := w.counts()
	w.change = func(s *Snapshot) { s.Signals.CachedShare, s.Signals.InputSCV = Unknown("timeout"), Unknown("timeout") }
	w.run(2, l)
	if got := w.counts(); got != before {
		t.Errorf("one lost reading took the counts from %v to %v", before, got)
	}
}

func TestRoleThatMayNotGrowReservesNothing(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.spec.Decode.Up.Disabled = true
	w.run(10, load{rate: 6, input: 6000, output: 1500})
	if got := w.counts(); got[0] < 4 || got[1] != 1 {
		t.Errorf("counts %v: prefill should have the GPUs that decode may not take", got)
	}
}

func TestBudgetLoweredInMidMoveIsObeyed(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.run(15, quiet)
	w.run(15, heavyPrefill)
	w.stuckStart[Decode] = true
	moving := false
	for range 30 {
		_, d := w.step(heavyDecode)
		if moving = d.Move != nil && d.Move.Phase == StartingUp; moving {
			break
		}
	}
	if !moving {
		t.Fatal("no move came to its second phase")
	}
	w.spec.BudgetGPUs = 8
	w.run(6, heavyDecode)
	if w.held() > 8 {
		t.Errorf("%d GPUs are held of 8, a minute after the budget was lowered", w.held())
	}
}

func TestReceiverThatMayGrowByOneGetsOne(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.run(15, quiet)
	w.run(15, heavyPrefill)
	w.spec.Decode.Up.MaxStep = 1
	for range 30 {
		_, d := w.step(heavyDecode)
		if d.Ended != nil && d.Ended.Phase != MoveDone {
			t.Fatalf("a move ended as %s: %s", d.Ended.Phase, d.Ended.Reason)
		}
	}
	if got := w.counts(); got[1] < 3 {
		t.Errorf("decode came to %d", got[1])
	}
}

func TestGivingUpThatIsNotWrittenIsNotRemembered(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.Prefill.Down.Disabled = true
	w.stuckStart[Prefill] = true
	w.write(Prefill, 2)
	w.run(60, quiet)
	if !w.mem.Prefill.CappedUntil.IsZero() {
		t.Error("prefill is capped for a replica that was never taken back")
	}
}

func TestReplicasWhosePodsAreNeverMadeAreGivenUp(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.change = func(s *Snapshot) {
		if len(s.Prefill.Replicas) > 2 {
			s.Prefill.Replicas = s.Prefill.Replicas[:2]
		}
	}
	w.write(Prefill, 4)
	w.pools[Prefill].Replicas = w.pools[Prefill].Replicas[:2]
	w.run(40, quiet)
	if got := w.pools[Prefill].Desired; got > 2 {
		t.Errorf("prefill still asks for %d replicas, two of which have had no pods for %s", got, 400*time.Second)
	}
}

func TestPodMadeAnewCostsNoReplica(t *testing.T) {
	w := newWorld(testSpec(), 4, 1)
	w.run(60, heavyPrefill) // the last growth is long ago
	before := w.counts()
	deleted := w.now
	w.change = func(s *Snapshot) {
		switch since := w.now.Sub(deleted); {
		case since < 3*time.Minute: // its grace period: the successor has its name, and waits
			s.Prefill.Replicas[0].State, s.Prefill.Replicas[0].Since = Terminating, deleted
		case since < 4*time.Minute: // gone, and not made yet
			s.Prefill.Replicas = s.Prefill.Replicas[1:]
		}
	}
	for range 40 {
		if w.step(heavyPrefill); w.counts()[0] < before[0] {
			t.Fatalf("prefill went from %d to %d, %s after one of its pods was deleted", before[0], w.counts()[0], w.now.Sub(deleted))
		}
	}
}

func TestCachedShareThatIsReadNoMoreIsForgotten(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	l := load{rate: 8, input: 5000, output: 200}
	w.change = func(s *Snapshot) { s.Signals.CachedShare = Known(0.8, s.Signals.RequestsPerSecond.At, "test") }
	w.run(30, l)
	before := w.counts()
	w.change = func(s *Snapshot) { s.Signals.CachedShare = Unknown("the engine has no such counter") }
	w.run(100, l)
	if got := w.counts(); got[0] < 3*before[0] {
		t.Errorf("prefill has %d replicas a quarter of an hour after it was last seen that four prompt tokens of five are cached, and had %d", got[0], before[0])
	}
}

func TestReplicaThatWasReadyIsNotGivenUpAtOnce(t *testing.T) {
	w := newWorld(testSpec(), 4, 1)
	w.run(2, load{unknown: true})
	for i := range w.pools[Prefill].Replicas {
		r := &w.pools[Prefill].Replicas[i]
		r.State, r.Since = Starting, w.now // all fail a probe
	}
	w.stuckStart[Prefill] = true
	w.run(20, load{unknown: true})
	if got := w.counts()[0]; got != 4 {
		t.Errorf("prefill went to %d when its pods failed a probe for a while", got)
	}
}

func TestClockThatGoesBackDoesNotHoldAMoveUp(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.mem.Move = &Move{From: Prefill, To: Decode, DonorBefore: 3, DonorAfter: 1, ReceiverBefore: 1, ReceiverAfter: 3,
		Phase: Draining, StartedAt: w.now.Add(24 * time.Hour), PhaseSince: w.now.Add(24 * time.Hour)}
	w.mem.Since, w.mem.LastAt = w.now, w.now.Add(24*time.Hour)
	w.stuckDrain[Prefill] = true
	for range 20 {
		if _, d := w.step(quiet); d.Ended != nil {
			return
		}
	}
	t.Error("the move is still draining after 200 s, its timeout is 120 s")
}
