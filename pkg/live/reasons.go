package live

import (
	"bytes"
	"fmt"
	"html/template"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// reasonTree is one decision: a branch for each role, from what is decided down to what it was decided from, then what both
// roles share.
var reasonTree = template.Must(template.New("reasons").Parse(`<ul class="tree">
{{range .Roles}}<li class="{{.Role}}"><b>{{.Sentence}}</b>
<ul>{{with .Signal}}<li>{{.}}</li>{{end}}{{with .Load}}<li>{{.}}</li>{{end}}{{with .Latency}}<li>{{.}}</li>{{end}}{{if .Steps}}<li>What was tried:
<ol>{{range .Steps}}<li{{if .Rejected}} class="rejected"{{end}}>{{.Sentence}}</li>{{end}}</ol></li>{{end}}{{with .Bound}}<li>{{.}}</li>{{end}}</ul></li>
{{end}}<li>{{.GPUs}}</li>
{{range .Moves}}<li class="move">Move: {{.}}</li>
{{end}}{{range .Notes}}<li><b>{{.Reason}}</b>: {{.Message}}</li>
{{end}}</ul>
`))

type roleReasons struct {
	Role                                   planner.Role
	Sentence, Signal, Load, Latency, Bound string
	Steps                                  []report.Step
}

// reasons is the tree of one decision.
func reasons(e *report.Explanation) (template.HTML, error) {
	tree := struct {
		Roles []roleReasons
		GPUs  string
		Moves []string
		Notes []report.Note
	}{GPUs: e.GPUs.Sentence}
	for i := range e.Roles {
		r := &e.Roles[i]
		tree.Roles = append(tree.Roles, roleReasons{Role: r.Role, Sentence: upper(r.Sentence), Load: r.LoadSentence(), Latency: r.LatencySentence(),
			Bound: r.BoundSentence(), Steps: r.Steps})
		if r.Signal != nil {
			tree.Roles[i].Signal = r.Signal.Sentence
		}
	}
	for _, m := range []*report.Move{e.Move, e.Ended} {
		if m != nil {
			tree.Moves = append(tree.Moves, m.Sentence)
		}
	}
	said := map[report.Note]bool{}
	for _, n := range e.Notes {
		if n.Role = ""; !said[n] { // the same may be true of both roles
			tree.Notes = append(tree.Notes, n)
			said[n] = true
		}
	}
	var b bytes.Buffer
	if err := reasonTree.Execute(&b, tree); err != nil {
		return "", fmt.Errorf("live: reasons of %s: %w", e.At, err)
	}
	return template.HTML(b.String()), nil
}

// upper begins a sentence.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// loadText, latencyText and countText write a number, or that it is not known.
func loadText(v *float64) string {
	if v == nil {
		return "not known"
	}
	return fmt.Sprintf("%.0f %%", 100**v)
}

func latencyText(ms *float64) string {
	if ms == nil {
		return "not known"
	}
	return chart.Latency(*ms)
}

func countText(v *float64) string {
	if v == nil {
		return "not known"
	}
	return chart.Number(*v)
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
