package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Whatever happens to the workers, each request is at one place until it ends,
// no cache overflows, counters never fall, and in the end all are served.
func TestRequestsAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := service()
		s.Decode.KVCapacityTokens = float64(rapid.IntRange(120, 3000).Draw(t, "kv"))
		s.MaxSequences = rapid.IntRange(1, 8).Draw(t, "sequences")
		s.TTFTEndsAt = rapid.SampledFrom([]capacity.TTFTEnd{capacity.EndsAtPrefill, capacity.EndsAtDecode}).Draw(t, "ends")
		e, err := New(Config{Service: s, Seed: 1, StepNoise: 0.05})
		if err != nil {
			t.Fatal(err)
		}
		e.Join(Worker{ID: "f", Role: Frontend})
		tokens, known, before := 0, []string{"none"}, map[string]uint64{}
		for i := range rapid.IntRange(1, 60).Draw(t, "operations") {
			id := rapid.SampledFrom(known).Draw(t, "worker")
			switch rapid.IntRange(0, 6).Draw(t, "operation") {
			case 0, 1:
				role := rapid.SampledFrom([]Role{Prefill, Decode}).Draw(t, "role")
				id = fmt.Sprintf("%s-%d", role, i)
				e.Join(Worker{ID: id, Role: role})
				known = append(known, id)
			case 2:
				e.Terminate(id, e.Now()+time.Duration(rapid.IntRange(0, 3000).Draw(t, "grace"))*time.Millisecond)
			case 3:
				e.Leave(id)
			default:
				for range rapid.IntRange(1, 8).Draw(t, "requests") {
					r := load.Request{InputTokens: rapid.IntRange(1, 60).Draw(t, "in"), OutputTokens: rapid.IntRange(1, 50).Draw(t, "out")}
					tokens += r.OutputTokens
					play(e, r)
				}
			}
			check(t, e)
			e.Advance(e.Now() + time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms"))*time.Millisecond)
			check(t, e)
			neverFall(t, e, before)
		}
		e.Join(Worker{ID: "p-last", Role: Prefill})
		e.Join(Worker{ID: "d-last", Role: Decode})
		for _, id := range known {
			e.Leave(id)
		}
		for range 1000 {
			e.Advance(e.Now() + 10*time.Second)
		}
		check(t, e)
		if len(e.live) > 0 || e.failed > 0 {
			t.Fatalf("%d requests never ended, %d failed: %v", len(e.live), e.failed, e.Snapshot().ByState)
		}
		if f, _ := e.FrontendStats("f"); int(f.TTFT.Count) != e.arrived || int(f.TTFT.Count+f.ITL.Count) != tokens {
			t.Fatalf("clients saw %d first tokens and %d others; %d requests asked for %d in all", f.TTFT.Count, f.ITL.Count, e.arrived, tokens)
		}
	})
}

// neverFall compares the workers' counters with those of the last look.
func neverFall(t *rapid.T, e *Engine, before map[string]uint64) {
	t.Helper()
	for _, w := range e.workers {
		now := map[string]uint64{}
		if s, ok := e.Stats(w.ID); ok {
			now = map[string]uint64{
				"prompt": s.PromptTokens, "generation": s.GenerationTokens, "succeeded": s.Succeeded,
				"ttft": s.TTFT.Count, "itl": s.ITL.Count, "busy": uint64(1e6 * s.Activity.BusySeconds), "dram": uint64(1e6 * s.Activity.DRAMSeconds),
			}
		} else if s, ok := e.FrontendStats(w.ID); ok {
			now = map[string]uint64{"succeeded": s.Succeeded, "ttft": s.TTFT.Count, "itl": s.ITL.Count, "out": s.OutputTokens.Count}
		}
		for name, v := range now {
			key := w.ID + "/" + name
			if v < before[key] {
				t.Fatalf("counter %s fell from %d to %d", key, before[key], v)
			}
			before[key] = v
		}
	}
}

var surge = load.Profile{Phases: []load.Phase{
	{Name: "quiet", DurationSeconds: 10, RequestsPerSecond: 2, InputTokens: 800, InputSCV: 1, OutputTokens: 100, OutputSCV: 1},
	{Name: "surge", DurationSeconds: 20, RampSeconds: 5, RequestsPerSecond: 8, InputTokens: 1500, InputSCV: 1, OutputTokens: 200, OutputSCV: 1},
}}

// The same seed gives the same records, however often time is looked at.
func TestSameSeedSameRecords(t *testing.T) {
	run := func(t testing.TB, seed uint64, tick time.Duration, look bool) []Record {
		e := start(t, Config{Service: service(), Seed: seed, StepNoise: 0.03}, 2, 2)
		stream, err := load.NewStream(&surge, 7)
		if err != nil {
			t.Fatal(err)
		}
		e.Play(stream, 0)
		e.Terminate("d1", 12*time.Second)
		for e.Now() < 60*time.Second {
			e.Advance(e.Now() + tick)
			if look {
				e.Snapshot()
				e.Stats("d0")
				e.FrontendStats("f")
				check(t, e)
			}
		}
		return e.Records()
	}
	want := run(t, 1, time.Minute, false)
	if len(want) < 100 {
		t.Fatalf("only %d records", len(want))
	}
	if diff := cmp.Diff(want, run(t, 1, 10*time.Millisecond, true)); diff != "" {
		t.Errorf("ticks change what happens (-one step +ticks):\n%s", diff)
	}
	if cmp.Equal(want, run(t, 2, time.Minute, false)) {
		t.Error("another seed gives the same records")
	}
}
