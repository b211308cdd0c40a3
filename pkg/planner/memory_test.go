package planner

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
)

// one is a series of one sample.
func one(in *Input, secondsAgo, value float64) []forecast.Sample {
	return []forecast.Sample{{At: in.before(secondsAgo), Value: value}}
}

func TestLengthsThatAreNotKnownNowAreRemembered(t *testing.T) {
	unknown := Unknown("nothing has finished")
	for name, c := range map[string]struct {
		change        func(*Input)
		known         bool
		input, output float64
	}{
		"known now":       {func(*Input) {}, true, 3000, 100},
		"prompts unknown": {func(in *Input) { in.Snapshot.Signals.InputTokens = unknown }, true, 500, 100},
		"outputs unknown": {func(in *Input) { in.Snapshot.Signals.OutputTokens = unknown }, true, 3000, 50},
		"both": {func(in *Input) {
			in.Snapshot.Signals.InputTokens, in.Snapshot.Signals.OutputTokens = unknown, unknown
		}, true, 500, 50},
		"and no memory of them": {func(in *Input) {
			in.Snapshot.Signals.InputTokens = unknown
			in.Memory.Requests, in.Memory.Input, in.Memory.Output = nil, nil, nil
		}, false, 0, 0},
		"the last memory is of no requests": {func(in *Input) {
			in.Snapshot.Signals.InputTokens = unknown
			for series, v := range map[*[]forecast.Sample]float64{&in.Memory.Requests: 0, &in.Memory.Input: 0, &in.Memory.Output: 0} {
				*series = append(*series, forecast.Sample{At: in.before(20), Value: v})
			}
		}, true, 500, 100},
		"the last memory is what counts": {func(in *Input) {
			in.Snapshot.Signals.InputTokens = unknown
			for series, v := range map[*[]forecast.Sample]float64{&in.Memory.Requests: 2, &in.Memory.Input: 1800, &in.Memory.Output: 100} {
				*series = append(*series, forecast.Sample{At: in.before(20), Value: v})
			}
		}, true, 900, 100},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{2, 2}, have{1, 1}, load{rate: 2, input: 3000, output: 100})
			in.Memory.Requests, in.Memory.Input, in.Memory.Output = one(&in, 200, 2), one(&in, 200, 1000), one(&in, 200, 100)
			c.change(&in)
			d, m := Plan(in)
			got := d.Prefill.Demand
			if got.Known != c.known || got.InputTokens != c.input || got.OutputTokens != c.output {
				t.Errorf("known %v, prompts of %g, outputs of %g; want %v, %g, %g (%s)", got.Known, got.InputTokens, got.OutputTokens, c.known, c.input, c.output, got.Why)
			}
			n := len(in.Memory.Requests)
			if !c.known {
				if len(m.Requests) != n || d.Prefill.Binding != ReasonDemandUnknown {
					t.Errorf("a demand that is not known is remembered: %v", m.Requests)
				}
				return
			}
			want := [3]float64{2, 2 * c.input, 2 * c.output}
			if got := [3]float64{m.Requests[n].Value, m.Input[n].Value, m.Output[n].Value}; got != want || !m.Requests[n].At.Equal(in.Now) {
				t.Errorf("remembered %v, want %v of now", got, want)
			}
		})
	}
}

func TestSeriesAreBoundedAndOutagesLeaveNoTrace(t *testing.T) {
	w := newWorld(testSpec(), 1, 1)
	for i := range 150 {
		_, d := w.step(load{rate: float64(1+i%3) / 2, input: 500, output: 50, unknown: i%10 == 9})
		if d.Prefill.Demand.Known == (i%10 == 9) {
			t.Fatalf("step %d: the demand is known: %v", i, d.Prefill.Demand.Known)
		}
	}
	if a, b, c := len(w.mem.Requests), len(w.mem.Input), len(w.mem.Output); a != maxSamples || b != maxSamples || c != maxSamples {
		t.Errorf("%d, %d and %d samples, want %d of each", a, b, c, maxSamples)
	}
	for i := 1; i < len(w.mem.Requests); i++ {
		if !w.mem.Requests[i].At.After(w.mem.Requests[i-1].At) || !(w.mem.Requests[i].Value > 0) {
			t.Fatalf("samples %+v and %+v are not two moments of demand", w.mem.Requests[i-1], w.mem.Requests[i])
		}
	}
}

func TestTraitsOutliveAReadingAndAreBounded(t *testing.T) {
	in := settled(testSpec(), have{2, 2}, have{1, 1}, load{rate: 2, input: 3000, output: 100})
	s := &in.Snapshot.Signals
	s.ArrivalSCV, s.InputSCV, s.OutputSCV, s.CachedShare = in.fresh(3), in.fresh(4), in.fresh(9), in.fresh(1.2)
	d, m := Plan(in)
	want := Traits{ArrivalSCV: in.fresh(3), InputSCV: in.fresh(4), OutputSCV: in.fresh(9), CachedShare: in.fresh(1.2)}
	if diff := cmp.Diff(want, m.Traits); diff != "" {
		t.Errorf("remembered: %s", diff)
	}
	if got := d.Prefill.Demand.CachedShare; got != 0.99 {
		t.Errorf("a cached share of %g is believed", got)
	}
	in.Memory = m
	in.Now = in.Now.Add(10 * time.Second)
	s.RequestsPerSecond, s.InputTokens, s.OutputTokens = in.fresh(2), in.fresh(3000), in.fresh(100)
	s.ArrivalSCV, s.InputSCV, s.OutputSCV, s.CachedShare = Unknown("x"), Known(1, in.before(61), "x"), Known(1e8, in.Now, "x"), Reading{}
	again, m := Plan(in)
	if diff := cmp.Diff(want, m.Traits); diff != "" {
		t.Errorf("a reading that failed changed what is remembered: %s", diff)
	}
	if *again.Prefill.BeforeMs != *d.Prefill.BeforeMs {
		t.Errorf("the prediction went from %g to %g ms", *d.Prefill.BeforeMs, *again.Prefill.BeforeMs)
	}
}

// TestVariationCounts: each of the variations that the metrics show makes the
// latency of its role longer.
func TestVariationCounts(t *testing.T) {
	for name, c := range map[string]struct {
		role   Role
		change func(*Input)
	}{
		"bursts":                  {Prefill, func(in *Input) { in.Snapshot.Signals.ArrivalSCV = in.fresh(6) }},
		"prompts of many lengths": {Prefill, func(in *Input) { in.Snapshot.Signals.InputSCV = in.fresh(4) }},
		"a smaller cache":         {Prefill, func(in *Input) { in.Snapshot.Signals.CachedShare = in.fresh(0.1) }},
		"bursts, for decode":      {Decode, func(in *Input) { in.Snapshot.Signals.ArrivalSCV = in.fresh(6) }},
	} {
		in := settled(testSpec(), have{3, 3}, have{2, 2}, load{rate: 3, input: 3000, output: 200})
		in.Snapshot.Signals.ArrivalSCV, in.Snapshot.Signals.CachedShare = in.fresh(1), in.fresh(0.3)
		calm, _ := Plan(in)
		c.change(&in)
		wild, _ := Plan(in)
		if a, b := *calm.role(c.role).BeforeMs, *wild.role(c.role).BeforeMs; b <= a {
			t.Errorf("%s: %g ms, and %g ms without", name, b, a)
		}
	}
}

func TestImplausibleReadingsAreUnknown(t *testing.T) {
	in := settled(testSpec(), have{2, 1}, have{2, 1}, load{rate: 1.0000001e7, input: 100, output: 10})
	d, _ := Plan(in)
	if d.Prefill.Demand.Known || d.Prefill.To != 2 || d.Prefill.Demand.Why == "" {
		t.Errorf("ten million requests per second are believed: %s", d.Summary)
	}
	in.Snapshot.Signals.RequestsPerSecond.Value = 1e7
	if d, _ := Plan(in); !d.Prefill.Demand.Known {
		t.Errorf("1e7 is the bound, and refused: %s", d.Prefill.Demand.Why)
	}
}

// TestRestartKeepsWhatMustLast: windows, series and breaches are void after a
// restart or a clock that went back; moves, caps and pauses stay, and nothing
// that is remembered lies further ahead than it could have been set from now.
func TestRestartKeepsWhatMustLast(t *testing.T) {
	spec := testSpec()
	now := epoch.Add(time.Hour)
	at := func(seconds float64) time.Time { return now.Add(Seconds(seconds).Duration()) }
	tomorrow := at(86400)
	full := RoleMemory{Needs: []Need{{From: now, To: now, Replicas: 5}}, LastUp: tomorrow, LastDown: tomorrow, CappedAt: 3, CapSeconds: 600,
		CappedUntil: tomorrow, BreachSince: now, QuietSeconds: 240, QuietUntil: tomorrow}
	other := RoleMemory{CappedAt: 1, LastDown: at(-7)}
	m := Memory{Version: RecordVersion, Since: epoch, LastAt: tomorrow, Requests: []forecast.Sample{{At: now, Value: 3}}, Prefill: full, Decode: other,
		Traits: Traits{InputSCV: Known(2, now, "x")}, BetterSince: now, MoveNotBefore: tomorrow,
		Move: &Move{From: Prefill, To: Decode, DonorBefore: 3, DonorAfter: 2, ReceiverBefore: 1, ReceiverAfter: 2, Phase: Draining, StartedAt: tomorrow, PhaseSince: tomorrow}}
	role := RoleMemory{LastUp: now, LastDown: now, CappedAt: 3, CapSeconds: 600, CappedUntil: at(600), QuietSeconds: 240, QuietUntil: at(240)}
	move := *m.Move
	move.StartedAt, move.PhaseSince = now, now
	want := Memory{Since: now, Prefill: role, Decode: other, MoveNotBefore: at(120), Move: &move}
	if diff := cmp.Diff(want, m.clone().afresh(&spec, now)); diff != "" {
		t.Errorf("after the clock went back: %s", diff)
	}
	// A pause that is shorter than the window may last as long as the window.
	m.Prefill.QuietSeconds = 5
	if got := m.clone().afresh(&spec, now).Prefill.QuietUntil; !got.Equal(at(120)) {
		t.Errorf("the pause lasts until %s, want %s", got, at(120))
	}
	// What lies in the past stays there.
	past := RoleMemory{LastUp: at(-50), LastDown: at(-60), CapSeconds: 600, CappedAt: 2, CappedUntil: at(30), QuietSeconds: 240, QuietUntil: at(40)}
	m = Memory{Since: epoch, LastAt: tomorrow, Prefill: past, Decode: past, MoveNotBefore: at(20)}
	want = Memory{Since: now, Prefill: past, Decode: past, MoveNotBefore: at(20)}
	in := Input{Spec: spec, Now: now, Memory: m}
	in.Memory.LastAt, in.Memory.Since = now, time.Time{}
	if got := newRound(&in).mem; !got.Since.Equal(now) || !got.LastAt.Equal(now) || got.Version != RecordVersion || got.Prefill.CappedAt != 2 {
		t.Errorf("a memory without a beginning becomes %+v", got)
	}
	in.Memory.Since = epoch
	if got := newRound(&in).mem; !got.Since.Equal(epoch) || !got.LastAt.Equal(now) {
		t.Errorf("a memory of this very moment becomes %+v", got)
	}
	if diff := cmp.Diff(want, m.afresh(&spec, now)); diff != "" {
		t.Errorf("after a restart: %s", diff)
	}
}

// TestMemoryStaysWithItsOwner: a plan writes into no slice or move that it was given.
func TestMemoryStaysWithItsOwner(t *testing.T) {
	in := settled(testSpec(), have{4, 2}, have{1, 1}, heavyDecode)
	in.Memory.Requests, in.Memory.Input, in.Memory.Output = make([]forecast.Sample, 1, 9), make([]forecast.Sample, 1, 9), make([]forecast.Sample, 1, 9)
	in.Memory.Move = &Move{From: Prefill, To: Decode, DonorBefore: 4, DonorAfter: 4, ReceiverBefore: 1, ReceiverAfter: 2, GPUs: 2, Phase: Draining, StartedAt: in.Now, PhaseSince: in.Now}
	for _, role := range []Role{Prefill, Decode} {
		r := in.Memory.role(role)
		r.Needs = append(make([]Need, 0, 99), r.Needs...)
		r.Needs[len(r.Needs)-1].From = in.Now
	}
	before := in.Memory.clone()
	Plan(in)
	if diff := cmp.Diff(before, in.Memory); diff != "" {
		t.Errorf("the memory that was given is changed: %s", diff)
	}
	for _, series := range [][]forecast.Sample{in.Memory.Requests, in.Memory.Input, in.Memory.Output} {
		if next := series[:2][1]; !next.At.IsZero() {
			t.Errorf("a sample of %s was written behind a series that was given", next.At)
		}
	}
}
