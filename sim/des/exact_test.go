package des

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// scenario is a random service, its requests and what is done to it.
type scenario struct {
	cfg      Config
	requests []trace.Request
	scales   []scale
}

type scale struct {
	at              time.Duration
	prefill, decode int
}

func anyScenario(t *rapid.T) scenario {
	cfg := config(rapid.IntRange(0, 3).Draw(t, "prefill"), rapid.IntRange(0, 3).Draw(t, "decode"))
	s := &cfg.Service
	s.Decode.KVCapacityTokens = float64(rapid.SampledFrom([]int{150, 400, 3000, 100_000}).Draw(t, "kv"))
	s.MaxSequences = rapid.IntRange(1, 12).Draw(t, "sequences")
	s.PadTokens = rapid.SampledFrom([]int{1, 1, 16}).Draw(t, "pad")
	s.TransferBlocksPrefill = rapid.Bool().Draw(t, "blocking")
	s.TTFTEndsAt = rapid.SampledFrom([]capacity.TTFTEnd{capacity.EndsAtPrefill, capacity.EndsAtDecode}).Draw(t, "ends")
	// Whole milliseconds without growth make many events fall on the same moment.
	if rapid.Bool().Draw(t, "ties") {
		s.Prefill.Prefill = perfmodel.Prefill{OverheadMs: 10}
		s.Decode.Decode = perfmodel.Decode{OverheadMs: 5}
		s.Prefill.Transfer, s.Decode.Transfer = perfmodel.Transfer{LatencyMs: 5}, perfmodel.Transfer{}
	}
	cfg.Batching = rapid.SampledFrom([]Batching{Single, TokenBudget}).Draw(t, "batching")
	cfg.MaxBatchTokens = rapid.SampledFrom([]int{16, 50, 500}).Draw(t, "budget")
	cfg.Routing = rapid.SampledFrom([]Routing{LeastLoaded, RoundRobin, KVAware}).Draw(t, "routing")
	cfg.Prefill.Startup, cfg.Decode.Startup = 700*time.Millisecond, 1300*time.Millisecond
	cfg.Prefill.Grace = time.Duration(rapid.IntRange(0, 500).Draw(t, "grace")) * time.Millisecond
	cfg.Decode.Grace = 2 * cfg.Prefill.Grace
	for range rapid.IntRange(0, 3).Draw(t, "faults") {
		cfg.Faults = append(cfg.Faults, Fault{
			Kind: rapid.SampledFrom([]FaultKind{Kill, FailStart, StuckPending}).Draw(t, "fault"),
			Role: rapid.SampledFrom([]Role{Prefill, Decode}).Draw(t, "role"),
			At:   time.Duration(rapid.IntRange(0, 4000).Draw(t, "at")) * time.Millisecond,
			For:  time.Duration(rapid.IntRange(1, 2000).Draw(t, "for")) * time.Millisecond,
		})
	}
	out := scenario{cfg: cfg}
	at := time.Duration(0)
	for range rapid.IntRange(1, 60).Draw(t, "requests") {
		at += time.Duration(rapid.IntRange(0, 120).Draw(t, "gap")) * time.Millisecond
		r := trace.Request{At: at, InputTokens: int32(rapid.IntRange(1, 90).Draw(t, "in")), OutputTokens: int32(rapid.IntRange(1, 60).Draw(t, "out"))}
		if rapid.Bool().Draw(t, "cached") {
			r.CachedTokens = r.InputTokens / 2
		}
		out.requests = append(out.requests, r)
	}
	at = 0
	for range rapid.IntRange(0, 4).Draw(t, "scales") {
		at += time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond
		out.scales = append(out.scales, scale{at, rapid.IntRange(0, 3).Draw(t, "p"), rapid.IntRange(0, 3).Draw(t, "d")})
	}
	return out
}

// run plays a scenario to its end; every tick it looks at the service.
func (s scenario) run(t tester, stepwise bool, tick time.Duration) (records []Record, views []View, hours float64) {
	cfg := s.cfg
	cfg.Faults = append([]Fault(nil), s.cfg.Faults...)
	cfg.Stepwise = stepwise
	cfg.OnEnd = func(r Record) { records = append(records, r) }
	list := append(source(nil), s.requests...)
	e := start(t, cfg, &list)
	for _, c := range append(s.scales, scale{10 * time.Second, 2, 2}) {
		for tick > 0 && e.Now()+tick < c.at {
			e.Advance(e.Now() + tick)
			check(t, e)
			e.View()
		}
		e.Advance(c.at)
		e.Scale(Prefill, c.prefill)
		e.Scale(Decode, c.decode)
		check(t, e)
		views = append(views, e.View())
	}
	if !e.Finish(time.Hour) {
		t.Fatalf("%d requests never ended", e.InFlight())
	}
	check(t, e)
	return records, append(views, e.View()), e.GPUHours()
}

// Runs of steps taken as one jump are equal to steps taken one by one, to the
// last picosecond, whatever happens to the replicas, and however often one looks.
func TestJumpsEqualSingleSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anyScenario(t)
		records, views, hours := s.run(t, false, 0)
		stepRecords, stepViews, stepHours := s.run(t, true, 0)
		if diff := cmp.Diff(stepRecords, records); diff != "" {
			t.Fatalf("records (-steps +jumps):\n%s", diff)
		}
		if diff := cmp.Diff(stepViews, views, cmp.AllowUnexported(Counters{})); diff != "" || hours != stepHours {
			t.Fatalf("views (-steps +jumps, %v and %v GPU-hours):\n%s", stepHours, hours, diff)
		}
		looked, _, _ := s.run(t, false, 17*time.Millisecond)
		if diff := cmp.Diff(records, looked); diff != "" {
			t.Fatalf("looking changes what happens:\n%s", diff)
		}
		if len(records) != len(s.requests) {
			t.Fatalf("%d requests arrived and %d ended", len(s.requests), len(records))
		}
	})
}

// The whole numbers are the model's: a run lasts as long as the sum of the
// model's own steps, to a billionth.
func TestStepsAreTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := h200().Decode
		d.KVMsPerToken = rapid.Float64Range(1e-6, 1e-3).Draw(t, "kappa")
		s := newStepTimes(d, 256)
		r := run{start: Time(rapid.Int64Range(0, 1e17).Draw(t, "start")), sequence: rapid.Int64Range(1, 256).Draw(t, "sequences"),
			context: rapid.Int64Range(1, 300_000).Draw(t, "context"), steps: rapid.Int64Range(1, maxRunSteps).Draw(t, "steps")}
		sum, one := 0.0, r
		one.steps = 1
		for j := range r.steps {
			sum += d.StepMs(float64(r.sequence), float64(r.context+j*r.sequence))
			one.start, one.fraction = s.end(&one, 1)
			one.context += one.sequence
		}
		at, fraction := s.end(&r, r.steps)
		if at != one.start || fraction != one.fraction {
			t.Fatalf("%d steps end at %d and %d, one by one at %d and %d", r.steps, at, fraction, one.start, one.fraction)
		}
		if got := (at - r.start).Ms(); math.Abs(got-sum) > 1e-9*sum {
			t.Fatalf("%d steps take %v ms, the model's sum is %v", r.steps, got, sum)
		}
		now := r.start + Time(rapid.Int64Range(0, int64(at-r.start)+10).Draw(t, "now"))
		if rapid.Bool().Draw(t, "at an end") {
			now, _ = s.end(&r, rapid.Int64Range(0, r.steps).Draw(t, "step"))
		}
		done := s.done(&r, now)
		last, _ := s.end(&r, done)
		next, _ := s.end(&r, done+1)
		if last > now || done < r.steps && next <= now {
			t.Fatalf("%d steps are said to be done at %d; they end at %d and the next at %d", done, now, last, next)
		}
	})
}
