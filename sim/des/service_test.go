package des

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

func alike(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(1, want) {
		t.Errorf("%s is %v ms, want %v", what, got, want)
	}
}

// An idle service takes exactly what the model says for each part.
func TestIdleServiceTakesTheModelsTimes(t *testing.T) {
	const in, cached, out = 1000, 200, 50
	s := h200()
	prefill, transfer := s.Prefill.StepMs(in-cached, cached), s.Transfer.Ms(in)
	steps := func(n int) (ms float64) {
		for i := range n {
			ms += s.Decode.StepMs(1, float64(in+i))
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
		cfg := config(1, 1)
		cfg.Service.TTFTEndsAt = tc.ends
		_, got := play(t, cfg, trace.Request{InputTokens: in, CachedTokens: cached, OutputTokens: out})
		alike(t, string(tc.ends)+" TTFT", got[0].TTFTMs(), tc.ttft)
		alike(t, string(tc.ends)+" TPOT", got[0].TPOTMs(), tc.tpot)
	}
}

func TestPromptsArePaddedAndComputedInOrder(t *testing.T) {
	cfg := config(1, 1)
	cfg.Service.PadTokens = 128
	_, got := play(t, cfg, trace.Request{InputTokens: 300, OutputTokens: 1}, trace.Request{InputTokens: 50, OutputTokens: 1})
	first := h200().Prefill.StepMs(384, 0)
	alike(t, "first", got[0].TTFTMs(), first)
	alike(t, "second", got[1].TTFTMs(), first+h200().Prefill.StepMs(128, 0))
}

// A blocking transfer keeps the replica from its next prompt, an overlapped one
// only the link from its next transfer.
func TestTransfers(t *testing.T) {
	two := []trace.Request{{InputTokens: 4000, OutputTokens: 2}, {InputTokens: 100, OutputTokens: 2}}
	s := h200()
	s.Transfer.MsPerToken = 1 // 4 s for the first
	first, second := s.Prefill.StepMs(4000, 0), s.Prefill.StepMs(100, 0)
	for _, blocking := range []bool{true, false} {
		cfg := config(1, 1)
		cfg.Service.Prefill, cfg.Service.TransferBlocksPrefill = s, blocking
		_, got := play(t, cfg, two...)
		wait := 0.0
		if blocking {
			wait = s.Transfer.Ms(4000)
		}
		alike(t, fmt.Sprintf("blocking %v: second TTFT", blocking), got[1].TTFTMs(), first+wait+second)
		if handed := (got[1].Done - got[1].Arrived).Ms(); handed < first+4000+100 {
			t.Errorf("blocking %v: the second ended after %v ms, before the link was free for it", blocking, handed)
		}
	}
}

// A token budget takes several prompts into a step and cuts the last one.
func TestTokenBudget(t *testing.T) {
	cfg := config(1, 1)
	cfg.Batching, cfg.MaxBatchTokens = TokenBudget, 1000
	busy := trace.Request{InputTokens: 10, OutputTokens: 1}
	_, got := play(t, cfg, busy, trace.Request{InputTokens: 600, OutputTokens: 1}, trace.Request{InputTokens: 700, OutputTokens: 1})
	p := h200().Prefill
	lead := p.StepMs(10, 0)
	step1 := p.BatchMs(1000, 600*600+400*400)
	step2 := p.BatchMs(300, 300*300+2*300*400)
	alike(t, "whole prompt", got[1].TTFTMs(), lead+step1)
	alike(t, "prompt in two chunks", got[2].TTFTMs(), lead+step1+step2)
}

// When decode has no room, requests wait there and the prefill queue is empty.
func TestDecodeBackPressureKeepsTheQueueShort(t *testing.T) {
	cfg := config(4, 1)
	cfg.Service.Decode.KVCapacityTokens = 4000
	var all source
	for range 40 {
		all = append(all, trace.Request{InputTokens: 900, OutputTokens: 500})
	}
	e := start(t, cfg, &all)
	e.Advance(5 * time.Second)
	check(t, e)
	v := e.View()
	if d := v.Replicas[Decode][0]; v.Counters.Queued != 0 || d.Waiting < 35 || d.KVUse < 0.7 {
		t.Errorf("%d prompts are queued, %d wait at decode with %.0f %% of its cache used", v.Counters.Queued, d.Waiting, 100*d.KVUse)
	}
	if !e.Finish(time.Hour) || e.Outcome().Completed != 40 {
		t.Errorf("%d of 40 ended", e.Outcome().Completed)
	}
}

func TestFullCachePreemptsTheYoungest(t *testing.T) {
	cfg := config(1, 1)
	cfg.Service.Decode.KVCapacityTokens = 2100
	e, got := play(t, cfg, trace.Request{InputTokens: 900, OutputTokens: 600}, trace.Request{At: time.Second, InputTokens: 900, OutputTokens: 600})
	if got[0].Preempted != 0 || got[1].Preempted != 1 {
		t.Errorf("preempted %d and %d times, want the younger once", got[0].Preempted, got[1].Preempted)
	}
	if n := e.View().Counters.GeneratedTokens; n != 2*599-1 {
		t.Errorf("decode gave %d tokens; of 1198 the second prefill gave one", n)
	}
}

func TestSequencesAreBounded(t *testing.T) {
	cfg := config(1, 1)
	cfg.Service.MaxSequences = 2
	var all []trace.Request
	for range 6 {
		all = append(all, trace.Request{InputTokens: 10, OutputTokens: 1000})
	}
	_, got := play(t, cfg, all...)
	// Three rounds of two: the last ends after three lifetimes.
	if life, last := got[0].Done.Ms(), got[5].Done.Ms(); math.Abs(last/life-3) > 0.05 {
		t.Errorf("six requests took %.2f times as long as two, want 3", last/life)
	}
}

func TestRoutings(t *testing.T) {
	prompts := []trace.Request{
		{InputTokens: 5000, OutputTokens: 400, Blocks: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{At: 1, InputTokens: 100, OutputTokens: 400},
		{At: 2, InputTokens: 100, OutputTokens: 400},
		{At: 20 * time.Second, InputTokens: 5000, OutputTokens: 400, Blocks: []uint64{1, 2, 3, 4, 5, 6, 7, 80, 90}},
	}
	running := func(routing Routing) (decode [2]int, last Record) {
		cfg := config(2, 2)
		cfg.Routing = routing
		cfg.OnEnd = func(r Record) { last = r }
		list := append(source(nil), prompts...)
		e := start(t, cfg, &list)
		e.Advance(2 * time.Second)
		for i, d := range e.View().Replicas[Decode] {
			decode[i] = d.Running
		}
		e.Finish(time.Hour)
		return decode, last
	}
	if got, _ := running(LeastLoaded); got != [2]int{1, 2} {
		t.Errorf("least-loaded: %v sequences, want the two short ones together", got)
	}
	if got, _ := running(RoundRobin); got != [2]int{1, 2} && got != [2]int{2, 1} {
		t.Errorf("round-robin: %v sequences, want them in turn", got)
	}
	if _, last := running(KVAware); last.CachedTokens != 7*trace.BlockTokens {
		t.Errorf("kv-aware: %d tokens of the last prompt were cached, want the 7 blocks that it shares", last.CachedTokens)
	}
}

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	c := newPrefixIndex().cache(3 * trace.BlockTokens)
	prompt := func(ids ...uint64) *request {
		return &request{input: int32(len(ids)*trace.BlockTokens + 10), blocks: ids}
	}
	c.keep(prompt(1, 2))
	c.keep(prompt(3))
	c.keep(prompt(1, 2))
	c.keep(prompt(4)) // 3 goes
	for _, tc := range []struct {
		ids  []uint64
		want int32
	}{{[]uint64{1, 2}, 2}, {[]uint64{3}, 0}, {[]uint64{4, 1}, 2}, {[]uint64{9, 1}, 0}} {
		if got := c.match(prompt(tc.ids...)); got != tc.want*trace.BlockTokens {
			t.Errorf("%v: %d tokens found, want %d blocks", tc.ids, got, tc.want)
		}
	}
	if got := c.match(&request{input: 1024, blocks: []uint64{1, 2}}); got != 1023 {
		t.Errorf("%d of a wholly cached prompt's 1024 tokens; one must be computed", got)
	}
}

func TestReplicasStartServeAndDrain(t *testing.T) {
	cfg := config(1, 1)
	list := source{{InputTokens: 100, OutputTokens: 2000}} // 40 s
	e := start(t, cfg, &list)
	e.Scale(Decode, 2)
	e.Advance(39 * time.Second)
	if got := e.View().Replicas[Decode][1].State; got != StateStarting {
		t.Errorf("after 39 s of 40 it is in state %d", got)
	}
	e.Advance(41 * time.Second)
	if got := e.View().Replicas[Decode][1].State; got != StateReady || e.HeldGPUs() != 6 {
		t.Errorf("after 41 s it is in state %d, %d GPUs are held", got, e.HeldGPUs())
	}
	e.Scale(Decode, 1)
	if n := len(e.View().Replicas[Decode]); n != 1 {
		t.Errorf("an empty replica drains for ever: there are %d", n)
	}
	// 1 prefill and 1 decode for 41 s, and one more decode.
	if got, want := e.GPUHours()*3600, 41.0*6; math.Abs(got-want) > 1e-6 {
		t.Errorf("%v GPU-seconds, want %v", got, want)
	}
	if e.MaxGPUs() != 6 {
		t.Errorf("at most %d GPUs, want 6", e.MaxGPUs())
	}
}

// A draining decode replica ends what it can within its grace; the rest is done
// elsewhere, and no token twice.
func TestGraceCutsOff(t *testing.T) {
	cfg := config(1, 1)
	cfg.Decode.Grace = 10 * time.Second
	var got []Record
	cfg.OnEnd = func(r Record) { got = append(got, r) }
	list := source{{InputTokens: 100, OutputTokens: 50}, {InputTokens: 100, OutputTokens: 3000}}
	e := start(t, cfg, &list)
	e.Advance(500 * time.Millisecond)
	e.Scale(Decode, 0)
	e.Advance(9 * time.Second)
	if v := e.View(); len(got) != 1 || v.Replicas[Decode][0].State != StateDraining || v.Replicas[Decode][0].Running != 1 {
		t.Fatalf("during grace %d ended, %+v", len(got), v.Replicas[Decode])
	}
	e.Advance(11 * time.Second)
	check(t, e)
	if v := e.View(); len(v.Replicas[Decode]) != 0 || v.Parked != 1 {
		t.Fatalf("after grace: %+v, %d parked", v.Replicas[Decode], v.Parked)
	}
	e.Scale(Decode, 1)
	if !e.Finish(time.Hour) {
		t.Fatal("the rest was lost")
	}
	if got[1].Migrated != 1 || e.View().Counters.GeneratedTokens != 49+2999-1 {
		t.Errorf("migrated %d times, decode gave %d tokens", got[1].Migrated, e.View().Counters.GeneratedTokens)
	}
}

func TestFaults(t *testing.T) {
	states := func(v View, role Role) (s []ReplicaState) {
		for _, r := range v.Replicas[role] {
			s = append(s, r.State)
		}
		return s
	}
	for _, tc := range []struct {
		name   string
		faults []Fault
		at     time.Duration
		want   []ReplicaState
		gpus   int
	}{
		{"kill", []Fault{{Kind: Kill, Role: Decode, At: 5 * time.Second, Replicas: 2}}, 6 * time.Second, []ReplicaState{StateReady, StateStarting, StateStarting}, 8},
		{"killed are replaced", []Fault{{Kind: Kill, Role: Decode, At: 5 * time.Second}}, 46 * time.Second, []ReplicaState{StateReady, StateReady, StateReady}, 8},
		{"failed start", []Fault{{Kind: FailStart, Role: Decode, At: 30 * time.Second, For: 20 * time.Second}}, 60 * time.Second, []ReplicaState{StateReady, StateReady, StateReady, StateStarting}, 10},
		{"it starts again", []Fault{{Kind: FailStart, Role: Decode, At: 30 * time.Second, For: 20 * time.Second}}, 81 * time.Second, []ReplicaState{StateReady, StateReady, StateReady, StateReady}, 10},
		{"pending", []Fault{{Kind: StuckPending, Role: Decode, For: 20 * time.Second}}, 19 * time.Second, []ReplicaState{StateReady, StateReady, StateReady, StatePending}, 8},
		{"no more pending", []Fault{{Kind: StuckPending, Role: Decode, For: 20 * time.Second}}, 21 * time.Second, []ReplicaState{StateReady, StateReady, StateReady, StateStarting}, 10},
		{"pending for ever", []Fault{{Kind: StuckPending, Role: Decode}}, 90 * time.Hour, []ReplicaState{StateReady, StateReady, StateReady, StatePending}, 8},
	} {
		cfg := config(1, 3)
		cfg.Faults = tc.faults
		list := source{}
		e := start(t, cfg, &list)
		if !strings.HasPrefix(tc.name, "kill") {
			e.Scale(Decode, 4)
		}
		e.Advance(tc.at)
		if diff := cmp.Diff(tc.want, states(e.View(), Decode)); diff != "" || e.HeldGPUs() != tc.gpus {
			t.Errorf("%s: %d GPUs held, want %d; (-want +got) %s", tc.name, e.HeldGPUs(), tc.gpus, diff)
		}
	}
}

func TestOutcomesMerge(t *testing.T) {
	g := trace.Generator{Duration: 10 * time.Minute, RequestsPerSecond: 12, Shape: trace.Shape{
		Input: trace.Tokens{Mean: 1500, SCV: 1}, Output: trace.Tokens{Mean: 100, SCV: 1}}}
	run := func(seed uint64) (Outcome, []Record) {
		var records []Record
		cfg := config(2, 1)
		cfg.OnEnd = func(r Record) { records = append(records, r) }
		e := start(t, cfg, generated(t, g, seed))
		e.Finish(time.Hour)
		return e.Outcome(), records
	}
	both, a := run(1)
	other, b := run(2)
	if err := both.Merge(&other); err != nil {
		t.Fatal(err)
	}
	attained, sum := 0, 0.0
	for _, r := range append(a, b...) {
		sum += r.TTFTMs()
		if r.TTFTMs() <= 2000 && r.TPOTMs() <= 40 {
			attained++
		}
	}
	n := len(a) + len(b)
	if int(both.Requests) != n || int(both.Attained) != attained || math.Abs(both.TTFT.MeanMs()-sum/float64(n)) > 1e-6 {
		t.Errorf("%d requests, %d attained, mean %v; want %d, %d, %v", both.Requests, both.Attained, both.TTFT.MeanMs(), n, attained, sum/float64(n))
	}
	median, below := both.TTFT.QuantileMs(0.5), 0
	for _, r := range append(a, b...) {
		if r.TTFTMs() <= median*1.002 {
			below++
		}
	}
	if share := float64(below) / float64(n); math.Abs(share-0.5) > 0.01 {
		t.Errorf("%.3f of the latencies are below the median", share)
	}
}

func TestRequestsThatNoCacheHoldsFail(t *testing.T) {
	e, got := play(t, config(1, 1), trace.Request{InputTokens: 300_000, OutputTokens: 10}, trace.Request{InputTokens: 10, OutputTokens: 10})
	o := e.Outcome()
	if o.Failed != 1 || o.Completed != 1 || got[0].End != Failed || o.Attainment() != 0.5 {
		t.Errorf("%+v, %v", o, got[0].End)
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"KV capacity of a decode replica is 0":    func(c *Config) { c.Service.Decode.KVCapacityTokens = 0 },
		"KV capacity of a prefill replica is NaN": func(c *Config) { c.Service.Prefill.KVCapacityTokens = math.NaN() },
		"a prefill replica has 0 GPUs":            func(c *Config) { c.Service.Prefill.GPUs = 0 },
		`batching is "all"; allowed are "single"`: func(c *Config) { c.Batching = "all" },
		`routing is "best"; allowed are`:          func(c *Config) { c.Routing = "best" },
		`ttftEndsAt is "middle"`:                  func(c *Config) { c.Service.TTFTEndsAt = "middle" },
		"maxSequences is -1":                      func(c *Config) { c.Service.MaxSequences = -1 },
		"-1 prefill replicas":                     func(c *Config) { c.Prefill.Replicas = -1 },
		"decode starts in -1ns":                   func(c *Config) { c.Decode.Startup = -1 },
		`faults[0] is "fire"; allowed are`:        func(c *Config) { c.Faults = []Fault{{Kind: "fire"}} },
		"a decode step takes +Inf ms":             func(c *Config) { c.Service.Decode.Decode.OverheadMs = math.Inf(1) },
		"a full decode step takes 2500":           func(c *Config) { c.Service.Decode.Decode.KVMsPerToken = 1 },
		"padTokens is -1":                         func(c *Config) { c.Service.PadTokens = -1 },
	} {
		cfg := config(1, 1)
		change(&cfg)
		if _, err := New(cfg, &source{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
	if _, err := New(config(1, 1), nil); err == nil {
		t.Error("no source was accepted")
	}
}
