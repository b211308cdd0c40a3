package live

import (
	"bytes"
	"fmt"
	"html/template"
	"net/url"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

var overviewBody = template.Must(template.New("overview").Parse(`<header id="head">
<h1>PDAutoscalers</h1>
<p class="lead" data-say>{{.Lead}}</p>
</header>
<ul id="services" class="rows">
{{range .Rows}}<li id="{{.ID}}"><div class="about"><h2><a href="{{.Link}}">{{.Name}}</a></h2>
<p>{{.State}} {{.Finding}}</p></div>
<dl class="tiles">
{{range .Tiles}}<div class="{{.Class}}"><dt>{{.Name}}</dt><dd class="big{{if .Missed}} missed{{end}}">{{.Big}}</dd><dd>{{.Small}}</dd>{{if .Bar}}<dd class="meter" aria-hidden="true"><i style="width:{{.Bar}}%"></i></dd>{{end}}</div>
{{end}}</dl>
<figure class="panel"><figcaption><b>GPUs</b> <small>held over the last {{.Length}}</small></figcaption>{{.GPUs}}{{.Axis}}</figure></li>
{{end}}</ul>
`))

type row struct {
	ID, Link, Name, Finding, Length string
	State                           template.HTML
	Tiles                           []tile
	GPUs, Axis                      template.HTML
}

// overview is the page of all PDAutoscalers, as far as it changes. Nobody is the reason why none is shown.
func overview(all []view, home, nobody string) (template.HTML, error) {
	page := struct {
		Lead string
		Rows []row
	}{Lead: overviewLead(all, nobody)}
	for i := range all {
		v := &all[i]
		l := newLine(v)
		p := l.gpus()
		p.Span, p.HeightPx = l.span, 72
		page.Rows = append(page.Rows, row{
			ID: "of-" + v.Namespace + "-" + v.Name, Link: home + url.PathEscape(v.Namespace) + "/" + url.PathEscape(v.Name), Name: v.Namespace + "/" + v.Name,
			State: state(v.SLO), Finding: v.finding(), Tiles: v.tiles(true), Length: lengthText(v.At.Sub(l.span.Zero)),
			GPUs: template.HTML(p.SVG(fmt.Sprintf("gpus-%d", i))), Axis: template.HTML(chart.Axis{Span: l.span}.SVG()),
		})
	}
	var b bytes.Buffer
	if err := overviewBody.Execute(&b, page); err != nil {
		return "", fmt.Errorf("live: overview: %w", err)
	}
	return template.HTML(b.String()), nil
}

// overviewLead sums all services up.
func overviewLead(all []view, nobody string) string {
	if len(all) == 0 {
		return nobody
	}
	held, missed, unknown, moving := 0, 0, 0, 0
	for i := range all {
		held += all[i].HeldGPUs
		switch all[i].SLO {
		case "Missed":
			missed++
		case "Met":
		default:
			unknown++
		}
		if all[i].Moving {
			moving++
		}
	}
	parts := []string{fmt.Sprintf("%s on %s.", count(len(all), "service"), count(held, "GPU"))}
	switch {
	case missed == 0 && unknown == 0:
		parts = append(parts, "All meet their objectives.")
	case missed > 0:
		parts = append(parts, fmt.Sprintf("%d of them %s an objective.", missed, verb(missed, "misses", "miss")))
	}
	if unknown > 0 {
		parts = append(parts, fmt.Sprintf("Of %d it is not known.", unknown))
	}
	if moving > 0 {
		parts = append(parts, fmt.Sprintf("In %d GPUs are moving.", moving))
	}
	return strings.Join(parts, " ")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
