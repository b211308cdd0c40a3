package report

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

var sweepBody = template.Must(template.New("sweep").Parse(`<header><h1>{{.Heading.Title}}</h1>
{{with .Heading.About}}<p class="lead">{{.}}</p>
{{end}}<p class="lead">{{.Lead}}</p></header>
{{range .Parts}}<h2>{{.Title}}</h2>
{{.Plane}}<div class="scroll all" role="region" tabindex="0" aria-label="{{.Title}}"><table class="compare">
<thead><tr>{{range $.Keys}}<th scope="col">{{.}}</th>{{end}}<th scope="col">policy</th><th scope="col">attained</th><th scope="col">GPU-hours</th><th scope="col">regret</th><th scope="col">TTFT p95</th><th scope="col">p99</th><th scope="col">TPOT p95</th><th scope="col">p99</th><th scope="col">most GPUs</th></tr></thead>
<tbody>{{range .Rows}}<tr{{if .Own}} class="own"{{end}}>{{range .Values}}<td>{{.}}</td>{{end}}<th scope="row">{{.Name}}</th>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</tbody></table></div>
{{end}}<h2>The scenario</h2>
<details class="data"><summary>{{.Name}}</summary><pre>{{.Text}}</pre></details>
`))

type sweepPart struct {
	Title string
	Plane template.HTML
	Rows  []sweepRow
}

type sweepRow struct {
	Own    bool
	Values []string
	Name   string
	Cells  []string
}

// WriteSweep writes the page of a sweep: every point and policy, and attainment over GPU-hours. Text is the scenario as it was
// written, and name what it is called.
func WriteSweep(w io.Writer, text, name string, r *scenario.SweepReport) error {
	view := struct {
		Heading          Heading
		Lead, Name, Text string
		Keys             []string
		Parts            []sweepPart
	}{Heading: HeadingOf(text, name), Name: name, Text: text}
	var said []string
	for _, k := range r.Sweep {
		view.Keys = append(view.Keys, k.Key)
		said = append(said, fmt.Sprintf("%s is %s", k.Key, strings.Join(k.Values, ", ")))
	}
	view.Lead = fmt.Sprintf("%d combinations, %s requests simulated: %s.", len(r.Points), thousands(r.Simulation.Requests), strings.Join(said, "; "))
	for _, part := range []struct {
		title  string
		points []scenario.SweepPoint
	}{{"All seeds together", r.Pooled}, {"Every combination", r.Points}} {
		if len(part.points) == 0 {
			continue
		}
		view.Parts = append(view.Parts, sweepPart{Title: part.title, Plane: sweepPlane(fmt.Sprintf("plane-%d", len(view.Parts)), view.Keys, part.points), Rows: sweepRows(view.Keys, part.points)})
	}
	var b bytes.Buffer
	if err := sweepBody.Execute(&b, view); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	doc := page.Document{Title: view.Heading.Title, Body: template.HTML(b.String())}
	return doc.Write(w)
}

func sweepRows(keys []string, points []scenario.SweepPoint) (rows []sweepRow) {
	for _, point := range points {
		for _, p := range point.Policies {
			row := sweepRow{Own: p.Name == own, Name: p.Name}
			for _, k := range keys {
				v, ok := point.Set[k]
				if !ok {
					v = fmt.Sprintf("all %d", p.Seeds)
				}
				row.Values = append(row.Values, v)
			}
			regret := "–"
			if p.Regret != nil {
				regret = strconv.FormatFloat(100**p.Regret, 'f', 1, 64) + " %"
			}
			row.Cells = []string{percent(p.Attainment), hours(p.GPUHours), regret, chart.Latency(p.TTFTMs.P95), chart.Latency(p.TTFTMs.P99),
				chart.Latency(p.TPOTMs.P95), chart.Latency(p.TPOTMs.P99), strconv.Itoa(p.MaxGPUs)}
			rows = append(rows, row)
		}
	}
	return rows
}

// mostNames is how many points of a plane have their names written beside them; more would cover each other.
const mostNames = 24

// sweepPlane has a point for each combination and policy, and a line through each policy's.
func sweepPlane(id string, keys []string, points []scenario.SweepPoint) template.HTML {
	p := chart.Plane{Name: "Attainment over GPU-hours", XName: "GPU-hours: fewer is better", HeightPx: 260, XTick: chart.Number, YTick: chart.Share,
		Says: fmt.Sprintf("%d combinations of each policy. The numbers are in the table below.", len(points))}
	least, most, cheapest, dearest := 1.0, 0.0, math.Inf(1), 0.0
	for _, point := range points {
		var values []string
		for _, k := range keys {
			if v, ok := point.Set[k]; ok {
				values = append(values, v)
			}
		}
		for k, policy := range point.Policies {
			at := chart.XY{X: policy.GPUHours, Y: policy.Attainment}
			least, most = min(least, at.Y), max(most, at.Y)
			cheapest, dearest = min(cheapest, at.X), max(dearest, at.X)
			dot := chart.Point{X: at.X, Y: at.Y, Says: fmt.Sprintf("%s with %s: %s on %s GPU-hours", policy.Name, point.Keys(), percent(at.Y), hours(at.X))}
			if policy.Name == own {
				dot.Class = "own"
			}
			if len(points)*len(point.Policies) <= mostNames {
				dot.Name = strings.TrimSpace(policy.Name + " " + strings.Join(values, " "))
			}
			p.Points = append(p.Points, dot)
			if len(values) == 1 { // along one key there is an order; the first point of each policy carries the line
				p.Points[k].Trail = append(p.Points[k].Trail, at)
			}
		}
	}
	p.X, p.Y = chart.Between(cheapest, dearest), chart.Nines(least, most)
	return template.HTML(`<figure class="panel"><figcaption><b>Attainment over GPU-hours</b> <small>up and to the left is better; where one key is swept, lines go along its values</small></figcaption>` + p.SVG(id) + "</figure>")
}
