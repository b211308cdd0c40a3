package des

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// h200 is one replica like the one that was measured: Qwen3-32B on one H200.
func h200() perfmodel.Replica {
	return perfmodel.Replica{
		GPUs:             2,
		Prefill:          perfmodel.Prefill{WeightReadMs: 17, GEMMMsPerToken: 0.1, AttentionMsPerTokenSquared: 1.83e-6, PerTokenMs: 0.004, OverheadMs: 3.6},
		Decode:           perfmodel.Decode{WeightReadMs: 18, GEMMMsPerSequence: 0.09, PerSequenceMs: 0.01, OverheadMs: 1, KVMsPerToken: 6.43e-5},
		Transfer:         perfmodel.Transfer{LatencyMs: 2.7, MsPerToken: 0.0074},
		KVCapacityTokens: 250_000,
	}
}

func config(prefill, decode int) Config {
	return Config{
		Service:    capacity.Service{Prefill: h200(), Decode: h200()},
		Prefill:    Pool{Replicas: prefill, Startup: 30 * time.Second, Grace: time.Minute},
		Decode:     Pool{Replicas: decode, Startup: 40 * time.Second, Grace: time.Minute},
		Objectives: Objectives{TTFTMs: 2000, TPOTMs: 40},
	}
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(string, ...any)
}

func start(t tester, cfg Config, source trace.Source) *Engine {
	t.Helper()
	e, err := New(cfg, source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return e
}

// play runs the requests to their end and returns what became of them, in order of arrival.
func play(t tester, cfg Config, requests ...trace.Request) (*Engine, []Record) {
	t.Helper()
	var records []Record
	cfg.OnEnd = func(r Record) { records = append(records, r) }
	list := source(requests)
	e := start(t, cfg, &list)
	if !e.Finish(100 * time.Hour) {
		t.Fatalf("%d requests never ended", e.InFlight())
	}
	slices.SortFunc(records, func(a, b Record) int { return int(a.ID) - int(b.ID) })
	return e, records
}

// source gives a list of requests.
type source []trace.Request

func (s *source) Next() (trace.Request, bool) {
	if len(*s) == 0 {
		return trace.Request{}, false
	}
	first := (*s)[0]
	*s = (*s)[1:]
	return first, true
}

func generated(t tester, g trace.Generator, seed uint64) trace.Source {
	t.Helper()
	tr, err := trace.Generate(g, seed)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return tr.Source()
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	t.Logf("%s: %.5g, theory %.5g", what, got, want)
	if !(math.Abs(got-want) <= share*math.Abs(want)) {
		t.Errorf("%s is %.5g, want %.5g", what, got, want)
	}
}

// check holds what is true of an engine at any moment.
func check(t tester, e *Engine) {
	t.Helper()
	if ended := e.outcome.Completed + e.outcome.Failed; e.arrivals != ended+uint64(e.InFlight()) {
		t.Fatalf("%d arrived, but %d ended and %d are in flight", e.arrivals, ended, e.InFlight())
	}
	inState := map[requestState]int{}
	for _, q := range e.pool {
		inState[q.state]++
		if q.state == waiting || q.state > queued {
			if q.decode == nil || q.decode.state == gone {
				t.Fatalf("request %d in state %d has no decode replica", q.id, q.state)
			}
		}
		if (q.state == prefilling || q.state == transferring) && q.prefill.state == gone {
			t.Fatalf("request %d is with a prefill replica that is gone", q.id)
		}
	}
	if e.counters.Queued != inState[queued] {
		t.Fatalf("%d prompts are said to be queued, %d are", e.counters.Queued, inState[queued])
	}
	idle, seen := 0, map[requestState]int{}
	for _, p := range e.replicas[Prefill] {
		if p.state == serving && !p.busy {
			idle++
			if inState[queued] > 0 && (e.queue.peek() != nil || p.queue.peek() != nil) {
				t.Fatalf("prefill replica %d is idle while %d prompts are queued", p.id, inState[queued])
			}
		}
		seen[prefilling] += len(p.active)
		seen[transferring] += p.sending
	}
	if idle != e.idle {
		t.Fatalf("%d prefill replicas are idle, the count is %d", idle, e.idle)
	}
	for _, d := range e.replicas[Decode] {
		reserved, context, held := int64(0), int64(0), 0
		for _, q := range e.pool {
			if q.state == free || q.decode != d {
				continue
			}
			switch q.state {
			case waiting:
				continue
			case decoding:
				context += int64(q.context) + d.stepCount - q.joined
			default:
				reserved += int64(q.context)
			}
			held++
		}
		if reserved != d.reserved || context != d.run.context || held != d.held {
			t.Fatalf("decode replica %d: %d reserved, %d context, %d held; its requests have %d, %d, %d", d.id, d.reserved, d.run.context, d.held, reserved, context, held)
		}
		if e.kvTokens(d) > e.kvTotal || len(d.running) > e.cfg.Service.MaxSequences {
			t.Fatalf("decode replica %d holds %d tokens of %d and %d sequences of %d", d.id, e.kvTokens(d), e.kvTotal, len(d.running), e.cfg.Service.MaxSequences)
		}
		if len(d.running) > 0 && d.run.steps < 1 || d.state == serving && len(d.running) == 0 && d.joiningCount > 0 {
			t.Fatalf("decode replica %d stands still with %d sequences and %d that join", d.id, len(d.running), d.joiningCount)
		}
		seen[decoding] += len(d.running)
		seen[waiting] += d.waitingCount
		seen[joining] += d.joiningCount
	}
	for _, s := range []requestState{waiting, prefilling, transferring, joining, decoding} {
		if seen[s] != inState[s] {
			t.Fatalf("%d requests are in state %d, replicas know of %d", inState[s], s, seen[s])
		}
	}
}
