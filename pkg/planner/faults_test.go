package planner

import (
	"strings"
	"testing"
	"time"
)

// Faults seen in other autoscalers (named F1, F2, ... in the order in which
// docs/comparison.md lists them), each as a test that this one has it not.

// run plays a load for n intervals and returns the last decision.
func (w *world) run(n int, l load) Decision {
	var d Decision
	for range n {
		_, d = w.step(l)
	}
	return d
}

var (
	heavyPrefill = load{rate: 6, input: 6000, output: 60}
	heavyDecode  = load{rate: 16, input: 300, output: 1200}
	quiet        = load{rate: 1, input: 800, output: 100}
)

func TestF1FailedQueryIsNotZeroDemand(t *testing.T) {
	w := newWorld(testSpec(), 3, 2)
	w.run(30, load{unknown: true})
	if got := w.counts(); got != [2]int{3, 2} {
		t.Errorf("an outage of the metrics changed the counts to %v", got)
	}
}

func TestF2IdleScalesDown(t *testing.T) {
	w := newWorld(testSpec(), 3, 3)
	w.run(30, load{})
	if got := w.counts(); got != [2]int{1, 1} {
		t.Errorf("a confirmed zero left the counts at %v", got)
	}
}

func TestF5QueueingLatencyDoesNotMultiplyDemand(t *testing.T) {
	calm, slow := newWorld(testSpec(), 2, 1), newWorld(testSpec(), 2, 1)
	slow.change = func(s *Snapshot) {
		s.Signals.TTFTMs = Quantile{Reading: Known(90_000, s.Signals.RequestsPerSecond.At, "test")}
	}
	l := load{rate: 2, input: 3000, output: 100}
	_, a := calm.step(l)
	_, b := slow.step(l)
	if a.Prefill.Demand.RequestsPerSecond != b.Prefill.Demand.RequestsPerSecond {
		t.Errorf("the demand is %g/s, and %g/s when requests are slow", a.Prefill.Demand.RequestsPerSecond, b.Prefill.Demand.RequestsPerSecond)
	}
}

func TestF6BudgetBinds(t *testing.T) {
	spec := testSpec()
	spec.Prefill.Max, spec.Decode.Max, spec.BudgetGPUs = 8, 8, 8
	w := newWorld(spec, 1, 1)
	w.run(40, load{rate: 20, input: 8000, output: 1500})
	if got := w.counts(); 2*(got[0]+got[1]) > 8 {
		t.Errorf("counts %v hold more than 8 GPUs", got)
	}
}

func TestF7F8RoundingNeverExceedsTheBudgetNorRaises(t *testing.T) {
	// The case of a peer: ask for 1 prefill of 1 GPU and 4 decode of 2, budget 8.
	spec := testSpec()
	spec.Prefill.GPUsPerReplica, spec.Decode.GPUsPerReplica, spec.BudgetGPUs = 1, 2, 8
	w := newWorld(spec, 1, 1)
	d := w.run(40, heavyDecode)
	if got := w.counts(); got[0]+2*got[1] > 8 {
		t.Errorf("counts %v hold more than 8 GPUs: %s", got, d.Summary)
	}
}

func TestF9MinimumAboveBudgetEndsAndSaysSo(t *testing.T) {
	spec := testSpec()
	spec.Prefill.Min, spec.Decode.Min, spec.BudgetGPUs = 4, 4, 8
	w := newWorld(spec, 2, 2)
	d := w.run(3, heavyPrefill)
	if !hasNote(d, ReasonBudgetBelowMin) {
		t.Errorf("nothing says that the minimum does not fit: %+v", d.Notes)
	}
	if got := w.counts(); 2*(got[0]+got[1]) > 8 {
		t.Errorf("counts %v hold more than 8 GPUs", got)
	}
}

func hasNote(d Decision, reason Reason) bool {
	for _, n := range d.Notes {
		if n.Reason == reason {
			return true
		}
	}
	return false
}

func TestF11OnePodThatCannotStartFreezesNothing(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.spec.BudgetGPUs = 32
	w.stuckStart[Prefill] = true
	w.write(Prefill, 3)
	w.run(10, heavyDecode)
	if got := w.counts(); got[1] <= 1 {
		t.Errorf("decode stays at %d while a prefill replica cannot start", got[1])
	}
}

func TestF12OneRoleWithoutDataLeavesTheOther(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.change = func(s *Snapshot) { s.Decode.Missing = "role decode is not in the group" }
	w.run(10, heavyPrefill)
	if got := w.counts(); got[0] <= 1 || got[1] != 1 {
		t.Errorf("counts %v: prefill should grow and decode be left alone", got)
	}
}

func TestF13WindowTakesTheMostThatWasNeeded(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	w.run(20, quiet)
	w.run(2, heavyPrefill)
	high := w.counts()[0]
	d := w.run(8, quiet) // less than the window of 12 intervals
	if got := w.counts()[0]; got != high || d.Prefill.Binding != ReasonWindow {
		t.Errorf("prefill went from %d to %d within the window (%s)", high, got, d.Prefill.Binding)
	}
	w.run(15, quiet)
	if got := w.counts()[0]; got >= high {
		t.Errorf("prefill is still at %d after the window", got)
	}
}

func TestF16RestartDoesNotShrink(t *testing.T) {
	w := newWorld(testSpec(), 4, 2)
	for range 6 { // restarts more often than a window is long
		w.mem = Memory{}
		w.run(11, quiet)
	}
	if got := w.counts(); got != [2]int{4, 2} {
		t.Errorf("restarts took the counts to %v", got)
	}
}

func TestF18NoOscillation(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	changes, last := 0, w.counts()
	for range 300 {
		w.step(load{rate: 4, input: 2500, output: 400})
		if w.counts() != last {
			changes, last = changes+1, w.counts()
		}
	}
	if changes > 3 {
		t.Errorf("the counts changed %d times under a steady load", changes)
	}
}

func TestF19UnattainableObjectiveDoesNotHoldTheMaximum(t *testing.T) {
	w := newWorld(testSpec(), 6, 1)
	w.spec.BudgetGPUs = 0
	w.spec.TTFT.Ms = 50 // below one prompt's own prefill time
	d := w.run(60, load{rate: 0.5, input: 4000, output: 100})
	if got := w.counts()[0]; got > 2 {
		t.Errorf("prefill is held at %d for an objective that no count can meet", got)
	}
	if !hasNote(d, ReasonUnattainable) {
		t.Errorf("nothing says that the objective is below one prompt's own time: %+v", d.Notes)
	}
}

func TestF20StepsAreBounded(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	w.spec.Prefill.Up = StepSpec{MaxStep: 1, PeriodSeconds: 30}
	ups := 0
	for range 12 {
		before := w.counts()[0]
		w.step(load{rate: 20, input: 8000, output: 50})
		if after := w.counts()[0]; after > before+1 {
			t.Fatalf("prefill went from %d to %d at once", before, after)
		} else if after > before {
			ups++
		}
	}
	if ups == 0 || ups > 4 {
		t.Errorf("%d steps in two minutes, one per 30 s is allowed", ups)
	}
}

func TestF21QueueThatDecodeCausesDoesNotGrowPrefill(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.change = func(s *Snapshot) {
		at := s.Signals.RequestsPerSecond.At
		s.Signals.PrefillWaiting, s.Signals.DecodeWaiting, s.Signals.DecodeKVUseMax = Known(80, at, "test"), Known(30, at, "test"), Known(0.98, at, "test")
	}
	d := w.run(5, load{rate: 2, input: 1500, output: 300})
	if d.Prefill.To > 2 {
		t.Errorf("prefill grew to %d: %s", d.Prefill.To, d.Prefill.Because)
	}
	if !strings.Contains(d.Prefill.Because, "decode") {
		t.Errorf("the reason does not name decode: %s", d.Prefill.Because)
	}
}

func TestF22F23RolesScaleApart(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	w.spec.BudgetGPUs = 0
	w.spec.Decode.Max = 1
	w.run(10, heavyPrefill)
	if got := w.counts(); got[0] <= 1 {
		t.Errorf("prefill stays at %d because decode is at its maximum", got[0])
	}
}

func TestStaleReadingsAreUnknown(t *testing.T) {
	w := newWorld(testSpec(), 3, 2)
	w.change = func(s *Snapshot) {
		s.Signals.RequestsPerSecond.At = s.Signals.RequestsPerSecond.At.Add(-2 * time.Minute)
	}
	d := w.run(30, load{})
	if got := w.counts(); got != [2]int{3, 2} || !hasNote(d, ReasonDemandUnknown) {
		t.Errorf("readings of two minutes ago changed the counts to %v", got)
	}
}

// TestMoveUnderAHardCap is the running example: 12 GPUs, a surge of prefill,
// then one of decode that only a move can serve.
func TestMoveUnderAHardCap(t *testing.T) {
	w := newWorld(testSpec(), 2, 1)
	w.run(15, quiet)
	w.run(15, heavyPrefill)
	afterPrefill := w.counts()
	moved := false
	for range 25 {
		_, d := w.step(heavyDecode)
		moved = moved || d.Move != nil
	}
	if got := w.counts(); !moved || got[1] <= afterPrefill[1] || got[0] >= afterPrefill[0] {
		t.Errorf("counts went from %v to %v, moved: %v", afterPrefill, got, moved)
	}
}
