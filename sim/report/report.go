package report

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/page"
	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// Input is what a page is made of.
type Input struct {
	Scenario *scenario.Scenario
	// Text is the scenario as it was written. Its first comment is the page's title and what follows it.
	Text   string
	Report *scenario.Report
}

var body = template.Must(template.New("report").Parse(`<header>
<h1>{{.Heading.Title}}</h1>
{{with .Heading.About}}<p class="lead">{{.}}</p>
{{end}}<p class="lead">{{.Lead}}</p>
{{range .Findings}}<p class="finding">{{.}}</p>
{{end}}</header>
<h2>Policies side by side</h2>
{{.Compare}}
{{.Plane}}
<h2>GPUs held over time</h2>
<p class="note">Strong: GPUs of replicas that serve. Pale: of those that start or end what they have. The scale is the same for all.</p>
{{.Held}}
<h2>Moment by moment</h2>
<p class="note">Latencies are those of the requests that arrived at that moment. Point anywhere to read off the numbers, or drag the slider below.</p>
{{range .Runs}}<details class="policy"{{if .Open}} open{{end}}><summary><h3>{{.Name}}</h3> <small>{{.Says}}</small></summary>
{{.Line}}</details>
{{end}}<h2>The scenario</h2>
<details class="data"><summary>{{.Name}}</summary><pre>{{.Text}}</pre></details>
`))

type runView struct {
	Name, Says string
	Open       bool
	Line       template.HTML
}

// Write writes the page. The scenario's Timelines must have been recorded.
func Write(w io.Writer, in Input) error {
	view := struct {
		Heading              Heading
		Lead                 string
		Findings             []string
		Compare, Plane, Held template.HTML
		Runs                 []runView
		Name, Text           string
	}{Heading: HeadingOf(in.Text, in.Scenario.Name), Lead: lead(in.Scenario), Findings: findings(in.Report), Name: in.Scenario.Name, Text: in.Text}
	for i := range in.Report.Policies {
		if p := &in.Report.Policies[i]; p.Timeline == nil {
			return fmt.Errorf("report: %s has no time line", p.Name)
		}
	}
	var err error
	if view.Compare, err = compare(in.Report); err != nil {
		return err
	}
	view.Plane = plane(in)
	if view.Held, err = held(in); err != nil {
		return err
	}
	for i := range in.Report.Policies {
		p := &in.Report.Policies[i]
		line, err := timeline(in.Scenario, p)
		if err != nil {
			return err
		}
		view.Runs = append(view.Runs, runView{Name: p.Name, Says: summary(p), Open: i == first(in.Report), Line: line})
	}
	var b bytes.Buffer
	if err := body.Execute(&b, view); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	doc := page.Document{Title: view.Heading.Title, Body: template.HTML(b.String())}
	return doc.Write(w)
}

// own is the project's policy.
const own = "pdautoscaler"

// first is the policy that is shown open: the project's, or the first.
func first(r *scenario.Report) int {
	for i := range r.Policies {
		if r.Policies[i].Name == own {
			return i
		}
	}
	return 0
}

// Heading is what a scenario file says about itself.
type Heading struct{ Title, About string }

// HeadingOf reads the comment that a scenario file begins with: its first line is the title, up to a colon or full stop where
// it has one, and the rest says what it shows. Without a comment the name is the title.
func HeadingOf(text, name string) Heading {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#") {
			break
		}
		if line = strings.TrimSpace(strings.TrimLeft(line, "#")); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return Heading{Title: name}
	}
	h := Heading{Title: strings.TrimRight(lines[0], ".")}
	if title, rest, ok := strings.Cut(lines[0], ": "); ok {
		h.Title = title
		lines[0] = strings.ToUpper(rest[:1]) + rest[1:]
	} else {
		lines = lines[1:]
	}
	h.About = strings.Join(lines, " ")
	return h
}
