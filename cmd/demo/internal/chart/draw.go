package chart

import (
	"fmt"
	"io"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

// Write draws a run.
func Write(w io.Writer, r Run) error {
	d := drawing{run: r}
	p := chart.Picture{
		Title: r.Title, Says: "Load, replicas, GPUs, TTFT and TPOT over the time of one run. Grey: warm-up. Violet: GPUs that move.",
		Panels: []chart.Panel{
			d.load(), d.replicas(), d.gpus(),
			d.latency("TTFT", r.TTFT, func(v Latency) float64 { return v.TTFTMs }),
			d.latency("TPOT", r.TPOT, func(v Latency) float64 { return v.TPOTMs }),
		},
	}
	for i := range p.Panels {
		p.Panels[i].Span = chart.Span{To: r.LengthSeconds}
		p.Panels[i].Bands = d.bands(i)
	}
	return p.Write(w)
}

// drawing is a run that is being drawn.
type drawing struct{ run Run }

// bands are the parts of the story and the moves, behind every panel; the first says what they are called.
func (d *drawing) bands(panel int) []chart.Band {
	var all []chart.Band
	for _, a := range d.run.Acts {
		name := ""
		if panel == 0 {
			name = a.Name
		}
		all = append(all, chart.Band{From: a.From, To: a.JudgedFrom}, chart.Band{Class: "rule", From: a.From, To: a.From, Words: name})
	}
	for _, m := range d.run.Moves {
		to, label := m.To, ""
		if to == 0 {
			to = d.run.LengthSeconds
		}
		if panel == 1 {
			label = m.Label
		}
		all = append(all, chart.Band{Class: "move", From: m.From, To: to, Words: label})
	}
	return all
}

// values picks one value of every point; the last holds to the end.
func (d *drawing) values(of func(Point) float64) []chart.At {
	var all []chart.At
	for _, p := range d.run.Points {
		all = append(all, chart.At{Seconds: p.At, V: of(p), Known: true})
	}
	if n := len(all); n > 0 {
		all = append(all, chart.At{Seconds: d.run.LengthSeconds, V: all[n-1].V, Known: true})
	}
	return all
}

func (d *drawing) load() chart.Panel {
	prompt := d.values(func(p Point) float64 { return p.PromptTokensPS })
	output := d.values(func(p Point) float64 { return p.OutputTokensPS })
	return chart.Panel{
		Name: "Offered load", Unit: "tokens per second", Scale: chart.Linear(chart.Most(prompt, output)),
		Lines:  []chart.Line{{Class: "prefill", Values: prompt}, {Class: "decode", Values: output}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(prompt), Words: "prompts"}, {Class: "decode", V: chart.Last(output), Words: "outputs"}},
	}
}

func (d *drawing) replicas() chart.Panel {
	of := func(pick func(Point) Role, count func(Role) int) []chart.At {
		return d.values(func(p Point) float64 { return float64(count(pick(p))) })
	}
	prefill, decode := func(p Point) Role { return p.Prefill }, func(p Point) Role { return p.Decode }
	ready, desired := func(r Role) int { return r.Ready }, func(r Role) int { return r.Desired }
	p := chart.Panel{
		Name: "Replicas", Unit: "ready; dotted: asked for",
		Lines: []chart.Line{
			{Class: "prefill thin", Steps: true, Values: of(prefill, desired)}, {Class: "decode thin", Steps: true, Values: of(decode, desired)},
			{Class: "prefill", Steps: true, Values: of(prefill, ready)}, {Class: "decode", Steps: true, Values: of(decode, ready)},
		},
	}
	most := 0.0
	for _, l := range p.Lines {
		most = max(most, chart.Most(l.Values))
	}
	p.Scale = chart.Whole(most)
	p.Labels = []chart.Label{{Class: "prefill", V: chart.Last(p.Lines[2].Values), Words: "prefill"}, {Class: "decode", V: chart.Last(p.Lines[3].Values), Words: "decode"}}
	return p
}

func (d *drawing) gpus() chart.Panel {
	prefill := d.values(func(p Point) float64 { return float64(p.Prefill.GPUs) })
	both := d.values(func(p Point) float64 { return float64(p.Prefill.GPUs + p.Decode.GPUs) })
	p := chart.Panel{
		Name: "GPUs", Unit: "held, starting and terminating replicas included",
		Scale: chart.Whole(max(chart.Most(both), float64(d.run.BudgetGPUs), float64(d.run.FixedGPUs))),
		Areas: []chart.Area{{Class: "prefill", Steps: true, High: prefill}, {Class: "decode", Steps: true, Low: prefill, High: both}},
		Limits: []chart.Limit{
			{Class: "objective", V: float64(d.run.BudgetGPUs), Words: fmt.Sprintf("budget %d", d.run.BudgetGPUs)},
		},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(prefill) / 2, Words: "prefill"}, {Class: "decode", V: (chart.Last(prefill) + chart.Last(both)) / 2, Words: "decode"}},
	}
	if d.run.FixedGPUs > 0 {
		p.Limits = append(p.Limits, chart.Limit{Class: "soft", V: float64(d.run.FixedGPUs), Words: fmt.Sprintf("fixed needs %d", d.run.FixedGPUs)})
	}
	return p
}

func (d *drawing) latency(name string, o Objective, of func(Latency) float64) chart.Panel {
	var values []chart.At
	least := o.Ms
	for _, l := range d.run.Latencies {
		v := of(l)
		values = append(values, chart.At{Seconds: l.From, V: v, Known: v > 0}, chart.At{Seconds: l.To, V: v, Known: v > 0})
		if v > 0 {
			least = min(least, v)
		}
	}
	return chart.Panel{
		Name: name, Unit: fmt.Sprintf("p%d of the requests that arrived then", o.Percentile), Tick: chart.Latency,
		Scale:  chart.Logarithmic(least, max(o.Ms, chart.Most(values))),
		Lines:  []chart.Line{{Class: "ink", Steps: true, Values: values}},
		Limits: []chart.Limit{{Class: "objective", V: o.Ms, Words: "at most " + chart.Latency(o.Ms)}},
	}
}
