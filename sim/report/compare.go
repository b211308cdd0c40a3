package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

var table = template.Must(template.New("compare").Parse(`{{with .Tuned}}<p class="note">{{.}}</p>
{{end}}<div class="scroll all" role="region" tabindex="0" aria-label="Policies side by side"><table class="compare">
<thead><tr><th scope="col">policy</th><th scope="col">attained</th><th scope="col">GPU-hours</th><th scope="col">regret</th><th scope="col">TTFT p50</th><th scope="col">p95</th><th scope="col">p99</th><th scope="col">TPOT p50</th><th scope="col">p95</th><th scope="col">p99</th><th scope="col">most GPUs</th><th scope="col">up</th><th scope="col">down</th><th scope="col">moves</th></tr></thead>
<tbody>{{range .Rows}}<tr{{if .Own}} class="own"{{end}}><th scope="row">{{.Name}}</th><td>{{.Attained}}</td><td class="bar">{{.Hours}}<i style="width:{{.Bar}}px"></i></td><td>{{.Regret}}</td>{{range .Latencies}}<td>{{.}}</td>{{end}}<td>{{.MaxGPUs}}</td><td>{{.ScaleUps}}</td><td>{{.ScaleDowns}}</td><td>{{.Moves}}</td></tr>
{{end}}</tbody></table></div>
`))

type compareRow struct {
	scenario.PolicyReport
	Own                          bool
	Attained, Hours, Bar, Regret string
	Latencies                    []string
}

// compare is the table of all policies, by what they attained and then by GPU-hours.
func compare(r *scenario.Report) (template.HTML, error) {
	most := 0.0
	for i := range r.Policies {
		most = max(most, r.Policies[i].GPUHours)
	}
	var rows []compareRow
	for _, p := range r.Policies {
		row := compareRow{PolicyReport: p, Own: p.Name == own, Attained: percent(p.Attainment), Hours: hours(p.GPUHours), Regret: "–",
			Bar: strconv.FormatFloat(60*p.GPUHours/max(most, 1e-9), 'f', 1, 64)}
		if p.Regret != nil {
			row.Regret = strconv.FormatFloat(100**p.Regret, 'f', 1, 64) + " %"
		}
		for _, ms := range []float64{p.TTFTMs.P50, p.TTFTMs.P95, p.TTFTMs.P99, p.TPOTMs.P50, p.TPOTMs.P95, p.TPOTMs.P99} {
			row.Latencies = append(row.Latencies, chart.Latency(ms))
		}
		rows = append(rows, row)
	}
	tuned := ""
	if r.Target > 0 {
		tuned = fmt.Sprintf("Each policy at the cheapest setting of its own knob that attains %s, or at the setting that attains most where none does.", percent(r.Target))
	}
	var b bytes.Buffer
	if err := table.Execute(&b, map[string]any{"Rows": rows, "Tuned": tuned}); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	return template.HTML(b.String()), nil
}

// plane is attainment over GPU-hours, with the settings that were tried where policies were tuned.
func plane(in Input) template.HTML {
	r := in.Report
	p := chart.Plane{Name: "Attainment over GPU-hours", XName: "GPU-hours: fewer is better", HeightPx: 260, XTick: chart.Number, YTick: chart.Share}
	least, most, cheapest, dearest := 1.0, 0.0, math.Inf(1), 0.0
	for i := range r.Policies {
		report := &r.Policies[i]
		point := chart.Point{Name: report.Name, X: report.GPUHours, Y: report.Attainment,
			Says: fmt.Sprintf("%s: %s on %s GPU-hours", report.Name, percent(report.Attainment), hours(report.GPUHours))}
		switch report.Name {
		case own:
			point.Class = "own"
		case "oracle":
			point.Class = "bound"
		}
		least, most = min(least, report.Attainment), max(most, report.Attainment)
		cheapest, dearest = min(cheapest, report.GPUHours), max(dearest, report.GPUHours)
		p.Points = append(p.Points, point)
	}
	target := in.Scenario.Setup.Spec.TTFT.Quantile
	if r.Target > 0 {
		target = r.Target
	}
	p.YLimit = &chart.Limit{Class: "objective", V: target, Words: "target " + chart.Share(target)}
	for i := range p.Points {
		// What is far below or dearer than any policy's best is of no interest, and has no place on the scales.
		for _, at := range trail(r.Policies[i].Frontier) {
			if at.Y >= least && at.X <= 1.2*dearest {
				p.Points[i].Trail = append(p.Points[i].Trail, at)
				cheapest, dearest, most = min(cheapest, at.X), max(dearest, at.X), max(most, at.Y)
			}
		}
	}
	p.X, p.Y = chart.Between(cheapest, dearest), chart.Nines(min(least, target-0.05), max(most, target))
	p.Says = fmt.Sprintf("%d policies; upwards each line is a tenth of the requests that miss. The numbers are in the table above.", len(p.Points))
	note := "up and to the left is better; upwards the missing share shrinks tenfold from 90 % to 99 %"
	if r.Target > 0 {
		note += "; lines: the other settings of each policy's knob"
	}
	return template.HTML(`<figure class="panel"><figcaption><b>Attainment over GPU-hours</b> <small>` + template.HTMLEscapeString(note) + `</small></figcaption>` + p.SVG("plane") + "</figure>")
}

// trail is the frontier of the settings that were tried: those that no cheaper one attains more than.
func trail(tried []scenario.Point) []chart.XY {
	sorted := slices.Clone(tried)
	slices.SortFunc(sorted, func(a, b scenario.Point) int { return cmp.Compare(a.GPUHours, b.GPUHours) })
	var all []chart.XY
	best := -1.0
	for _, p := range sorted {
		if p.Attainment > best {
			best = p.Attainment
			all = append(all, chart.XY{X: p.GPUHours, Y: p.Attainment})
		}
	}
	return all
}

// held is a low panel for each policy below the demand.
func held(in Input) (template.HTML, error) {
	s := in.Scenario
	span := chart.Span{To: s.Traffic.Duration().Seconds()}
	demand := demandOf(s)
	line := page.Timeline{ID: "held", Name: "GPUs held by each policy", Span: span, Times: demand.seconds}
	line.Panels = append(line.Panels, demand.panel())
	line.Columns = append(line.Columns, demand.columns(0)...)
	most := float64(s.Setup.Spec.BudgetGPUs)
	for i := range in.Report.Policies {
		most = max(most, chart.Most(newRun(s, &in.Report.Policies[i]).held(both)))
	}
	for i := range in.Report.Policies {
		r := newRun(s, &in.Report.Policies[i])
		p := r.gpus(chart.Whole(most))
		p.Name, p.Unit, p.HeightPx = r.report.Name, summary(r.report), 54
		line.Panels = append(line.Panels, p)
		line.Columns = append(line.Columns, page.Column{Name: r.report.Name + " GPUs", Short: "GPUs", Panel: i + 1, Values: r.values(func(s *scenario.Sample) float64 {
			return float64(s.Prefill.Held()*r.prefillGPUs + s.Decode.Held()*r.decodeGPUs)
		})})
	}
	return line.HTML()
}
