package page

import (
	"bytes"
	"fmt"
	"html/template"
	"strconv"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

// Timeline is panels over one time axis, with the decisions that were made and the same numbers as a table.
type Timeline struct {
	ID   string // the page's only one of its kind; letters, digits and hyphens
	Name string
	Span chart.Span
	// Panels stand below each other. Those without a Span have the time line's.
	Panels []chart.Panel
	Lanes  []Lane
	// Times are the moments of the table's rows, in seconds, and Columns their numbers.
	Times   []float64
	Columns []Column
}

// Column is one column of the table.
type Column struct {
	// Name is its heading, and Short what stands before the number where a moment is read off.
	Name, Short string
	Class       string
	Panel       int // that it belongs to
	Values      []float64
	// Text writes a number; chart.Number by default. What is not a number is written as a dash.
	Text func(float64) string
}

// Lane is the decisions on one thing.
type Lane struct {
	Name, Class string
	Events      []Event
}

// Event is one decision, or anything else that happened at one moment.
type Event struct {
	Seconds float64
	Mark    Mark
	// What is one clause, and Why the reason.
	What, Why string
}

// Mark is the shape of an event.
type Mark string

// The shapes of events.
const (
	Up   Mark = "up"
	Down Mark = "down"
	Move Mark = "move"
	Hold Mark = "hold"
)

var timeline = template.Must(template.New("timeline").Parse(`<section class="timeline" id="{{.ID}}" aria-label="{{.Name}}" data-from="{{.Span.From}}" data-to="{{.Span.To}}">
<div class="stack">
{{range .Figures}}<figure class="panel"><figcaption><b>{{.Name}}</b> <small>{{.Unit}}</small><output></output></figcaption>{{.SVG}}</figure>
{{end}}{{if .Lanes}}<figure class="panel lanes"><figcaption><b>Decisions</b> <small>up ▲, down ▼, move of GPUs ◆, held with a reason ·</small></figcaption>
{{range .Lanes}}<div class="lane {{.Class}}" role="group" aria-label="Decisions on {{.Name}}: arrow keys go from one to the next"><div class="track">{{range $i, $e := .Events}}<button type="button" class="event {{$e.Mark}}" style="left:{{$e.Left}}%" data-t="{{$e.Seconds}}"{{if $i}} tabindex="-1"{{end}} aria-label="{{$e.Text}}"></button>{{end}}</div><span class="name {{.Class}}">{{.Name}}</span></div>
{{end}}</figure>
{{end}}{{.Axis}}<div class="cursor" aria-hidden="true"></div>
</div>
{{if .Rows}}<label class="scrub"><span>Read off a moment of {{.Name}}</span><input type="range" min="0" max="{{.LastRow}}" value="0"/></label>
{{if $.Lanes}}<p class="why" aria-live="polite">Point at a mark, or go to it by keys, to read why.</p>
{{end}}<details class="data"><summary>These numbers as a table</summary><div class="scroll" role="region" tabindex="0" aria-label="Numbers of {{.Name}}"><table class="samples">
<thead><tr><th scope="col">time</th>{{range .Columns}}<th scope="col" data-panel="{{.Panel}}" data-short="{{.Short}}" data-class="{{.Class}}">{{.Name}}</th>{{end}}</tr></thead>
<tbody>{{range .Rows}}<tr data-t="{{.Seconds}}"><th scope="row">{{.Moment}}</th>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table></div></details>
{{end}}{{if .Decisions}}<details class="data"><summary>{{len .Decisions}} decisions as a list</summary><div class="scroll" role="region" tabindex="0" aria-label="Decisions of {{.Name}}"><table>
<thead><tr><th scope="col">time</th><th scope="col">role</th><th scope="col">decision</th><th scope="col">reason</th></tr></thead>
<tbody>{{range .Decisions}}<tr><th scope="row">{{.Moment}}</th><td>{{.Lane}}</td><td class="words">{{.What}}</td><td class="words">{{.Why}}</td></tr>
{{end}}</tbody></table></div></details>
{{end}}</section>
`))

type figure struct {
	Name, Unit string
	SVG        template.HTML
}

type laneView struct {
	Name, Class string
	Events      []eventView
}

type eventView struct {
	Event
	Left, Text string
}

type rowView struct {
	Seconds float64
	Moment  string
	Cells   []string
}

type decisionView struct {
	Event
	Lane, Moment string
}

// HTML draws the time line.
func (t *Timeline) HTML() (template.HTML, error) {
	view := struct {
		*Timeline
		Figures   []figure
		Lanes     []laneView
		Axis      template.HTML
		Rows      []rowView
		LastRow   int
		Decisions []decisionView
	}{Timeline: t, Axis: template.HTML(chart.Axis{Span: t.Span}.SVG())}
	for i := range t.Panels {
		p := t.Panels[i]
		if p.Span == (chart.Span{}) {
			p.Span = t.Span
		}
		view.Figures = append(view.Figures, figure{p.Name, p.Unit, template.HTML(p.SVG(fmt.Sprintf("%s-%d", t.ID, i)))})
	}
	view.Lanes, view.Decisions = t.lanes()
	for i, at := range t.Times {
		row := rowView{Seconds: at, Moment: t.Span.Moment(at)}
		for c := range t.Columns {
			row.Cells = append(row.Cells, t.Columns[c].text(i))
		}
		view.Rows = append(view.Rows, row)
	}
	view.LastRow = len(view.Rows) - 1
	var b bytes.Buffer
	if err := timeline.Execute(&b, view); err != nil {
		return "", fmt.Errorf("page: time line %s: %w", t.ID, err)
	}
	return template.HTML(b.String()), nil
}

func (t *Timeline) lanes() (lanes []laneView, decisions []decisionView) {
	for _, l := range t.Lanes {
		out := laneView{Name: l.Name, Class: l.Class}
		for _, e := range l.Events {
			share := 0.0
			if t.Span.To > t.Span.From {
				share = min(max((e.Seconds-t.Span.From)/(t.Span.To-t.Span.From), 0), 1)
			}
			text := fmt.Sprintf("%s %s: %s", t.Span.Moment(e.Seconds), l.Name, e.What)
			if e.Why != "" {
				text += ". " + e.Why
			}
			out.Events = append(out.Events, eventView{e, strconv.FormatFloat(100*share, 'f', 2, 64), text})
			decisions = append(decisions, decisionView{e, l.Name, t.Span.Moment(e.Seconds)})
		}
		lanes = append(lanes, out)
	}
	return lanes, decisions
}

func (c *Column) text(i int) string {
	if i >= len(c.Values) || c.Values[i] != c.Values[i] {
		return "–"
	}
	if c.Text == nil {
		return chart.Number(c.Values[i])
	}
	return c.Text(c.Values[i])
}
