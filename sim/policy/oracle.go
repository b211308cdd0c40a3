package policy

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// oracle knows the traffic to come. For each interval it works out what the objectives need by the model on the requests that
// will arrive in it, asks for replicas a start-up time ahead, and keeps those that will be needed again before a new one could
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
	for i := range s.Traffic.Len() {
		r := s.Traffic.At(i)
		moments[min(n-1, int(r.At/p.every))].add(float64(r.InputTokens), float64(r.OutputTokens), float64(r.CachedTokens))
	}
	p.needs = make([]Counts, n)
	for i := range moments {
		// What arrives just before decodes now: the interval and its neighbour.
		m := moments[i]
		if i > 0 {
			m = m.plus(&moments[i-1])
		}
		p.needs[i] = m.need(&s.Spec, s.knob()/(p.every.Seconds()*float64(min(i, 1)+1)))
	}
	return p
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

// moment is the requests of one interval.
type moment struct {
	n, in, inSquare, out, outSquare, cached float64
}

func (m *moment) add(in, out, cached float64) {
	m.n++
	m.in += in
	m.inSquare += in * in
	m.out += out
	m.outSquare += out * out
	m.cached += cached
}

func (m moment) plus(o *moment) moment {
	return moment{m.n + o.n, m.in + o.in, m.inSquare + o.inSquare, m.out + o.out, m.outSquare + o.outSquare, m.cached + o.cached}
}

// need is what the model asks for when these requests arrive, each perSecond times a second.
func (m *moment) need(spec *planner.Spec, perSecond float64) Counts {
	if m.n == 0 {
		return Counts{}
	}
	t := capacity.Traffic{
		RequestsPerSecond: m.n * perSecond, ArrivalSCV: 1,
		Input:       capacity.Lengths{Mean: m.in / m.n, SCV: max(0, m.n*m.inSquare/(m.in*m.in)-1)},
		Output:      capacity.Lengths{Mean: m.out / m.n, SCV: max(0, m.n*m.outSquare/(m.out*m.out)-1)},
		CachedShare: m.cached / m.in,
	}
	const slack = 1.1
	ttft, tpot := spec.TTFT, spec.TPOT
	ttft.Ms = max(ttft.Ms, slack*spec.Service.PrefillPool(spec.Prefill.Max, t).FloorMs(ttft.Quantile))
	tpot.Ms = max(tpot.Ms, slack*spec.Service.DecodePool(spec.Decode.Max, t).FloorMs(tpot.Quantile))
	p, _ := spec.Service.PrefillReplicas(t, ttft, spec.Prefill.Max)
	d, _ := spec.Service.DecodeReplicas(t, tpot, spec.Decode.Max)
	return Counts{p, d}
}
