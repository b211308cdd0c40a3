package report

import (
	"fmt"
	"html/template"
	"strconv"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// timeline is one policy moment by moment.
func timeline(s *scenario.Scenario, p *scenario.PolicyReport) (template.HTML, error) {
	r, demand := newRun(s, p), demandOf(s)
	line := page.Timeline{
		ID: "run-" + p.Name, Name: p.Name, Span: r.span, Times: r.seconds,
		Panels: append([]chart.Panel{demand.panel()}, r.panels()...), Lanes: r.lanes(), Columns: append(demand.columns(0), r.columns()...),
	}
	return line.HTML()
}

func (d *demand) columns(panel int) []page.Column {
	return []page.Column{
		{Name: "requests/s", Short: "requests/s", Panel: panel, Values: d.requests},
		{Name: "prompt tokens/s", Short: "prompts", Class: "prefill", Panel: panel, Values: d.input},
		{Name: "output tokens/s", Short: "to generate", Class: "decode", Panel: panel, Values: d.output},
	}
}

// columns are the numbers behind the panels, in the order of panels.
func (r *run) columns() []page.Column {
	var all []page.Column
	add := func(panel int, name, short, class string, text func(float64) string, of func(*scenario.Sample) float64) {
		all = append(all, page.Column{Name: name, Short: short, Class: class, Panel: panel, Text: text, Values: r.values(of)})
	}
	roles := []struct {
		name string
		of   func(*scenario.Sample) *scenario.RoleSample
		gpus int
	}{
		{"prefill", func(s *scenario.Sample) *scenario.RoleSample { return &s.Prefill }, r.prefillGPUs},
		{"decode", func(s *scenario.Sample) *scenario.RoleSample { return &s.Decode }, r.decodeGPUs},
	}
	for _, role := range roles {
		add(1, role.name+" ready", role.name, role.name, nil, func(s *scenario.Sample) float64 { return float64(role.of(s).Ready) })
		add(1, role.name+" asked for", "of", role.name, nil, func(s *scenario.Sample) float64 { return float64(role.of(s).Desired) })
	}
	for _, role := range roles {
		add(2, role.name+" GPUs serving", role.name, role.name, nil, func(s *scenario.Sample) float64 { return float64(role.of(s).Ready * role.gpus) })
		add(2, role.name+" GPUs starting", "starting", role.name, nil, func(s *scenario.Sample) float64 { return float64(role.of(s).Starting * role.gpus) })
		add(2, role.name+" GPUs draining", "draining", role.name, nil, func(s *scenario.Sample) float64 { return float64(role.of(s).Draining * role.gpus) })
	}
	share := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	add(3, "prefill load", "compute", "prefill", share, func(s *scenario.Sample) float64 { return s.Prefill.Load })
	add(3, "decode load", "bandwidth", "decode", share, func(s *scenario.Sample) float64 { return s.Decode.Load })
	add(4, "wait for prefill", "for prefill", "prefill", nil, func(s *scenario.Sample) float64 { return float64(s.Queued) })
	add(4, "wait for decode", "for decode", "decode", nil, func(s *scenario.Sample) float64 { return float64(s.Waiting) })
	spec := &r.scenario.Setup.Spec
	for i, l := range []struct {
		name     string
		quantile float64
		of       func(*scenario.Sample) scenario.Spread
	}{
		{"TTFT", spec.TTFT.Quantile, func(s *scenario.Sample) scenario.Spread { return s.TTFTMs }},
		{"TPOT", spec.TPOT.Quantile, func(s *scenario.Sample) scenario.Spread { return s.TPOTMs }},
	} {
		percentile := fmt.Sprintf("p%.4g", 100*l.quantile)
		add(5+i, l.name+" median", "median", "soft", chart.Latency, func(s *scenario.Sample) float64 { return l.of(s).Median })
		add(5+i, l.name+" "+percentile, percentile, "", chart.Latency, func(s *scenario.Sample) float64 { return l.of(s).Objective })
	}
	return all
}

// lanes are the decisions, one lane for each role and one for moves of GPUs where there were any.
func (r *run) lanes() []page.Lane {
	prefill, decode := lane{Lane: page.Lane{Name: "prefill", Class: "prefill"}}, lane{Lane: page.Lane{Name: "decode", Class: "decode"}}
	for i := range r.line.Decisions {
		d := &r.line.Decisions[i]
		prefill.add(d.At.Seconds(), d.From.Prefill, d.To.Prefill, d.Wanted.Prefill, d.Prefill, d.Why)
		decode.add(d.At.Seconds(), d.From.Decode, d.To.Decode, d.Wanted.Decode, d.Decode, d.Why)
	}
	lanes := []page.Lane{prefill.Lane, decode.Lane}
	moves := page.Lane{Name: "moves", Class: "soft"}
	for _, m := range r.line.Moves {
		moves.Events = append(moves.Events, page.Event{Seconds: m.From.Seconds(), Mark: page.Move,
			What: fmt.Sprintf("%s from %s to %s", count(m.GPUs, "GPU"), m.Donor, otherRole(m.Donor)), Why: fmt.Sprintf("The move took %s.", plain(m.To-m.From))})
	}
	if len(moves.Events) > 0 {
		lanes = append(lanes, moves)
	}
	return lanes
}

// lane is one role's decisions: its changes, and where it was held for a reason of another kind than before.
type lane struct {
	page.Lane
	last string
}

func (l *lane) add(seconds float64, from, to, wanted int, because, why string) {
	e := page.Event{Seconds: seconds, Why: because}
	if e.Why == "" {
		e.Why = why
	}
	limited := ""
	if wanted != to {
		limited = fmt.Sprintf(", asked for %d", wanted)
	}
	kind := scenario.KindOfReason(because)
	switch {
	case to > from:
		e.Mark, e.What = page.Up, fmt.Sprintf("up from %d to %d%s", from, to, limited)
	case to < from:
		e.Mark, e.What = page.Down, fmt.Sprintf("down from %d to %d%s", from, to, limited)
	case kind != l.last || wanted != to:
		e.Mark, e.What = page.Hold, fmt.Sprintf("held at %d%s", from, limited)
	default:
		return
	}
	l.last = kind
	l.Events = append(l.Events, e)
}
