package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/sim/load"
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

func service() capacity.Service {
	return capacity.Service{Prefill: h200(), Decode: h200()}
}

// requests is a Source of given requests.
type requests []load.Request

func (r *requests) Next() (load.Request, bool) {
	if len(*r) == 0 {
		return load.Request{}, false
	}
	first := (*r)[0]
	*r = (*r)[1:]
	return first, true
}

// start returns an engine with a frontend and the given numbers of workers.
func start(t testing.TB, cfg Config, prefill, decode int) *Engine {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.Join(Worker{ID: "f", Name: "f", Role: Frontend})
	for i := range decode {
		e.Join(Worker{ID: "d" + string(rune('0'+i)), Role: Decode})
	}
	for i := range prefill {
		e.Join(Worker{ID: "p" + string(rune('0'+i)), Role: Prefill})
	}
	return e
}

func play(e *Engine, all ...load.Request) {
	source := requests(all)
	e.Play(&source, e.Now())
}

// settle lets everything arrive and end.
func settle(t testing.TB, e *Engine) {
	t.Helper()
	for range 100_000 {
		e.Advance(e.now + 10*time.Second)
		coming := slices.ContainsFunc(e.agenda.events, func(ev event) bool { return ev.kind == arrives })
		if !coming && len(e.live) == 0 {
			return
		}
	}
	t.Fatalf("%d requests never ended: %v", len(e.live), e.Snapshot().ByState)
}

// check holds what is true of an engine at any moment.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, e *Engine) {
	t.Helper()
	if e.arrived != e.finished+e.failed+len(e.live) {
		t.Fatalf("%d arrived, but %d finished, %d failed and %d are in flight", e.arrived, e.finished, e.failed, len(e.live))
	}
	places := map[*request]int{}
	for _, r := range e.parked {
		places[r]++
	}
	for _, w := range e.workers {
		if w.Role != Decode {
			continue
		}
		e.count(w)
		reserved := 0
		for _, r := range w.admitted {
			places[r]++
			if r.decode != w {
				t.Fatalf("request %d is admitted at %s but thinks it is elsewhere", r.id, w.ID)
			}
			if r.state != Decoding {
				reserved += r.context
			}
			if (r.state == Decoding) != slices.Contains(w.running, r) || (r.state == Joining) != slices.Contains(w.joining, r) {
				t.Fatalf("request %d is %s but is not listed so", r.id, r.state)
			}
		}
		for _, r := range w.waiting {
			places[r]++
			if r.state != Waiting || r.decode != w {
				t.Fatalf("request %d waits at %s but is %s", r.id, w.ID, r.state)
			}
		}
		if reserved != w.reserved {
			t.Fatalf("%s: %d tokens reserved, its requests hold %d", w.ID, w.reserved, reserved)
		}
		if held := w.kvTokens(); float64(held) > e.cfg.Service.Decode.KVCapacityTokens {
			t.Fatalf("%s holds %d tokens of KV cache of %v", w.ID, held, e.cfg.Service.Decode.KVCapacityTokens)
		}
		if len(w.running) > e.cfg.Service.MaxSequences {
			t.Fatalf("%s runs %d sequences of at most %d", w.ID, len(w.running), e.cfg.Service.MaxSequences)
		}
		if w.dead && !w.drained() {
			t.Fatalf("%s is dead and holds requests", w.ID)
		}
	}
	for id, r := range e.live {
		if r.state == Finished || r.state == Failed || places[r] != 1 {
			t.Fatalf("request %d is in flight, %s, and in %d places", id, r.state, places[r])
		}
	}
	if len(places) != len(e.live) {
		t.Fatalf("%d requests have a place, %d are in flight", len(places), len(e.live))
	}
}
