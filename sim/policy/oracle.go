package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// oracle knows the traffic to come. For each interval it works out what the objectives need by the model on the requests that
// will arrive up to its end, asks for replicas a start-up time ahead, and keeps those that will be needed again before a new one could
// have started. An objective
// that no number of replicas holds is taken as what the most hold. It is a schedule that a policy could follow, not a proven
// optimum; LowerBound is proven. Its knob multiplies the rate.
type oracle struct {
	every        time.Duration
	needs        []Counts // by interval
	aheadPrefill int      // intervals
	aheadDecode  int
}

func newOracle(s *Setup) Policy {
	p := &oracle{every: interval(s)}
	p.aheadPrefill, p.aheadDecode = p.intervals(s.PrefillStartup), p.intervals(s.DecodeStartup)
	n := int(s.Traffic.Duration()/p.every) + 1
	moments := make([]moment, n)
	known := blocks{last: map[uint64]int{},
		room: int(s.Spec.Service.Prefill.KVCapacityTokens) * max(1, s.Start.Prefill) / trace.BlockTokens}
	for i := range s.Traffic.Len() {
		r := s.Traffic.At(i)
		cached := float64(r.CachedTokens)
		if len(r.Blocks) > 0 {
			cached = min(float64(r.InputTokens-1), float64(trace.BlockTokens*known.leading(r.Blocks)))
		}
		moments[min(n-1, int(r.At/p.every))].add(float64(r.InputTokens), float64(r.OutputTokens), cached)
	}
	p.needs = make([]Counts, n)
	for i := range moments {
		// What arrived just before waits and decodes now, and chance evens out: a minute, or three times the TTFT objective.
		over := 1 + p.intervals(max(time.Minute-p.every, 3*time.Duration(s.Spec.TTFT.Ms*float64(time.Millisecond))))
		first := max(0, i-over+1)
		p.needs[i] = need(moments[first:i+1], &s.Spec, s.knob()/(p.every.Seconds()*float64(i-first+1)))
	}
	return p
}

// blocks are the prefix blocks that one cache of the size of all prefill replicas at the start would have: those that were
// used no longer ago than so many blocks.
type blocks struct {
	room int
	used int
	last map[uint64]int // by id, the count of blocks used when it was
}

// leading is how many of a prompt's leading blocks are there; from then on all of them are.
func (b *blocks) leading(ids []uint64) (n int) {
	hit := true
	for _, id := range ids {
		if at, seen := b.last[id]; hit && seen && b.used-at < b.room {
			n++
		} else {
			hit = false
		}
		b.used++
		b.last[id] = b.used
	}
	return n
}

func (p *oracle) intervals(d time.Duration) int { return int((d + p.every - 1) / p.every) }

func (p *oracle) Interval() time.Duration { return p.every }

func (p *oracle) Decide(in *Input) (Counts, string) {
	i := int(in.At / p.every)
	var c Counts
	for k := i; k < len(p.needs) && k <= i+max(p.aheadPrefill, p.aheadDecode)+1; k++ {
		if k <= i+p.aheadPrefill+1 {
			c.Prefill = max(c.Prefill, p.needs[k].Prefill)
		}
		if k <= i+p.aheadDecode+1 {
			c.Decode = max(c.Decode, p.needs[k].Decode)
		}
	}
	return c, "knows what comes"
}

// mostLengths is how many lengths make a histogram: of more, every so-manieth.
const mostLengths = 1000

// moment is the requests of one interval.
type moment struct {
	inputs, outputs []float64
	in, cached      float64
}

func (m *moment) add(in, out, cached float64) {
	m.inputs, m.outputs = append(m.inputs, in), append(m.outputs, out)
	m.in += in
	m.cached += cached
}

// need is what the model asks for when the requests of these moments arrive, each perSecond times a second. It knows their
// lengths themselves.
func need(moments []moment, spec *planner.Spec, perSecond float64) Counts {
	n, in, cached := 0, 0.0, 0.0
	for i := range moments {
		n += len(moments[i].inputs)
		in += moments[i].in
		cached += moments[i].cached
	}
	if n == 0 {
		return Counts{}
	}
	lengths := func(of func(*moment) []float64) capacity.Lengths {
		some := make([]float64, 0, min(n, 2*mostLengths))
		every, i := max(1, n/mostLengths), 0
		for k := range moments {
			for _, v := range of(&moments[k]) {
				if i%every == 0 {
					some = append(some, v)
				}
				i++
			}
		}
		return capacity.Lengths{Histogram: capacity.NewHistogram(some)}
	}
	t := capacity.Traffic{
		RequestsPerSecond: float64(n) * perSecond, ArrivalSCV: 1,
		Input:       lengths(func(m *moment) []float64 { return m.inputs }),
		Output:      lengths(func(m *moment) []float64 { return m.outputs }),
		CachedShare: cached / in,
	}
	const slack = 1.1
	ttft, tpot := spec.TTFT, spec.TPOT
	ttft.Ms = max(ttft.Ms, slack*spec.Service.PrefillPool(spec.Prefill.Max, t).FloorMs(ttft.Quantile))
	tpot.Ms = max(tpot.Ms, slack*spec.Service.DecodePool(spec.Decode.Max, t).FloorMs(tpot.Quantile))
	p, _ := spec.Service.PrefillReplicas(t, ttft, spec.Prefill.Max)
	d, _ := spec.Service.DecodeReplicas(t, tpot, spec.Decode.Max)
	return Counts{p, d}
}
