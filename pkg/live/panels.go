package live

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// line is the last rounds of one PDAutoscaler, ready to be drawn.
type line struct {
	*view
	span    chart.Span
	seconds []float64
	// breaks are the rounds before which no other was for so long that a line across would be made up.
	breaks []bool
}

// least is the shortest time that is drawn.
const least = 2 * time.Minute

func newLine(v *view) *line {
	l := &line{view: v, seconds: make([]float64, len(v.samples)), breaks: make([]bool, len(v.samples))}
	from, to := v.At, v.At
	if len(v.samples) > 0 {
		from = v.samples[0].at
	}
	if to.Sub(from) < least {
		from = to.Add(-least)
	}
	from = from.Truncate(time.Second)
	l.span = chart.Span{To: to.Sub(from).Seconds(), Zero: from}
	for i := range v.samples {
		l.seconds[i] = v.samples[i].at.Sub(from).Seconds()
		l.breaks[i] = i > 0 && v.samples[i].at.Sub(v.samples[i-1].at) > max(5*v.Interval, time.Minute)
	}
	return l
}

// series is one value of every round; one that is NaN leaves a gap, and so does a time without rounds.
func (l *line) series(of func(*sample) float64) []chart.At {
	all := make([]chart.At, 0, len(l.samples))
	for i := range l.samples {
		if l.breaks[i] {
			all = append(all, chart.At{Seconds: l.seconds[i-1]})
		}
		v := of(&l.samples[i])
		all = append(all, chart.At{Seconds: l.seconds[i], V: v, Known: v == v})
	}
	return all
}

func (l *line) role(role planner.Role, of func(*roleSample) float64) []chart.At {
	return l.series(func(s *sample) float64 {
		r := s.of(role)
		if !r.seen {
			return math.NaN()
		}
		return of(r)
	})
}

func (l *line) panels() []chart.Panel {
	return []chart.Panel{l.demand(), l.replicas(), l.gpus(), l.loads(), l.waiting(),
		l.latency(&l.TTFT, func(s *sample) latencySample { return s.ttft }), l.latency(&l.TPOT, func(s *sample) latencySample { return s.tpot })}
}

func (l *line) demand() chart.Panel {
	input, output := l.series(func(s *sample) float64 { return float64(s.input) }), l.series(func(s *sample) float64 { return float64(s.output) })
	return chart.Panel{
		Name: "Demand", Unit: "tokens per second that arrive", Scale: chart.Linear(chart.Most(input, output)), HeightPx: 64,
		Says:   fmt.Sprintf("Prompt tokens reach %s and output tokens %s per second.", chart.Number(chart.Most(input)), chart.Number(chart.Most(output))),
		Lines:  []chart.Line{{Class: "prefill", Values: input}, {Class: "decode", Values: output}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(input), Words: "in prompts"}, {Class: "decode", V: chart.Last(output), Words: "to generate"}},
	}
}

func (l *line) replicas() chart.Panel {
	ready, desired := func(r *roleSample) float64 { return float64(r.ready) }, func(r *roleSample) float64 { return float64(r.desired) }
	p, d := l.role(planner.Prefill, ready), l.role(planner.Decode, ready)
	askedP, askedD := l.role(planner.Prefill, desired), l.role(planner.Decode, desired)
	return chart.Panel{
		Name: "Replicas", Unit: "ready; dotted: asked for", Bands: l.moves(), Scale: chart.Whole(chart.Most(p, d, askedP, askedD)), HeightPx: 64,
		Says: fmt.Sprintf("Prefill has %.0f ready replicas now and decode %.0f.", chart.Last(p), chart.Last(d)),
		Lines: []chart.Line{
			{Class: "prefill thin", Steps: true, Values: askedP}, {Class: "decode thin", Steps: true, Values: askedD},
			{Class: "prefill", Steps: true, Values: p}, {Class: "decode", Steps: true, Values: d},
		},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(p), Words: "prefill"}, {Class: "decode", V: chart.Last(d), Words: "decode"}},
	}
}

// stack are the upper edges of the GPUs that replicas hold: prefill's that serve, all of prefill's, decode's that serve, all.
func (l *line) stack() [4][]chart.At {
	edge := func(of func(p, d *roleSample) int32) []chart.At {
		return l.series(func(s *sample) float64 {
			if !s.prefill.seen || !s.decode.seen {
				return math.NaN()
			}
			return float64(of(&s.prefill, &s.decode))
		})
	}
	held := func(r *roleSample) int32 { return r.readyGPUs + r.startingGPUs + r.drainingGPUs }
	return [4][]chart.At{
		edge(func(p, _ *roleSample) int32 { return p.readyGPUs }), edge(func(p, _ *roleSample) int32 { return held(p) }),
		edge(func(p, d *roleSample) int32 { return held(p) + d.readyGPUs }), edge(func(p, d *roleSample) int32 { return held(p) + held(d) }),
	}
}

func (l *line) gpus() chart.Panel {
	edges := l.stack()
	all, prefill := edges[3], edges[1]
	p := chart.Panel{
		Name: "GPUs", Unit: "held: strong by replicas that serve, pale by those that start or drain; violet while some move", Bands: l.moves(),
		Scale: chart.Whole(max(chart.Most(all), float64(l.BudgetGPUs))),
		Says:  fmt.Sprintf("GPUs held by prefill below and decode above: %.0f and %.0f now.", chart.Last(prefill), chart.Last(all)-chart.Last(prefill)),
		Areas: []chart.Area{
			{Class: "prefill", Steps: true, High: edges[0]}, {Class: "prefill pale", Steps: true, Low: edges[0], High: prefill},
			{Class: "decode", Steps: true, Low: prefill, High: edges[2]}, {Class: "decode pale", Steps: true, Low: edges[2], High: all},
		},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(prefill) / 2, Words: "prefill"}, {Class: "decode", V: (chart.Last(prefill) + chart.Last(all)) / 2, Words: "decode"}},
	}
	if l.BudgetGPUs > 0 {
		p.Limits = []chart.Limit{{Class: "objective", V: float64(l.BudgetGPUs), Words: fmt.Sprintf("budget %d", l.BudgetGPUs)}}
	}
	return p
}

// moves are bands over the rounds in which GPUs went from one role to the other.
func (l *line) moves() []chart.Band {
	var all []chart.Band
	for i := range l.samples {
		switch n := len(all); {
		case !l.samples[i].moving:
		case i > 0 && l.samples[i-1].moving && !l.breaks[i]:
			all[n-1].To = l.seconds[i]
		default:
			all = append(all, chart.Band{Class: "move", From: l.seconds[i], To: l.seconds[i]})
		}
	}
	for i := range all {
		all[i].To = min(all[i].To+l.Interval.Seconds(), l.span.To) // it ended before the round that no longer saw it
	}
	return all
}

// topLoad is where loads are cut: what is more does not get any clearer.
const topLoad = 2

func (l *line) loads() chart.Panel {
	load := func(r *roleSample) float64 { return float64(r.load) }
	p, d := l.role(planner.Prefill, load), l.role(planner.Decode, load)
	return chart.Panel{
		Name: "Load", Unit: "what arrives over what the ready replicas hold; 2 and more as 2", HeightPx: 64, Scale: chart.Linear(min(topLoad, max(1, chart.Most(p, d)))),
		Says:   fmt.Sprintf("Prefill's compute load is %s and decode's bandwidth load %s.", loadText(l.Prefill.Load), loadText(l.Decode.Load)),
		Lines:  []chart.Line{{Class: "prefill", Values: p}, {Class: "decode", Values: d}},
		Limits: []chart.Limit{{Class: "soft", V: 1, Words: "full"}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(p), Words: "compute"}, {Class: "decode", V: chart.Last(d), Words: "bandwidth"}},
	}
}

func (l *line) waiting() chart.Panel {
	waits := func(r *roleSample) float64 { return float64(r.waiting) }
	p, d := l.role(planner.Prefill, waits), l.role(planner.Decode, waits)
	return chart.Panel{
		Name: "Waiting", Unit: "requests for prefill, and for room in decode's KV cache", HeightPx: 64, Scale: chart.Linear(max(4, chart.Most(p, d))),
		Says:   fmt.Sprintf("At most %.0f requests waited for prefill and %.0f for decode.", chart.Most(p), chart.Most(d)),
		Lines:  []chart.Line{{Class: "prefill", Values: p}, {Class: "decode", Values: d}},
		Labels: []chart.Label{{Class: "prefill", V: chart.Last(p), Words: "for prefill"}, {Class: "decode", V: chart.Last(d), Words: "for decode"}},
	}
}

// latency is what is observed, with what the model expects beside it, on a logarithmic scale: misses are many times the objective.
func (l *line) latency(of *Latency, at func(*sample) latencySample) chart.Panel {
	seen := l.series(func(s *sample) float64 { return float64(at(s).observed) })
	expected := l.series(func(s *sample) float64 { return float64(at(s).predicted) })
	lowest := of.ObjectiveMs
	for _, values := range [][]chart.At{seen, expected} {
		for _, v := range values {
			if v.Known && v.V > 0 {
				lowest = min(lowest, v.V)
			}
		}
	}
	p := chart.Panel{
		Name: of.Name, Unit: "observed; dotted: what the model expects", Tick: chart.Latency, HeightPx: 72,
		Scale: chart.Logarithmic(lowest, max(of.ObjectiveMs, chart.Most(seen, expected))),
		Says:  fmt.Sprintf("%s is %s; the objective is %s and the model expects %s.", of.Name, latencyText(of.ObservedMs), chart.Latency(of.ObjectiveMs), latencyText(of.PredictedMs)),
		Lines: []chart.Line{{Class: "soft thin", Values: expected}, {Class: "ink", Values: seen}},
	}
	if of.ObjectiveMs > 0 {
		p.Limits = []chart.Limit{{Class: "objective", V: of.ObjectiveMs, Words: "at most " + chart.Latency(of.ObjectiveMs)}}
	}
	if of.ObservedMs != nil {
		p.Labels = append(p.Labels, chart.Label{V: *of.ObservedMs, Words: "observed"})
	}
	if of.PredictedMs != nil {
		p.Labels = append(p.Labels, chart.Label{Class: "soft", V: *of.PredictedMs, Words: "expected"})
	}
	return p
}

// columns are the numbers behind the panels, in the order of panels.
func (l *line) columns() []page.Column {
	var all []page.Column
	add := func(panel int, name, short, class string, text func(float64) string, of func(*sample) float64) {
		values := make([]float64, len(l.samples))
		for i := range values {
			values[i] = of(&l.samples[i])
		}
		all = append(all, page.Column{Name: name, Short: short, Class: class, Panel: panel, Text: text, Values: values})
	}
	each := func(panel int, name string, shorts [2]string, text func(float64) string, of func(*roleSample) float64) {
		for i, role := range roles {
			add(panel, string(role)+" "+name, shorts[i], string(role), text, func(s *sample) float64 {
				if r := s.of(role); r.seen {
					return of(r)
				}
				return math.NaN()
			})
		}
	}
	add(0, "requests/s", "requests/s", "", nil, func(s *sample) float64 { return float64(s.requests) })
	add(0, "prompt tokens/s", "prompts", "prefill", nil, func(s *sample) float64 { return float64(s.input) })
	add(0, "output tokens/s", "to generate", "decode", nil, func(s *sample) float64 { return float64(s.output) })
	names := [2]string{"prefill", "decode"}
	each(1, "ready", names, nil, func(r *roleSample) float64 { return float64(r.ready) })
	each(1, "asked for", [2]string{"of", "of"}, nil, func(r *roleSample) float64 { return float64(r.desired) })
	each(2, "GPUs serving", names, nil, func(r *roleSample) float64 { return float64(r.readyGPUs) })
	each(2, "GPUs starting", [2]string{"starting", "starting"}, nil, func(r *roleSample) float64 { return float64(r.startingGPUs) })
	each(2, "GPUs draining", [2]string{"draining", "draining"}, nil, func(r *roleSample) float64 { return float64(r.drainingGPUs) })
	each(3, "load", [2]string{"compute", "bandwidth"}, func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }, func(r *roleSample) float64 { return float64(r.load) })
	each(4, "waiting", [2]string{"for prefill", "for decode"}, nil, func(r *roleSample) float64 { return float64(r.waiting) })
	for i, of := range []struct {
		name string
		at   func(*sample) latencySample
	}{{l.TTFT.Name, func(s *sample) latencySample { return s.ttft }}, {l.TPOT.Name, func(s *sample) latencySample { return s.tpot }}} {
		add(5+i, of.name+" observed", "observed", "", chart.Latency, func(s *sample) float64 { return float64(of.at(s).observed) })
		add(5+i, of.name+" expected", "expected", "soft", chart.Latency, func(s *sample) float64 { return float64(of.at(s).predicted) })
	}
	return all
}

// lanes are the changes of each role, and of moves where there were any, as far back as the charts go.
func (l *line) lanes() []page.Lane {
	lanes := []page.Lane{{Name: "prefill", Class: "prefill"}, {Name: "decode", Class: "decode"}, {Name: laneMoves, Class: "soft"}}
	for _, e := range l.events {
		for i := range lanes {
			if seconds := e.at.Sub(l.span.Zero).Seconds(); lanes[i].Name == e.lane && seconds >= 0 {
				lanes[i].Events = append(lanes[i].Events, page.Event{Seconds: seconds, Mark: e.mark, What: e.what, Why: e.why})
			}
		}
	}
	if len(lanes[2].Events) == 0 {
		lanes = lanes[:2]
	}
	return lanes
}

// timeline is all of it.
func (l *line) timeline() (template.HTML, error) {
	t := page.Timeline{ID: "rounds", Name: l.Namespace + "/" + l.Name, Span: l.span, Panels: l.panels(), Lanes: l.lanes(), Times: l.seconds, Columns: l.columns()}
	return t.HTML()
}
