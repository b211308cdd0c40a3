package report

import (
	"fmt"
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// demand is the traffic in bins.
type demand struct {
	seconds, requests, input, output []float64
}

func demandOf(s *scenario.Scenario) demand {
	var d demand
	for _, b := range s.Demand() {
		d.seconds = append(d.seconds, b.At.Seconds())
		d.requests = append(d.requests, b.RequestsPerSecond)
		d.input = append(d.input, b.InputPerSecond)
		d.output = append(d.output, b.OutputPerSecond)
	}
	return d
}

// panel shows the tokens that arrive: what prefill has to compute and what decode has to generate.
func (d *demand) panel() chart.Panel {
	input, output := chart.Series(d.seconds, d.input), chart.Series(d.seconds, d.output)
	return chart.Panel{
		Name: "Demand", Unit: "tokens per second that arrive", Scale: chart.Linear(chart.Most(input, output)),
		Says:   fmt.Sprintf("Prompt tokens reach %s and output tokens %s per second.", chart.Number(chart.Most(input)), chart.Number(chart.Most(output))),
		Lines:  []chart.Line{{Class: "prefill", Values: input}, {Class: "decode", Values: output}},
		Labels: []chart.Label{{Class: "prefill", V: mean(d.input), Words: "in prompts"}, {Class: "decode", V: mean(d.output), Words: "to generate"}},
	}
}

func mean(values []float64) float64 {
	sum, n := 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / math.Max(1, n)
}

// run is one policy's time line, ready to be drawn.
type run struct {
	scenario                *scenario.Scenario
	report                  *scenario.PolicyReport
	line                    *scenario.Timeline
	seconds                 []float64
	prefillGPUs, decodeGPUs int
	span                    chart.Span
}

func newRun(s *scenario.Scenario, p *scenario.PolicyReport) *run {
	r := &run{scenario: s, report: p, line: p.Timeline, prefillGPUs: s.Setup.Spec.Prefill.GPUsPerReplica, decodeGPUs: s.Setup.Spec.Decode.GPUsPerReplica,
		span: chart.Span{To: s.Traffic.Duration().Seconds()}}
	for i := range r.line.Samples {
		r.seconds = append(r.seconds, r.line.Samples[i].At.Seconds())
	}
	return r
}

// values picks one value of every sample.
func (r *run) values(of func(*scenario.Sample) float64) []float64 {
	all := make([]float64, len(r.line.Samples))
	for i := range all {
		all[i] = of(&r.line.Samples[i])
	}
	return all
}

// series is the same as something to draw; its last value holds to the end.
func (r *run) series(of func(*scenario.Sample) float64) []chart.At {
	all := chart.Series(r.seconds, r.values(of))
	if n := len(all); n > 0 {
		last := all[n-1]
		last.Seconds = r.span.To
		all = append(all, last)
	}
	return all
}

// part is which of the replicas that hold GPUs are counted.
type part func(s *scenario.Sample, prefillGPUs, decodeGPUs int) int

func prefillServing(s *scenario.Sample, p, _ int) int { return s.Prefill.Ready * p }
func prefill(s *scenario.Sample, p, _ int) int        { return s.Prefill.Held() * p }
func decodeServing(s *scenario.Sample, p, d int) int  { return prefill(s, p, d) + s.Decode.Ready*d }
func both(s *scenario.Sample, p, d int) int           { return prefill(s, p, d) + s.Decode.Held()*d }

func (r *run) held(of part) []chart.At {
	return r.series(func(s *scenario.Sample) float64 { return float64(of(s, r.prefillGPUs, r.decodeGPUs)) })
}

// gpus stacks the GPUs of both roles, those that serve strong.
func (r *run) gpus(scale chart.Scale) chart.Panel {
	p := chart.Panel{
		Name: "GPUs", Unit: "held: strong by replicas that serve, pale by those that start or drain", Scale: scale, Bands: r.moves(),
		Says: fmt.Sprintf("GPUs held by prefill below and decode above; %.0f at the most.", chart.Most(r.held(both))),
		Areas: []chart.Area{
			{Class: "prefill", Steps: true, High: r.held(prefillServing)},
			{Class: "prefill pale", Steps: true, Low: r.held(prefillServing), High: r.held(prefill)},
			{Class: "decode", Steps: true, Low: r.held(prefill), High: r.held(decodeServing)},
			{Class: "decode pale", Steps: true, Low: r.held(decodeServing), High: r.held(both)},
		},
	}
	if n := len(r.line.Samples); n > 0 {
		last := &r.line.Samples[n-1]
		low, high := float64(prefill(last, r.prefillGPUs, r.decodeGPUs)), float64(both(last, r.prefillGPUs, r.decodeGPUs))
		p.Labels = []chart.Label{{Class: "prefill", V: low / 2, Words: "prefill"}, {Class: "decode", V: (low + high) / 2, Words: "decode"}}
	}
	if b := r.scenario.Setup.Spec.BudgetGPUs; b > 0 {
		p.Limits = []chart.Limit{{Class: "objective", V: float64(b), Words: fmt.Sprintf("budget %d", b)}}
	}
	return p
}

// moves are bands over the time that GPUs take from one role to the other, and outages those without readings.
func (r *run) moves() []chart.Band {
	var all []chart.Band
	for _, m := range r.line.Moves {
		all = append(all, chart.Band{Class: "move", From: m.From.Seconds(), To: m.To.Seconds()})
	}
	return all
}

func (r *run) outages() []chart.Band {
	var all []chart.Band
	for _, o := range r.scenario.Readings.Outages {
		to := r.span.To
		if o.For > 0 {
			to = (o.At + o.For).Seconds()
		}
		all = append(all, chart.Band{Class: "none", From: o.At.Seconds(), To: to, Words: "no readings"})
	}
	return all
}

func (r *run) replicas() chart.Panel {
	of := func(pick func(*scenario.RoleSample) int, prefill bool) []chart.At {
		return r.series(func(s *scenario.Sample) float64 {
			if prefill {
				return float64(pick(&s.Prefill))
			}
			return float64(pick(&s.Decode))
		})
	}
	ready, desired := func(s *scenario.RoleSample) int { return s.Ready }, func(s *scenario.RoleSample) int { return s.Desired }
	p, d := of(ready, true), of(ready, false)
	return chart.Panel{
		Name: "Replicas", Unit: "ready; dotted: asked for", Bands: append(r.outages(), r.moves()...),
		Scale: chart.Whole(chart.Most(p, d, of(desired, true), of(desired, false))),
		Says:  fmt.Sprintf("Ready prefill replicas reach %.0f, ready decode replicas %.0f.", chart.Most(p), chart.Most(d)),
		Lines: []chart.Line{
			{Class: "prefill thin", Steps: true, Values: of(desired, true)}, {Class: "decode thin", Steps: true, Values: of(desired, false)},
			{Class: "prefill", Steps: true, Values: p}, {Class: "decode", Steps: true, Values: d},
		},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(p), Words: "prefill"}, {Class: "decode", V: chart.Last(d), Words: "decode"}},
	}
}

func (r *run) waiting() chart.Panel {
	queued := r.series(func(s *scenario.Sample) float64 { return float64(s.Queued) })
	waiting := r.series(func(s *scenario.Sample) float64 { return float64(s.Waiting) })
	return chart.Panel{
		Name: "Waiting", Unit: "prompts for prefill, requests for decode's KV cache", Scale: chart.Linear(max(4, chart.Most(queued, waiting))), HeightPx: 64,
		Says:   fmt.Sprintf("At most %.0f prompts wait for prefill and %.0f requests for decode.", chart.Most(queued), chart.Most(waiting)),
		Lines:  []chart.Line{{Class: "prefill", Values: queued}, {Class: "decode", Values: waiting}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(queued), Words: "for prefill"}, {Class: "decode", V: chart.Last(waiting), Words: "for decode"}},
	}
}

// latency is the median to the objective's percentile, on a logarithmic scale: misses are many times the objective.
func (r *run) latency(name string, quantile, objectiveMs float64, of func(*scenario.Sample) scenario.Spread) chart.Panel {
	median := r.series(func(s *scenario.Sample) float64 { return of(s).Median })
	upper := r.series(func(s *scenario.Sample) float64 { return of(s).Objective })
	least := objectiveMs
	for _, v := range median {
		if v.Known && v.V > 0 {
			least = min(least, v.V)
		}
	}
	percentile := fmt.Sprintf("p%.4g", 100*quantile)
	return chart.Panel{
		Name: name, Unit: fmt.Sprintf("median to %s of the requests that arrived then", percentile), Tick: chart.Latency,
		Scale:  chart.Logarithmic(least, max(objectiveMs, chart.Most(upper))),
		Says:   fmt.Sprintf("%s %s reaches %s; the objective is %s.", name, percentile, chart.Latency(chart.Most(upper)), chart.Latency(objectiveMs)),
		Areas:  []chart.Area{{Class: "wash", Low: median, High: upper}},
		Lines:  []chart.Line{{Class: "ink", Values: upper}},
		Limits: []chart.Limit{{Class: "objective", V: objectiveMs, Words: "at most " + chart.Latency(objectiveMs)}},
		Labels: []chart.Label{{V: chart.Last(upper), Words: percentile}, {Class: "soft", V: chart.Last(median), Words: "median"}},
	}
}

// topLoad is where loads are cut: what is more does not get any clearer.
const topLoad = 2

func (r *run) loads() chart.Panel {
	p := r.series(func(s *scenario.Sample) float64 { return s.Prefill.Load })
	d := r.series(func(s *scenario.Sample) float64 { return s.Decode.Load })
	return chart.Panel{
		Name: "Load", Unit: "what arrives over what the ready replicas hold", HeightPx: 64, Scale: chart.Linear(min(topLoad, max(1, chart.Most(p, d)))),
		Says:   fmt.Sprintf("Prefill's load is %.2f on average and decode's %.2f.", known(p), known(d)),
		Lines:  []chart.Line{{Class: "prefill", Values: p}, {Class: "decode", Values: d}},
		Limits: []chart.Limit{{Class: "soft", V: 1, Words: "full"}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(p), Words: "compute"}, {Class: "decode", V: chart.Last(d), Words: "bandwidth"}},
	}
}

func known(values []chart.At) float64 {
	var all []float64
	for _, v := range values {
		if v.Known {
			all = append(all, v.V)
		}
	}
	return mean(all)
}

// panels are those of one policy, from what was asked for to what came of it.
func (r *run) panels() []chart.Panel {
	spec := &r.scenario.Setup.Spec
	most := max(float64(spec.BudgetGPUs), chart.Most(r.held(both)))
	return []chart.Panel{
		r.replicas(), r.gpus(chart.Whole(most)), r.loads(), r.waiting(),
		r.latency("TTFT", spec.TTFT.Quantile, spec.TTFT.Ms, func(s *scenario.Sample) scenario.Spread { return s.TTFTMs }),
		r.latency("TPOT", spec.TPOT.Quantile, spec.TPOT.Ms, func(s *scenario.Sample) scenario.Spread { return s.TPOTMs }),
	}
}
