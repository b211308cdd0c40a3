package planner

import (
	"math"
	"math/bits"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"pgregory.net/rapid"
)

// The inputs that property tests are made of. Most are what a service in its
// life shows: fresh readings, counts near those that are needed, a budget with
// little left. A minority is out of order. draw_share_test.go holds how often
// each state is to be met.

var coin = rapid.Bool()

// die draws a number from 0 to sides-1, each as likely as the others: rapid's
// own ranges prefer the small ones, so that "one in ten" would be one in five.
// It shrinks towards 0.
func die(t *rapid.T, sides int) int {
	n, throws := 0, bits.Len(uint(sides-1))+4
	for range throws {
		n *= 2
		if coin.Draw(t, "") {
			n++
		}
	}
	return n * sides >> throws
}

// oneIn is true once in n draws; it shrinks towards false.
func oneIn(t *rapid.T, n int) bool { return die(t, n) == n-1 }

// pick draws one of the choices; it shrinks towards the first.
func pick[T any](t *rapid.T, choices ...T) T { return choices[die(t, len(choices))] }

// ago draws a moment some seconds before now.
func ago(t *rapid.T, now time.Time, seconds ...int) time.Time {
	return now.Add(-time.Duration(pick(t, seconds...)) * time.Second)
}

func anyInput() *rapid.Generator[Input] { return rapid.Custom(drawInput) }

// drawInput draws a whole input: spec, snapshot and a memory with a past.
func drawInput(t *rapid.T) Input {
	now := epoch.Add(time.Hour)
	// In half of the draws nothing stands in the way of what the load asks for:
	// where many things may, one of them nearly always does.
	calm := coin.Draw(t, "")
	in := Input{Spec: drawSpec(t, calm), Now: now}
	aim := map[Role]int{}
	for _, role := range []Role{Prefill, Decode} {
		*in.Snapshot.pool(role) = drawPool(t, now, in.Spec.role(role), calm)
		aim[role] = min(max(in.Snapshot.pool(role).Desired+pick(t, 0, 0, 1, 2, 3, -1, -1, -2), 1), mostAimed)
	}
	traffic := drawTraffic(t, aim)
	if !oneIn(t, 8) {
		in.Memory = drawMemory(t, now, &in.Spec, aim, traffic, calm)
	}
	if oneIn(t, 4) {
		drawMove(t, &in)
	}
	drawSignals(t, &in, traffic)
	drawNodes(t, &in)
	drawBudgetOf(t, &in)
	if oneIn(t, 12) {
		in.Spec.Prior = &Prior{Service: in.Spec.Service, LeastShare: pick(t, 0.7, 0.7, 0.5, 0, 1)}
		in.Spec.Service.Prefill = corrected(in.Spec.Service.Prefill, pick(t, 0.7, 0.8, 1, 1.3, 3))
		in.Spec.Service.Decode = corrected(in.Spec.Service.Decode, pick(t, 0.7, 0.8, 1, 1.3, 3))
	}
	return in
}

func drawSpec(t *rapid.T, calm bool) Spec {
	spec := testSpec()
	spec.Rebalance.Enabled = !oneIn(t, 6)
	spec.Behavior.DownWindowSeconds = pick(t, Seconds(120), 120, 60, 300)
	spec.Behavior.Tolerance = pick(t, 0.1, 0.1, 0, 0.3)
	spec.Behavior.Headroom = pick(t, 0.0, 0, 0.1, 0.5, -0.2)
	spec.Behavior.BreachSeconds = pick(t, Seconds(60), 60, 60, 0)
	if oneIn(t, 4) {
		spec.Service.TTFTEndsAt = capacity.EndsAtDecode
	}
	if oneIn(t, 12) {
		spec.TTFT.Ms = 40 // below one prompt's own time
	}
	if !calm && oneIn(t, 16) {
		spec.Paused = "a person is at work"
	}
	for _, role := range []Role{Prefill, Decode} {
		r := spec.role(role)
		r.GPUsPerReplica = pick(t, 2, 2, 1, 4)
		r.Min = pick(t, 1, 1, 0, 2, 3)
		r.Max = max(1, r.Min) + pick(t, 9, 9, 9, 5, 3, 1, 0)
		if calm {
			continue
		}
		for _, step := range []*StepSpec{&r.Up, &r.Down} {
			step.Disabled = oneIn(t, 12)
			step.MaxStep = pick(t, 0, 0, 0, 0, 1, 2)
			step.PeriodSeconds = pick(t, Seconds(0), 0, 0, 30, 60)
		}
	}
	return spec
}

// drawPool draws a pool: mostly as it was asked for, sometimes with replicas
// that start, cannot start, leave, are missing or are too many.
func drawPool(t *rapid.T, now time.Time, spec *RoleSpec, calm bool) Pool {
	gpus := spec.GPUsPerReplica
	p := Pool{Desired: spec.Min + die(t, spec.Max-spec.Min+1), GPUsPerReplica: gpus, GPUType: "h200"}
	if calm {
		for range p.Desired {
			p.Replicas = append(p.Replicas, Replica{Name: "r", State: Ready, Since: now.Add(-time.Hour), GPUs: gpus})
		}
		return p
	}
	switch die(t, 16) {
	case 14:
		p.Desired = spec.Max + 1 + die(t, 3)
	case 15:
		p.Desired = max(0, spec.Min-1)
	}
	live := max(0, p.Desired+pick(t, 0, 0, 0, 0, 0, 0, 0, -1, -2, 1))
	late := 0
	if oneIn(t, 3) {
		late = 1 + die(t, 2)
	}
	for i := range live {
		r := Replica{Name: "r" + string(rune('a'+i%26)), State: Ready, Since: now.Add(-time.Hour), GPUs: gpus}
		if i >= live-late {
			r.State, r.Since = Starting, ago(t, now, 20, 200, 300, 301, 310, 600)
			if coin.Draw(t, "") {
				r.Unschedulable = "0/8 nodes are available"
			}
		} else if oneIn(t, 24) {
			r.State, r.Since = Starting, ago(t, now, 20, 400) // one in the middle
		}
		p.Replicas = append(p.Replicas, r)
	}
	if oneIn(t, 4) {
		for range 1 + die(t, 2) {
			p.Replicas = append(p.Replicas, Replica{Name: "leaving", State: Terminating, Since: ago(t, now, 5, 60), GPUs: gpus})
		}
	}
	switch die(t, 64) {
	case 57:
		p.HeldUp = "its gang waits for a place"
	case 58:
		p.Missing = "the role is not in the group"
	case 59:
		p.Writer = "HorizontalPodAutoscaler default/x"
	case 60, 61:
		p.Held = "decode waits for prefill"
	case 62:
		p.Rollout = true
	case 63:
		p.GPUsPerReplica = 0
	}
	p.StartupSeconds = pick(t, Reading{}, Reading{}, Known(25, now, "pods"), Known(400, now, "pods"))
	return p
}

// mostAimed bounds the counts that a traffic is drawn for.
const mostAimed = 12

// drawTraffic draws a traffic that needs about the aimed counts of both roles,
// or just so many that a little more would take one more.
func drawTraffic(t *rapid.T, aim map[Role]int) load {
	rate := pick(t, 0.5, 1, 2) * float64(max(aim[Prefill], aim[Decode]))
	key := aimed{rate: rate, prefill: aim[Prefill], decode: aim[Decode], full: pick(t, 0.9, 0.97, 0.999)}
	if _, done := traffics[key]; !done {
		traffics[key] = key.load()
	}
	return traffics[key]
}

// aimed is what a traffic is to need: so many replicas, filled to a share.
type aimed struct {
	rate            float64
	prefill, decode int
	full            float64
}

var traffics = map[aimed]load{}

func (a aimed) load() load {
	spec := testSpec()
	l := load{rate: a.rate}
	traffic := func(l load) capacity.Traffic {
		return capacity.Traffic{RequestsPerSecond: l.rate, ArrivalSCV: 1, Input: capacity.Lengths{Mean: l.input, SCV: 1}, Output: capacity.Lengths{Mean: l.output, SCV: 1}}
	}
	l.output = 100
	l.input = a.full * largest(20, 60_000, func(x float64) bool {
		l.input = x
		return spec.Service.PrefillPool(a.prefill, traffic(l)).TTFTQuantileMs(spec.TTFT.Quantile) <= spec.TTFT.Ms
	})
	l.output = a.full * largest(5, 20_000, func(x float64) bool {
		l.output = x
		return spec.Service.DecodePool(a.decode, traffic(l)).TPOTQuantileMs(spec.TPOT.Quantile) <= spec.TPOT.Ms
	})
	return l
}

// largest finds where a condition that holds at low ends, by bisection.
func largest(low, high float64, holds func(float64) bool) float64 {
	for range 24 {
		if middle := math.Sqrt(low * high); holds(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// drawSignals draws what the metrics say of the traffic: in nine draws of ten
// all of it fresh, in one any of it out of order.
func drawSignals(t *rapid.T, in *Input, l load) {
	now, s := in.Now, &in.Snapshot.Signals
	odd := oneIn(t, 8)
	reading := func(value float64) Reading {
		if odd && oneIn(t, 4) {
			return pick(t, Unknown("the query failed"), Zero(now, "test"), Known(value, now.Add(-time.Hour), "stale"), Known(value, now.Add(-60*time.Second), "aged"),
				Known(value, now.Add(-61*time.Second), "aged"), Known(math.NaN(), now, "test"), Known(math.Inf(1), now, "test"), Known(-1, now, "test"), Known(math.MaxFloat64, now, "test"))
		}
		if value == 0 {
			return Zero(now, "test")
		}
		return Known(value, now.Add(-2*time.Second), "test")
	}
	if oneIn(t, 12) {
		l.rate = 0
	}
	s.RequestsPerSecond, s.InputTokens, s.OutputTokens = reading(l.rate), reading(l.input), reading(l.output)
	if coin.Draw(t, "") {
		s.InputSCV, s.OutputSCV = reading(1), reading(pick(t, 1, 0.5, 2, 5))
		s.ArrivalSCV, s.CachedShare = reading(pick(t, 1, 1, 0.5, 3)), reading(pick(t, 0, 0, 0.3, 1.2))
	}
	s.PrefillTensorActive, s.DecodeDRAMActive = reading(pick(t, 0.05, 0.05, 0.05, 0.5, 0.95)), reading(pick(t, 0.3, 0.3, 0.3, 0.6, 0.99))
	s.PrefillWaiting = reading(pick(t, 0.0, 0, 0, 1, 40, 300, 3000))
	s.TTFTMs, s.TPOTMs = drawLatency(t, reading, in.Spec.TTFT.Ms), drawLatency(t, reading, in.Spec.TPOT.Ms)
	drawDecode(t, in, reading, l)
	s.PrefillSilent, s.DecodeSilent = pick(t, 0, 0, 0, 1), pick(t, 0, 0, 0, 2)
}

// drawLatency draws an observed latency: mostly below its objective, otherwise
// above it for sure, or in the bucket that the objective lies in.
func drawLatency(t *rapid.T, reading func(float64) Reading, objective float64) Quantile {
	q := Quantile{Reading: reading(objective / 2), Percentile: 0.95}
	switch die(t, 8) {
	case 5:
		q.Reading = Reading{}
	case 6:
		q.Reading, q.LowMs, q.HighMs, q.MeanMs = reading(2*objective), pick(t, 1, 1.5, 0)*objective, pick(t, 4.0, 0)*objective, objective/3
	case 7:
		q.Reading, q.LowMs, q.HighMs, q.MeanMs = reading(1.1*objective), 0.9*objective, 2*objective, pick(t, 0.5, 1, 1.05)*objective
	}
	return q
}

// drawDecode draws what decode replicas show: a cache that is full or not, with
// as many sequences in flight as the traffic explains, fewer, or more.
func drawDecode(t *rapid.T, in *Input, reading func(float64) Reading, l load) {
	s := &in.Snapshot.Signals
	ready := in.Snapshot.Decode.count(Ready)
	context := l.input + l.output/2
	running := 0.0
	if ready > 0 {
		pool := in.Spec.Service.DecodePool(ready, capacity.Traffic{RequestsPerSecond: l.rate, ArrivalSCV: 1,
			Input: capacity.Lengths{Mean: l.input, SCV: 1}, Output: capacity.Lengths{Mean: l.output, SCV: 1}})
		running = math.Round(min(pool.Sequences, 256) * float64(ready) * pick(t, 1, 1, 1, 0.7, 1.5, 4))
	}
	s.DecodeKVUse, s.DecodeKVUseMax, s.DecodeWaiting = reading(0.4), reading(pick(t, 0.3, 0.5, 0.89)), reading(pick(t, 0.0, 0, 0, 3))
	if oneIn(t, 5) { // decode is full, or seems so
		s.DecodeKVUseMax, s.DecodeWaiting = reading(pick(t, 0.9, 0.97, 1)), reading(pick(t, 20.0, 1, 200))
		half := float64(ready) * in.Spec.Service.Decode.KVCapacityTokens / 2 / context
		running = math.Round(half * pick(t, 1.5, 1.05, 0.95, 0.3))
	}
	s.DecodeRunning = reading(running)
	if oneIn(t, 4) {
		s.DecodeRunning = Reading{}
	}
}

// drawNodes places the replicas on nodes, where a controller may read them.
func drawNodes(t *rapid.T, in *Input) {
	if oneIn(t, 24) {
		in.Snapshot.Decode.GPUType = "h100"
	}
	if !oneIn(t, 4) {
		return
	}
	in.Snapshot.FreeGPUsByNode = map[string]int{}
	nodes := pick(t, 2, 4)
	for i := range nodes {
		in.Snapshot.FreeGPUsByNode[string(rune('a'+i))] = pick(t, 0, 0, 1, 4)
	}
	for _, role := range []Role{Prefill, Decode} {
		pool := in.Snapshot.pool(role)
		if oneIn(t, 3) {
			pool.NotOn = []string{"a"}
		}
		for i := range pool.Replicas {
			if r := &pool.Replicas[i]; r.State != Starting || coin.Draw(t, "") {
				r.Node = string(rune('a' + die(t, nodes)))
			}
		}
	}
}

// drawBudgetOf draws a budget by what is held: all of it in use, a little free,
// much free, none at all, or one that was lowered below it.
func drawBudgetOf(t *rapid.T, in *Input) {
	held := independentHeld(*in)
	free := pick(t, 0, 0, 1, 2, 2, 4, 6, 8, 40)
	switch die(t, 8) {
	case 6:
		in.Spec.BudgetGPUs = 0
	case 7:
		in.Spec.BudgetGPUs = max(1, held-1-die(t, 8))
	default:
		in.Spec.BudgetGPUs = max(1, held+free)
	}
}
