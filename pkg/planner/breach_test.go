package planner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// missed is a latency above its objective whatever its bucket.
func missed(in *Input, ms float64) Quantile { return Quantile{Reading: in.fresh(ms)} }

func TestLatencyIsSurelyAboveItsObjective(t *testing.T) {
	now := epoch
	known := func(ms float64) Reading { return Known(ms, now, "test") }
	for name, c := range map[string]struct {
		q    Quantile
		want bool
	}{
		"below":                         {Quantile{Reading: known(1999)}, false},
		"just there":                    {Quantile{Reading: known(2000)}, false},
		"above, no bucket":              {Quantile{Reading: known(2001)}, true},
		"the bucket begins there":       {Quantile{Reading: known(2100), LowMs: 2000, HighMs: 4000}, true},
		"the bucket begins below":       {Quantile{Reading: known(2100), LowMs: 1000, HighMs: 4000}, false},
		"and the mean is above":         {Quantile{Reading: known(2100), LowMs: 1000, HighMs: 4000, MeanMs: 2001}, true},
		"and the mean is there":         {Quantile{Reading: known(2100), LowMs: 1000, HighMs: 4000, MeanMs: 2000}, false},
		"the first bucket":              {Quantile{Reading: known(2100), HighMs: 4000}, false},
		"the last bucket begins below":  {Quantile{Reading: known(2100), LowMs: 1000}, false},
		"not known":                     {Quantile{Reading: Unknown("x"), LowMs: 9000, HighMs: 9999}, false},
		"below in spite of a high mean": {Quantile{Reading: known(1500), MeanMs: 3000}, false},
	} {
		if got := c.q.surelyAbove(2000); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestBreachAddsOne: the conditions under which the observed latency adds a
// replica against the model's opinion, each missing once.
func TestBreachAddsOne(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		want   int
	}{
		"missed for the whole time": {func(*Input) {}, 3},
		"not for long enough":       {func(in *Input) { in.Memory.Decode.BreachSince = in.before(59) }, 2},
		"only now":                  {func(in *Input) { in.Memory.Decode.BreachSince = time.Time{} }, 2},
		"not any more":              {func(in *Input) { in.Snapshot.Signals.TPOTMs = missed(in, 40) }, 2},
		"the reading is old":        {func(in *Input) { in.Snapshot.Signals.TPOTMs.At = in.before(61) }, 2},
		"switched off":              {func(in *Input) { in.Spec.Behavior.BreachSeconds = 0 }, 2},
		"a replica is not ready": {func(in *Input) {
			in.Snapshot.Decode.Replicas[1].State = Starting
			in.Snapshot.Decode.Replicas[1].Since = in.Now
		}, 2},
		"at the maximum": {func(in *Input) { in.Spec.Decode.Max = 2 }, 2},
		"demand unknown": {func(in *Input) { in.Snapshot.Signals.RequestsPerSecond = Unknown("x") }, 2},
		"no count can hold it": {func(in *Input) {
			in.Spec.TPOT.Ms = 10
			in.Snapshot.Signals.TPOTMs = missed(in, 30)
			in.Spec.Decode.Max = 3
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 1, input: 1000, output: 200})
			in.Snapshot.Signals.TPOTMs = missed(&in, 60)
			in.Memory.Decode.BreachSince = in.before(60)
			c.change(&in)
			d, m := Plan(in)
			if d.Decode.To != c.want {
				t.Fatalf("decode goes to %d, want %d: %s", d.Decode.To, c.want, d.Decode.Because)
			}
			if c.want == 3 && (d.Decode.Binding != ReasonBreach || !hasNote(d, ReasonModelDisagrees) || !m.Decode.BreachSince.Equal(in.Now) || !m.Decode.QuietUntil.Equal(in.Now.Add(120*time.Second))) {
				t.Errorf("binding %s, notes %v, breach since %v, quiet until %v", d.Decode.Binding, d.Notes, m.Decode.BreachSince, m.Decode.QuietUntil)
			}
			if c.want == 2 && !m.Decode.QuietUntil.IsZero() {
				t.Errorf("nothing goes down until %s, though nothing was added", m.Decode.QuietUntil)
			}
			if d.Prefill.To > 2 {
				t.Errorf("prefill goes to %d for decode's latency", d.Prefill.To)
			}
		})
	}
}

// TestBreachOfThePastAddsNone: a latency that is still read after the last request has come is of requests that no new
// replica can serve. Only a fresh zero with empty queues says so: what is not known is not zero.
func TestBreachOfThePastAddsNone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input, *Signals)
		want   int
	}{
		"nothing arrives and nothing waits":           {func(*Input, *Signals) {}, 2},
		"a zero that was read as a number":            {func(in *Input, s *Signals) { s.RequestsPerSecond = in.fresh(0) }, 2},
		"sequences run on that no replica takes over": {func(in *Input, s *Signals) { s.DecodeRunning = in.fresh(40) }, 2},
		"the forecast has not followed yet": {func(in *Input, s *Signals) {
			in.Memory.Requests, in.Memory.Input, in.Memory.Output = one(in, 10, 1), one(in, 10, 1000), one(in, 10, 200)
		}, 2},
		"requests arrive":                       {func(in *Input, s *Signals) { s.RequestsPerSecond = in.fresh(1) }, 3},
		"the zero is old":                       {func(in *Input, s *Signals) { s.RequestsPerSecond = Zero(in.before(61), "test") }, 2}, // the demand is not known
		"prefill's queue is not known":          {func(_ *Input, s *Signals) { s.PrefillWaiting = Unknown("NATS does not answer") }, 3},
		"prefill's queue was empty a while ago": {func(in *Input, s *Signals) { s.PrefillWaiting = Zero(in.before(61), "test") }, 3},
		"one waits for prefill":                 {func(in *Input, s *Signals) { s.PrefillWaiting = in.fresh(1) }, 3},
		"decode's queue is not known":           {func(_ *Input, s *Signals) { s.DecodeWaiting = Unknown("not exported") }, 3},
		"one waits for decode":                  {func(in *Input, s *Signals) { s.DecodeWaiting = in.fresh(1) }, 3},
	} {
		for _, role := range []Role{Prefill, Decode} {
			t.Run(name+", "+string(role), func(t *testing.T) {
				in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 1, input: 1000, output: 200})
				s := &in.Snapshot.Signals
				s.RequestsPerSecond, s.PrefillWaiting, s.DecodeWaiting = Zero(in.Now, "test"), Zero(in.Now, "test"), Zero(in.Now, "test")
				if role == Prefill {
					s.TTFTMs = missed(&in, 3000)
				} else {
					s.TPOTMs = missed(&in, 60)
				}
				in.Memory.role(role).BreachSince = in.before(60)
				c.change(&in, s)
				d, m := Plan(in)
				if d.role(role).To != c.want {
					t.Fatalf("%s goes to %d, want %d: %s", role, d.role(role).To, c.want, d.role(role).Because)
				}
				if grew := c.want == 3; grew != (d.role(role).Binding == ReasonBreach && hasNote(d, ReasonModelDisagrees)) || grew == m.role(role).QuietUntil.IsZero() {
					t.Errorf("bound by %s, notes %v, quiet until %v", d.role(role).Binding, d.Notes, m.role(role).QuietUntil)
				}
			})
		}
	}
}

// TestBreachOfThePastNeverAdds, whatever else is the case.
func TestBreachOfThePastNeverAdds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput().Draw(t, "input")
		s := &in.Snapshot.Signals
		s.RequestsPerSecond, s.PrefillWaiting, s.DecodeWaiting = Zero(in.Now, "test"), Zero(in.Now, "test"), Zero(in.Now, "test")
		s.TTFTMs, s.TPOTMs = missed(&in, 2*in.Spec.TTFT.Ms), missed(&in, 2*in.Spec.TPOT.Ms)
		in.Memory.Prefill.BreachSince, in.Memory.Decode.BreachSince = in.before(3600), in.before(3600)
		d, m := Plan(in)
		for _, role := range []Role{Prefill, Decode} {
			if r := d.role(role); r.Binding == ReasonBreach && r.To > r.From || in.Spec.Paused == "" && m.role(role).QuietUntil.After(in.Memory.role(role).QuietUntil) {
				t.Fatalf("%s grows from %d to %d for a breach of the past: %s", role, r.From, r.To, r.Because)
			}
		}
	})
}

// TestQuietAfterABreachDoubles: how long nothing goes down after a replica was
// added for a breach.
func TestQuietAfterABreachDoubles(t *testing.T) {
	for name, c := range map[string]struct {
		last  Seconds // how long it was the last time
		ended float64 // seconds ago
		want  Seconds
	}{
		"the first time":                 {0, 0, 120},
		"again while quiet":              {120, -50, 240},
		"again soon after":               {120, 119, 240},
		"again, but later than it was":   {120, 121, 120},
		"soon after a long one":          {600, 599, 1200},
		"later than a long one":          {600, 601, 120},
		"never more than six hours":      {20000, 10, 21600},
		"a short one counts as a window": {10, 110, 120},
	} {
		in := settled(testSpec(), have{2, 2}, have{2, 2}, load{rate: 1, input: 1000, output: 200})
		in.Snapshot.Signals.TPOTMs = missed(&in, 60)
		in.Memory.Decode.BreachSince = in.before(60)
		if c.last > 0 {
			in.Memory.Decode.QuietSeconds, in.Memory.Decode.QuietUntil = c.last, in.before(c.ended)
		}
		_, m := Plan(in)
		if m.Decode.QuietSeconds != c.want || !m.Decode.QuietUntil.Equal(in.Now.Add(c.want.Duration())) {
			t.Errorf("%s: quiet for %g s until %s, want %g s", name, m.Decode.QuietSeconds, m.Decode.QuietUntil, c.want)
		}
	}
}

// TestGPUActivityVetoesTheWayDown: the counters are held against what the model
// expects of a load; more than that by 15 points is work that it does not see.
func TestGPUActivityVetoesTheWayDown(t *testing.T) {
	l := load{rate: 1, input: 1000, output: 200}
	prefillBusy, decodeBusy := sharedService.Prefill.BusyActivity.PrefillTensorActive, sharedService.Decode.BusyActivity.DecodeDRAMActive
	base := settled(testSpec(), have{3, 1}, have{3, 1}, l)
	calm, _ := Plan(base)
	if calm.Prefill.To != 1 || calm.Decode.To != 1 || calm.Prefill.Load <= 0 || calm.Prefill.Load >= 1 {
		t.Fatalf("without activity: %s, load %g", calm.Summary, calm.Prefill.Load)
	}
	for name, c := range map[string]struct {
		change func(*Input, *Signals)
		want   [2]int
	}{
		"prefill as expected":                 {func(in *Input, s *Signals) { s.PrefillTensorActive = in.fresh(calm.Prefill.Load*prefillBusy + 0.149) }, [2]int{1, 1}},
		"prefill busier":                      {func(in *Input, s *Signals) { s.PrefillTensorActive = in.fresh(calm.Prefill.Load*prefillBusy + 0.151) }, [2]int{3, 1}},
		"decode as expected of one that runs": {func(in *Input, s *Signals) { s.DecodeDRAMActive = in.fresh(decodeBusy + 0.149) }, [2]int{1, 1}},
		"decode busier":                       {func(in *Input, s *Signals) { s.DecodeDRAMActive = in.fresh(decodeBusy + 0.151) }, [2]int{1, 3}},
		"decode busy with no sequence": {func(in *Input, s *Signals) {
			s.DecodeDRAMActive = in.fresh(0.2)
			s.DecodeRunning = Zero(in.Now, "test")
		}, [2]int{1, 3}},
		"decode idle with no sequence": {func(in *Input, s *Signals) {
			s.DecodeDRAMActive = in.fresh(0.1)
			s.DecodeRunning = Zero(in.Now, "test")
		}, [2]int{1, 1}},
		"decode busy, sequences not known": {func(in *Input, s *Signals) { s.DecodeDRAMActive = in.fresh(0.5); s.DecodeRunning = Unknown("x") }, [2]int{1, 1}},
		"old counters": {func(in *Input, s *Signals) {
			s.DecodeDRAMActive = Known(1, in.before(61), "dcgm")
			s.PrefillTensorActive = s.DecodeDRAMActive
		}, [2]int{1, 1}},
		"counters of a GPU that the model does not know": {func(in *Input, s *Signals) {
			s.DecodeDRAMActive, s.PrefillTensorActive = in.fresh(1), in.fresh(1)
			in.Spec.Service.Prefill.BusyActivity.PrefillTensorActive, in.Spec.Service.Decode.BusyActivity.DecodeDRAMActive = 0, 0
		}, [2]int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{3, 1}, have{3, 1}, l)
			c.change(&in, &in.Snapshot.Signals)
			d, _ := Plan(in)
			if got := [2]int{d.Prefill.To, d.Decode.To}; got != c.want {
				t.Fatalf("counts %v, want %v: %s", got, c.want, d.Summary)
			}
			for i, role := range []Role{Prefill, Decode} {
				if held := c.want[i] == 3; held != (d.role(role).Binding == ReasonActivity) {
					t.Errorf("%s is bound by %s", role, d.role(role).Binding)
				}
			}
			if vetoed := c.want != [2]int{1, 1}; vetoed != hasNote(d, ReasonModelDisagrees) {
				t.Errorf("notes: %v", d.Notes)
			}
		})
	}
	// A load above 1 expects no more than a replica that is busy all the time.
	in := settled(testSpec(), have{3, 1}, have{1, 1}, l)
	for i := range in.Snapshot.Prefill.Replicas[1:] {
		in.Snapshot.Prefill.Replicas[1+i].State = Starting
	}
	p := newRound(&in)
	p.prefill.d.Load = 4
	in.Snapshot.Signals.PrefillTensorActive = in.fresh(min(1, prefillBusy+0.16))
	if p.busierThanModelled(&p.prefill) == "" {
		t.Errorf("four times overloaded, %.0f %% tensor activity is taken for what the model expects", 100*prefillBusy+16)
	}
}
