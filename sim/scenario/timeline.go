package scenario

import (
	"math"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/des"
	"github.com/pdautoscaler/pdautoscaler/sim/policy"
)

// Timeline is one policy's run, moment by moment. Where a value is not known it is NaN.
type Timeline struct {
	Every     time.Duration
	Samples   []Sample
	Decisions []Decision
	// Decided is how many decisions there were in all: those that changed neither a count nor the kind of reason are not kept.
	Decided int
	Moves   []Move
}

// Sample is the service at one moment, and what became of the requests that arrived between it and the next.
type Sample struct {
	At              time.Duration
	Prefill, Decode RoleSample
	// Queued are prompts that wait for prefill, Waiting requests that wait for a decode replica's KV cache, and Running the
	// sequences being decoded.
	Queued, Waiting, Running int
	// KVUse is the mean share of the ready decode replicas' KV cache that is taken.
	KVUse float64
	// TTFTMs and TPOTMs are the median and the objective's quantile of the requests that arrived from here on.
	TTFTMs, TPOTMs Spread
	// Requests arrived from here on and Attained of them met both objectives.
	Requests, Attained int
}

// RoleSample is one role.
type RoleSample struct {
	Desired, Ready, Starting, Draining, Pending int
	// Load is what arrived since the last sample over what the ready replicas hold: the share of time that prefill computes,
	// and for decode the rate over that at which a step takes as long as the TPOT objective or a batch is full.
	Load float64
}

// Held are the replicas that hold GPUs.
func (r *RoleSample) Held() int { return r.Ready + r.Starting + r.Draining }

// Spread is two quantiles.
type Spread struct{ Median, Objective float64 }

// Decision is one decision as it took effect.
type Decision struct {
	policy.Decision
	// To is what was asked for afterwards, the limits that all policies share applied.
	To policy.Counts
}

// Move is a transfer of GPUs from role to role.
type Move struct {
	From, To time.Duration
	GPUs     int
	Donor    planner.Role
}

// sampleCount is how many samples a time line has at the most.
const sampleCount = 240

// sampleEvery is the time between two samples of a run.
func sampleEvery(length time.Duration) time.Duration {
	for _, s := range []int{1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 360, 600, 900, 1800, 3600} {
		if every := time.Duration(s) * time.Second; length <= sampleCount*every {
			return every
		}
	}
	return length / sampleCount
}

// recorder writes a time line while a policy is played.
type recorder struct {
	scenario *Scenario
	every    time.Duration
	line     Timeline
	before   des.View
	ttft     []des.Latency
	tpot     []des.Latency
	attained []int
	move     *planner.Move
	last     string // the last decision's kind of reason
	wanted   policy.Counts
}

func newRecorder(s *Scenario) *recorder {
	r := &recorder{scenario: s, every: sampleEvery(s.Traffic.Duration())}
	r.line.Every = r.every
	return r
}

// watch hooks the recorder in.
func (r *recorder) watch(engine *des.Config, p policy.Policy) policy.Policy {
	ended := engine.OnEnd
	engine.OnEnd = func(record des.Record) {
		r.ended(&record)
		if ended != nil {
			ended(record)
		}
	}
	engine.OnSample, engine.SampleEvery = r.sample, r.every
	return policy.Watch(p, r.decided)
}

func (r *recorder) sample(v des.View) {
	if v.Now > r.scenario.Traffic.Duration() {
		return // the traffic is over and nobody decides any more
	}
	s := Sample{At: v.Now, Queued: v.Counters.Queued, Waiting: v.Parked}
	for role, out := range []*RoleSample{&s.Prefill, &s.Decode} {
		out.Desired = v.Desired[role]
		for _, replica := range v.Replicas[role] {
			switch replica.State {
			case des.StatePending:
				out.Pending++
			case des.StateStarting:
				out.Starting++
			case des.StateReady:
				out.Ready++
			case des.StateDraining:
				out.Draining++
			}
			if des.Role(role) == des.Decode {
				s.Waiting += replica.Waiting
				s.Running += replica.Running
				if replica.State == des.StateReady {
					s.KVUse += replica.KVUse
				}
			}
		}
	}
	s.KVUse /= math.Max(1, float64(s.Decode.Ready))
	s.Prefill.Load, s.Decode.Load = r.loads(&v, &s)
	r.before = v
	r.line.Samples = append(r.line.Samples, s)
}

// loads are those of what arrived since the sample before on the replicas that are ready now.
func (r *recorder) loads(v *des.View, s *Sample) (prefill, decode float64) {
	a, b := &r.before.Counters, &v.Counters
	seconds := (v.Now - r.before.Now).Seconds()
	arrived, finished := float64(b.Arrived-a.Arrived), float64(b.Finished-a.Finished)
	if seconds <= 0 {
		return math.NaN(), math.NaN()
	}
	if arrived == 0 {
		return 0, 0
	}
	lengths := func(sum, squares, n float64) capacity.Lengths {
		mean := sum / n
		return capacity.Lengths{Mean: mean, SCV: max(0, squares/n/(mean*mean)-1)}
	}
	t := capacity.Traffic{RequestsPerSecond: arrived / seconds, ArrivalSCV: 1,
		Input: lengths(b.InputTokens-a.InputTokens, b.InputSquares-a.InputSquares, arrived)}
	if prompts := float64(b.PromptTokens - a.PromptTokens); prompts > 0 {
		t.CachedShare = 1 - float64(b.ComputedTokens-a.ComputedTokens)/prompts
	}
	prefill, decode = math.NaN(), math.NaN()
	if s.Prefill.Ready > 0 {
		prefill = finite(r.scenario.Engine.Service.PrefillPool(s.Prefill.Ready, t).Load)
	}
	if finished > 0 && s.Decode.Ready > 0 {
		t.Output = lengths(b.OutputTokens-a.OutputTokens, b.OutputSquares-a.OutputSquares, finished)
		decode = finite(r.scenario.Engine.Service.DecodePool(s.Decode.Ready, t).LoadFor(r.scenario.Setup.Spec.TPOT))
	}
	return prefill, decode
}

// finite takes a load that has no bound as not known: there is no height to draw it at.
func finite(load float64) float64 {
	if math.IsInf(load, 0) {
		return math.NaN()
	}
	return load
}

func (r *recorder) ended(q *des.Record) {
	i := int(q.Arrived.Duration() / r.every)
	for len(r.ttft) <= i {
		ttft, err := des.NewLatency()
		if err != nil {
			return // it is the engine's own accuracy, which has made sketches before
		}
		tpot, _ := des.NewLatency()
		r.ttft, r.tpot, r.attained = append(r.ttft, ttft), append(r.tpot, tpot), append(r.attained, 0)
	}
	if q.End != des.Finished {
		return
	}
	ttft, tpot, o := q.TTFTMs(), q.TPOTMs(), &r.scenario.Engine.Objectives
	r.ttft[i].Add(ttft)
	if q.OutputTokens > 1 {
		r.tpot[i].Add(tpot)
	}
	if ttft <= o.TTFTMs && tpot <= o.TPOTMs {
		r.attained[i]++
	}
}

func (r *recorder) decided(d policy.Decision) {
	r.line.Decided++
	if n := len(r.line.Decisions); n > 0 {
		r.line.Decisions[n-1].To = d.From // what the last one came to, if none was left out since
	}
	r.follow(d.Move, d.At)
	kind := KindOfReason(d.Why)
	if again := d.Wanted == d.From || d.Wanted == r.wanted && d.From == r.line.lastFrom(); again && kind == r.last && len(r.line.Decisions) > 0 {
		return
	}
	r.last, r.wanted = kind, d.Wanted
	r.line.Decisions = append(r.line.Decisions, Decision{Decision: d, To: d.Wanted})
}

func (t *Timeline) lastFrom() policy.Counts {
	if len(t.Decisions) == 0 {
		return policy.Counts{}
	}
	return t.Decisions[len(t.Decisions)-1].From
}

// KindOfReason is a reason without its numbers: two of the same kind say the same of different moments.
func KindOfReason(why string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c == '.' {
			return -1
		}
		return c
	}, why)
}

// follow keeps when moves of GPUs begin and end.
func (r *recorder) follow(m *planner.Move, at time.Duration) {
	same := m != nil && r.move != nil && m.StartedAt.Equal(r.move.StartedAt)
	if r.move != nil && !same {
		r.line.Moves[len(r.line.Moves)-1].To = at
	}
	if m != nil && !same {
		r.line.Moves = append(r.line.Moves, Move{From: at, To: r.scenario.Traffic.Duration(), GPUs: m.GPUs, Donor: m.From})
	}
	r.move = m
}

// finish fills in what is known when all requests have ended.
func (r *recorder) finish() *Timeline {
	arrived := make([]int, len(r.line.Samples))
	for i := range r.scenario.Traffic.Len() {
		if k := int(r.scenario.Traffic.At(i).At / r.every); k < len(arrived) {
			arrived[k]++
		}
	}
	spec := &r.scenario.Setup.Spec
	for i := range r.line.Samples {
		s := &r.line.Samples[i]
		s.Requests = arrived[i]
		s.TTFTMs, s.TPOTMs = unknownSpread, unknownSpread
		if i < len(r.ttft) {
			s.TTFTMs, s.TPOTMs, s.Attained = spreadOf(&r.ttft[i], spec.TTFT.Quantile), spreadOf(&r.tpot[i], spec.TPOT.Quantile), r.attained[i]
		}
	}
	return &r.line
}

var unknownSpread = Spread{math.NaN(), math.NaN()}

func spreadOf(l *des.Latency, quantile float64) Spread {
	if l.Count() == 0 {
		return unknownSpread
	}
	return Spread{l.QuantileMs(0.5), l.QuantileMs(quantile)}
}

// Demand is what arrives from one sample to the next.
type Demand struct {
	At                time.Duration
	RequestsPerSecond float64
	// Tokens per second: of the prompts that arrive, and of the answers that they ask for.
	InputPerSecond, OutputPerSecond float64
}

// Demand is the traffic in the bins of a time line. The last is cut off where it is not whole.
func (s *Scenario) Demand() []Demand {
	every := sampleEvery(s.Traffic.Duration())
	all := make([]Demand, max(1, int(s.Traffic.Duration()/every)))
	for i := range all {
		all[i].At = time.Duration(i) * every
	}
	per := 1 / every.Seconds()
	for i := range s.Traffic.Len() {
		r := s.Traffic.At(i)
		if k := int(r.At / every); k < len(all) {
			all[k].RequestsPerSecond += per
			all[k].InputPerSecond += per * float64(r.InputTokens)
			all[k].OutputPerSecond += per * float64(r.OutputTokens)
		}
	}
	return all
}
