package engine

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// An idle service takes exactly what the model says for each step.
func TestIdleServiceTakesTheModelsTimes(t *testing.T) {
	s := service()
	const in, cached, out = 1000, 200, 50
	prefill := s.Prefill.Prefill.StepMs(in-cached, cached)
	transfer := s.Prefill.Transfer.Ms(in)
	steps := func(n int) (ms float64) {
		for i := range n {
			ms += s.Decode.Decode.StepMs(1, float64(in+i))
		}
		return ms
	}
	for _, tc := range []struct {
		ends       capacity.TTFTEnd
		ttft, tpot float64
	}{
		{capacity.EndsAtPrefill, prefill, (transfer + steps(out-1)) / (out - 1)},
		{capacity.EndsAtDecode, prefill + transfer + steps(1), (steps(out) - steps(1)) / (out - 1)},
	} {
		t.Run(string(tc.ends), func(t *testing.T) {
			s.TTFTEndsAt = tc.ends
			e := start(t, Config{Service: s}, 1, 1)
			play(e, load.Request{InputTokens: in, CachedTokens: cached, OutputTokens: out})
			settle(t, e)
			r := e.Records()[0]
			if math.Abs(r.TTFTMs-tc.ttft) > 1e-5 || math.Abs(r.TPOTMs-tc.tpot) > 1e-5 {
				t.Errorf("TTFT %v ms and TPOT %v ms, want %v and %v", r.TTFTMs, r.TPOTMs, tc.ttft, tc.tpot)
			}
			if r.Generated != out || r.Outcome != Finished {
				t.Errorf("%d tokens, %s", r.Generated, r.Outcome)
			}
		})
	}
}

func TestPromptsArePadded(t *testing.T) {
	s := service()
	s.PadTokens = 128
	e := start(t, Config{Service: s}, 1, 1)
	play(e, load.Request{InputTokens: 300, OutputTokens: 1})
	settle(t, e)
	if got, want := e.Records()[0].TTFTMs, s.Prefill.Prefill.StepMs(384, 0); math.Abs(got-want) > 1e-5 {
		t.Errorf("TTFT %v ms, want that of 384 tokens, %v", got, want)
	}
}

// A run of steps taken at once lasts as long as its steps one by one.
func TestStepsSumExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := h200().Decode
		b := rapid.IntRange(1, 256).Draw(t, "sequences")
		s := rapid.IntRange(b, 200_000).Draw(t, "context")
		k := rapid.IntRange(1, 500).Draw(t, "steps")
		run := newStepRun(time.Second, d, b, s, k, 1)
		sum := 0.0
		for i := range k {
			sum += d.StepMs(float64(b), float64(s+i*b))
		}
		if got := toMs(run.end(k) - run.start); math.Abs(got-sum) > 1e-5 {
			t.Fatalf("%d steps take %v ms, one by one %v", k, got, sum)
		}
		at := run.start + time.Duration(rapid.Int64Range(0, int64(run.end(k)-run.start)).Draw(t, "at"))
		j := run.stopAtOrAfter(at)
		if run.end(j) < at || j > 1 && run.end(j-1) >= at {
			t.Fatalf("stop at %v is after step %d, which ends at %v", at, j, run.end(j))
		}
	})
}

func TestPrefillIsOneAtATimeFirstInFirstOut(t *testing.T) {
	s := service()
	e := start(t, Config{Service: s}, 1, 1)
	var all []load.Request
	for i := range 20 {
		all = append(all, load.Request{At: time.Duration(i) * time.Millisecond, InputTokens: 500 + 10*i, OutputTokens: 1})
	}
	play(e, all...)
	settle(t, e)
	free := 0.0 // when the one prefill worker is free, in ms
	for i, r := range e.Records() {
		free = max(free, toMs(r.Arrived)) + s.Prefill.Prefill.StepMs(float64(all[i].InputTokens), 0)
		if got := toMs(r.Arrived) + r.TTFTMs; math.Abs(got-free) > 1e-4 {
			t.Fatalf("prompt %d ended at %v ms, want %v: one after the other, first come first served", i, got, free)
		}
	}
}

// When decode has no room, requests wait there and the prefill queue is short.
func TestDecodeBackPressureKeepsTheQueueShort(t *testing.T) {
	s := service()
	s.Decode.KVCapacityTokens = 4000
	q := NewMemoryQueue()
	e := start(t, Config{Service: s, Queue: q}, 4, 1)
	var all []load.Request
	for i := range 40 {
		all = append(all, load.Request{At: time.Duration(i) * time.Millisecond, InputTokens: 900, OutputTokens: 500})
	}
	play(e, all...)
	e.Advance(5 * time.Second)
	check(t, e)
	stats, _ := e.Stats("d0")
	if q.Len() != 0 || e.Snapshot().ByState[Queued] != 0 {
		t.Errorf("%d messages wait although prefill is idle", q.Len())
	}
	if stats.Waiting < 35 || stats.KVUse < 0.7 {
		t.Errorf("%d requests wait at decode with %.0f %% of its KV cache used, want nearly all of them and a full cache", stats.Waiting, 100*stats.KVUse)
	}
	settle(t, e)
	if e.finished != 40 {
		t.Errorf("%d requests finished, want 40", e.finished)
	}
}

// A full cache preempts the youngest sequence, and no token is lost or given twice.
func TestFullCachePreemptsTheYoungest(t *testing.T) {
	s := service()
	s.Decode.KVCapacityTokens = 2100
	e := start(t, Config{Service: s}, 1, 1)
	play(e,
		load.Request{InputTokens: 900, OutputTokens: 600},
		load.Request{At: time.Second, InputTokens: 900, OutputTokens: 600})
	settle(t, e)
	check(t, e)
	old, young := e.Records()[0], e.Records()[1]
	if old.Preempted != 0 || young.Preempted != 1 {
		t.Errorf("the older was preempted %d times and the younger %d, want 0 and 1", old.Preempted, young.Preempted)
	}
	f, _ := e.FrontendStats("f")
	if tokens := f.TTFT.Count + f.ITL.Count; tokens != 1200 {
		t.Errorf("clients saw %d tokens, want 1200", tokens)
	}
}

func TestLeastLoadedDecodeWorkerGetsTheRequest(t *testing.T) {
	e := start(t, Config{Service: service()}, 2, 2)
	play(e,
		load.Request{InputTokens: 5000, OutputTokens: 400},
		load.Request{At: 1, InputTokens: 100, OutputTokens: 400},
		load.Request{At: 2, InputTokens: 100, OutputTokens: 400})
	e.Advance(2 * time.Second)
	a, _ := e.Stats("d0")
	b, _ := e.Stats("d1")
	if a.Running != 1 || b.Running != 2 {
		t.Errorf("%d and %d sequences, want the two short ones together", a.Running, b.Running)
	}
}

func TestTerminatingPrefillWorkerEndsItsPromptAndTakesNoMore(t *testing.T) {
	e := start(t, Config{Service: service()}, 1, 1)
	play(e, load.Request{InputTokens: 8000, OutputTokens: 2}, load.Request{InputTokens: 100, OutputTokens: 2})
	e.Advance(10 * time.Millisecond)
	e.Terminate("p0", time.Minute)
	e.Advance(30 * time.Second)
	if states := e.Snapshot().ByState; e.finished != 1 || states[Queued] != 1 {
		t.Fatalf("%d finished, %v; want the first finished and the second still queued", e.finished, states)
	}
	if v := e.Snapshot().Workers[2]; !v.Drained {
		t.Errorf("%+v, want it drained", v)
	}
	e.Join(Worker{ID: "p1", Role: Prefill})
	settle(t, e)
	if r := e.Records()[1]; r.Outcome != Finished || r.Migrated != 0 {
		t.Errorf("the second request: %+v", r)
	}
}

func TestTerminatingDecodeWorkerMigratesWhatItsGraceCutsOff(t *testing.T) {
	e := start(t, Config{Service: service()}, 1, 1)
	play(e, load.Request{InputTokens: 100, OutputTokens: 50}, load.Request{InputTokens: 100, OutputTokens: 5000})
	e.Advance(500 * time.Millisecond)
	e.Terminate("d0", 10*time.Second)
	play(e, load.Request{InputTokens: 100, OutputTokens: 50})
	e.Advance(9 * time.Second)
	check(t, e)
	if states := e.Snapshot().ByState; e.finished != 1 || states[Decoding] != 1 || states[Parked] != 1 {
		t.Fatalf("during grace: %d finished, %v; want the short one finished, the long one decoding, the new one parked", e.finished, states)
	}
	e.Advance(11 * time.Second)
	check(t, e)
	if states := e.Snapshot().ByState; states[Parked] != 2 || e.migrated != 1 {
		t.Fatalf("after grace: %v, %d migrated; want both parked", states, e.migrated)
	}
	e.Leave("d0")
	e.Join(Worker{ID: "d1", Role: Decode})
	settle(t, e)
	long := e.Records()[1]
	if long.Outcome != Finished || long.Migrated != 1 || long.Generated != 5000 {
		t.Errorf("the long request: %+v", long)
	}
}

func TestRequestsThatCannotBeServedFail(t *testing.T) {
	e, err := New(Config{Service: service(), QueueMaxAge: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	play(e, load.Request{InputTokens: 10, OutputTokens: 10})
	e.Advance(time.Second)
	e.Join(Worker{ID: "f", Role: Frontend})
	e.Join(Worker{ID: "d", Role: Decode})
	play(e, load.Request{InputTokens: 300_000, OutputTokens: 10}, load.Request{InputTokens: 10, OutputTokens: 10})
	e.Advance(2 * time.Minute)
	var why []string
	for _, r := range e.Records() {
		why = append(why, r.Why)
	}
	want := []string{"no frontend was ready", "longer than the KV cache of a decode worker", "expired in the prefill queue"}
	if diff := cmp.Diff(want, why); diff != "" {
		t.Error(diff)
	}
	check(t, e)
	if f, _ := e.FrontendStats("f"); f.Failed != 2 || f.Inflight != 0 {
		t.Errorf("the frontend shows %d failed and %d in flight", f.Failed, f.Inflight)
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no KV cache": func(c *Config) { c.Service.Decode.KVCapacityTokens = 0 },
		"NaN cache":   func(c *Config) { c.Service.Prefill.KVCapacityTokens = math.NaN() },
		"noise":       func(c *Config) { c.StepNoise = 2 },
		"NaN noise":   func(c *Config) { c.StepNoise = math.NaN() },
		"end":         func(c *Config) { c.Service.TTFTEndsAt = "middle" },
		"padding":     func(c *Config) { c.Service.PadTokens = -1 },
	} {
		c := Config{Service: service()}
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
