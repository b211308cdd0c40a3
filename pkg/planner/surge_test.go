package planner

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

// waves are prompts that jump for a while once in so many steps, and answers that flow evenly.
func waves(step, every, long int, height float64) load {
	l := load{rate: 5, input: 4000, output: 300}
	if step%every >= every-long {
		l.input *= height
	}
	return l
}

// Prompts that jump within a start-up time leave prefill with room for the next jump, and decode as it was.
func TestSurgeIsLearntByEachRole(t *testing.T) {
	spec := testSpec()
	spec.BudgetGPUs, spec.Behavior.Headroom = 0, 0.1
	spec.TTFT.Ms = 1000
	w := newWorld(spec, 4, 2)
	play := func(steps int, at func(int) load) (d Decision) {
		for i := range steps {
			_, d = w.step(at(i))
		}
		return d
	}
	calm := play(60, func(int) load { return load{rate: 5, input: 4000, output: 300} })
	if calm.Prefill.Demand.SurgePerSecond != 0 || calm.Decode.Demand.SurgePerSecond != 0 {
		t.Fatalf("a surge out of nothing: %+v, %+v", calm.Prefill.Demand, calm.Decode.Demand)
	}
	d := play(160, func(i int) load { return waves(i, 20, 8, 1.6) }) // ends in a wave
	for range 6 {
		_, d = w.step(load{rate: 5, input: 4000, output: 300})
	}
	got := d.Prefill.Demand
	if got.SurgePerSecond < 0.3*5 || got.SurgePerSecond > 0.6*5 {
		t.Errorf("prompts that grow by 60 %% within a start-up leave room for %.3g requests/s on top of %g", got.SurgePerSecond, got.NowPerSecond)
	}
	if d.Decode.Demand.SurgePerSecond != 0 {
		t.Errorf("decode, whose load does not change, holds %.3g requests/s more", d.Decode.Demand.SurgePerSecond)
	}
	if d.Prefill.Wanted <= calm.Prefill.Wanted {
		t.Errorf("prefill wants %d replicas between waves, and %d of a demand that never had any", d.Prefill.Wanted, calm.Prefill.Wanted)
	}
	calm2 := play(600, func(int) load { return load{rate: 5, input: 4000, output: 300} })
	if calm2.Prefill.Demand.SurgePerSecond != 0 || calm2.Prefill.Wanted != calm.Prefill.Wanted {
		t.Errorf("long after the last wave room for %.3g requests/s is held: %s", calm2.Prefill.Demand.SurgePerSecond, calm2.Prefill.Because)
	}
	if n := len(w.mem.Prefill.Rises); n != forecast.MaxRises {
		t.Errorf("%d rises are remembered, want %d", n, forecast.MaxRises)
	}
}

// rises are so many horizons in each of which the demand rose by a share of so many tokens/s.
func rises(now time.Time, n int, tokensPerSecond, share float64) (r []forecast.Rise) {
	for i := range n {
		r = append(r, forecast.Rise{From: now.Add(-time.Duration(n-i) * time.Minute), Amount: share * tokensPerSecond, Share: share})
	}
	return r
}

func TestSurgeIsOnTopOfHeadroomAndTheToleranceIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		headroom, share float64
		want, wider     float64 // requests/s
	}{
		"none":                        {0, 0, 2, 2.2},
		"less than the tolerance":     {0, 0.05, 2.1, 2.2},
		"more than the tolerance":     {0, 0.4, 2.8, 2.8},
		"with headroom":               {0.1, 0.4, 3, 3},
		"with less than is expected":  {-0.1, 0.4, 2.6, 2.6},
		"no more than half":           {0, 7, 3, 3},
		"headroom counts as expected": {0.5, 0.1, 3.2, 3.3},
	} {
		t.Run(name, func(t *testing.T) {
			l := load{rate: 2, input: 3000, output: 100}
			in := settled(testSpec(), have{2, 2}, have{2, 2}, l)
			in.Spec.Behavior.Headroom = c.headroom
			in.Memory.Prefill.Rises = rises(in.Now, 20, l.rate*l.input, c.share)
			d, m := Plan(in)
			got := d.Prefill.Demand
			if !near(got.RequestsPerSecond, c.want) || !near(got.SurgePerSecond, min(c.share, 0.5)*l.rate) || !near(got.HeadroomPerSecond+1, 1+c.headroom*l.rate) {
				t.Errorf("sized for %+v, want %g requests/s", got, c.want)
			}
			if want := enough(in.Spec, Prefill, load{rate: 1, input: l.input, output: l.output}, c.wider); m.Prefill.Needs[len(m.Prefill.Needs)-1].Replicas != want {
				t.Errorf("%d replicas are kept, want %d", m.Prefill.Needs[len(m.Prefill.Needs)-1].Replicas, want)
			}
			if got := d.Decode.Demand.SurgePerSecond; got != 0 {
				t.Errorf("decode holds %g requests/s for what prefill has seen", got)
			}
		})
	}
}

// Under a cap that holds what both roles expect, neither goes short for what the other may surge by.
func TestSurgeGoesBeforeWhatIsExpected(t *testing.T) {
	spec := testSpec()
	l := load{rate: 9, input: 5000, output: 300}
	needed := [2]int{enough(spec, Prefill, l, 1), enough(spec, Decode, l, 1)}
	spec.BudgetGPUs = 2 * (needed[0] + needed[1])
	w := newWorld(spec, 1, 1)
	for range 60 {
		w.mem.Prefill.Rises = rises(w.now, 20, l.rate*l.input, 0.8)
		w.step(l)
	}
	if got := w.counts(); got != needed {
		t.Errorf("the counts are %v, the budget holds just the %v that are needed", got, needed)
	}
}

// What a first reading shows is no rise, nor is a time without readings.
func TestNoSurgeOfTheUnknown(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	for i := range 120 {
		l := load{rate: 4, input: 2000, output: 200}
		switch {
		case i < 3:
			l.rate = float64(i) / 2 // counters that were read for the first time
		case i >= 40 && i < 60:
			l.unknown = true
		case i >= 60:
			l.rate = 8 // it came while nothing was read
		}
		_, d := w.step(l)
		if s := d.Prefill.Demand.SurgePerSecond; s != 0 {
			t.Fatalf("step %d: %g requests/s are held for rises like those before: %+v", i, s, w.mem.Prefill.Rises)
		}
	}
}

// A memory from elsewhere may hold anything that JSON can.
func TestRisesThatCannotBeAreHarmless(t *testing.T) {
	for _, v := range []float64{-1e300, -1, 0, 1e300, math.MaxFloat64} {
		in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 2, input: 3000, output: 100})
		in.Memory.Prefill.Rises = []forecast.Rise{{Amount: v, Share: v}}
		before := append([]forecast.Rise(nil), in.Memory.Prefill.Rises...)
		d, _ := Plan(in)
		if got := d.Prefill.Demand.RequestsPerSecond; !(got >= 2 && got <= 3) {
			t.Errorf("rises of %g make a demand of %g requests/s", v, got)
		}
		if diff := cmp.Diff(before, in.Memory.Prefill.Rises); diff != "" {
			t.Errorf("the memory that was given is changed: %s", diff)
		}
	}
}
