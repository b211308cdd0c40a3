package live

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

var serviceBody = template.Must(template.New("service").Parse(`<header id="head">
<nav><a href="{{.Home}}">All PDAutoscalers</a></nav>
<h1>{{.Name}}</h1>
<p class="lead">{{.Lead}}</p>
</header>
<section id="now" aria-label="Now">
<p class="finding" data-say>{{.State}} {{.Finding}}</p>
<dl class="tiles">
{{range .Tiles}}<div class="{{.Class}}"><dt>{{.Name}}</dt><dd class="big{{if .Missed}} missed{{end}}">{{.Big}}</dd><dd>{{.Small}}</dd>{{if .Bar}}<dd class="meter" aria-hidden="true"><i style="width:{{.Bar}}%"></i></dd>{{end}}</div>
{{end}}</dl>
</section>
<section id="rounds-part">
<h2>The last {{.Length}}</h2>
<p class="note">Times are UTC. Point anywhere to read off the numbers, or drag the slider below.</p>
{{.Timeline}}</section>
<section id="why">
<h2>Why</h2>
<p class="note">The decision of {{.At}} UTC.</p>
{{.Why}}</section>
<section id="earlier">
<h2>Earlier decisions</h2>
{{if .Earlier}}<p class="note">Those that changed something, or were bound by another reason than the one before.</p>
{{range .Earlier}}<details class="decision" data-key="{{.At}}"><summary><time>{{.At}}</time> {{.Summary}}</summary>
{{.Reasons}}</details>
{{end}}{{else}}<p class="note">There are none yet.</p>
{{end}}</section>
`))

// tile is one thing to know at a glance.
type tile struct {
	Class, Name, Big, Small string
	// Bar is a share in per cent, drawn below; empty is none. The number itself is in Big or Small.
	Bar    string
	Missed bool
}

type earlier struct {
	At, Summary string
	Reasons     template.HTML
}

// body is the page of one PDAutoscaler, as far as it changes.
func (v *view) body(home string) (template.HTML, error) {
	page := struct {
		Home, Name, Lead, Finding, At, Length string
		State                                 template.HTML
		Tiles                                 []tile
		Timeline, Why                         template.HTML
		Earlier                               []earlier
	}{Home: home, Name: v.Namespace + "/" + v.Name, Lead: v.lead(), Finding: v.finding(), At: timeText(v.At), State: state(v.SLO), Tiles: v.tiles(false)}
	l := newLine(v)
	page.Length = lengthText(v.At.Sub(l.span.Zero))
	var err error
	if page.Timeline, err = l.timeline(); err != nil {
		return "", err
	}
	page.Why = template.HTML("<p><b>" + template.HTMLEscapeString(v.Reason) + "</b>: " + template.HTMLEscapeString(v.Message) + "</p>\n")
	if v.Decided != nil {
		if page.Why, err = reasons(v.Decided); err != nil {
			return "", err
		}
	}
	for i := range v.decisions {
		d := &v.decisions[i]
		e := earlier{At: timeText(d.at), Summary: upper(d.explained.Summary)}
		if !d.written {
			e.Summary += " Not written."
		}
		if e.Reasons, err = reasons(d.explained); err != nil {
			return "", err
		}
		page.Earlier = append(page.Earlier, e)
	}
	var b bytes.Buffer
	if err := serviceBody.Execute(&b, page); err != nil {
		return "", fmt.Errorf("live: page of %s/%s: %w", v.Namespace, v.Name, err)
	}
	return template.HTML(b.String()), nil
}

// lead says what the service is and what is wanted of it.
func (v *view) lead() string {
	var parts []string
	if v.Model != "" {
		parts = append(parts, fmt.Sprintf("%s, %s a prefill replica and %s a decode replica.", v.Model, gpus(v.Prefill.GPUsPerReplica, v.PrefillGPU), gpus(v.Decode.GPUsPerReplica, v.DecodeGPU)))
	}
	if v.TTFT.ObjectiveMs > 0 && v.TPOT.ObjectiveMs > 0 {
		parts = append(parts, fmt.Sprintf("To keep: %s within %s and %s within %s.", v.TTFT.Name, chart.Latency(v.TTFT.ObjectiveMs), v.TPOT.Name, chart.Latency(v.TPOT.ObjectiveMs)))
	}
	if v.BudgetGPUs > 0 {
		parts = append(parts, fmt.Sprintf("Both roles together hold at most %d GPUs.", v.BudgetGPUs))
	}
	switch {
	case v.Paused != "":
		parts = append(parts, "Paused, nothing is written: "+sentence(v.Paused))
	case v.Mode != "Auto" && v.Mode != "":
		parts = append(parts, fmt.Sprintf("Mode %s: decisions are shown and not written.", v.Mode))
	}
	return strings.Join(parts, " ")
}

// finding is what was decided last and why, in a sentence.
func (v *view) finding() string {
	means := report.Meaning(planner.Reason(v.Reason))
	if v.Decided == nil || means == "" {
		return sentence(upper(v.Message))
	}
	var parts []string
	for i := range v.Decided.Roles {
		r := &v.Decided.Roles[i]
		switch {
		case r.To > r.From:
			parts = append(parts, fmt.Sprintf("%s goes up from %d to %d", r.Role, r.From, r.To))
		case r.To < r.From:
			parts = append(parts, fmt.Sprintf("%s goes down from %d to %d", r.Role, r.From, r.To))
		default:
			parts = append(parts, fmt.Sprintf("%s stays at %d", r.Role, r.To))
		}
	}
	return upper(strings.Join(parts, ", ")) + ": " + sentence(means)
}

// state is a word for how the objectives stand, with a mark that is not only a colour.
func state(slo string) template.HTML {
	switch slo {
	case "Met":
		return `<span class="state met">Objectives met.</span>`
	case "Missed":
		return `<span class="state missed">Objectives missed.</span>`
	}
	return `<span class="state">Objectives not known.</span>`
}

// tiles are what to know at a glance; brief ones leave out what has a chart.
func (v *view) tiles(brief bool) []tile {
	var all []tile
	for _, role := range roles {
		r := v.of(role)
		t := tile{Class: string(role), Name: upper(string(role)), Big: "not seen"}
		if r.Seen {
			t.Big = fmt.Sprintf("%d of %d ready", r.Ready, r.Desired)
			t.Small = r.details(brief)
			if r.Load != nil {
				t.Bar = fmt.Sprintf("%.0f", 100*min(max(*r.Load, 0), 1))
			}
		}
		all = append(all, t)
	}
	for _, of := range []*Latency{&v.TTFT, &v.TPOT} {
		t := tile{Name: of.Name, Big: latencyText(of.ObservedMs), Small: "at most " + chart.Latency(of.ObjectiveMs)}
		if !brief {
			t.Small += "; expected " + latencyText(of.PredictedMs)
		}
		if of.ObservedMs != nil && of.ObjectiveMs > 0 {
			t.Missed = *of.ObservedMs > of.ObjectiveMs
			t.Bar = fmt.Sprintf("%.0f", 100*min(*of.ObservedMs/of.ObjectiveMs, 1))
		}
		all = append(all, t)
	}
	return append(all, v.gpuTile())
}

func (v *view) gpuTile() tile {
	t := tile{Name: "GPUs", Big: fmt.Sprintf("%d held", v.HeldGPUs), Small: "no budget"}
	if v.BudgetGPUs > 0 {
		t.Big, t.Missed = fmt.Sprintf("%d of %d", v.HeldGPUs, v.BudgetGPUs), v.HeldGPUs > v.BudgetGPUs
		t.Small = "held, of the budget"
		t.Bar = fmt.Sprintf("%.0f", 100*min(float64(v.HeldGPUs)/float64(v.BudgetGPUs), 1))
	}
	if v.Decided != nil && v.Decided.Move != nil {
		m := v.Decided.Move
		t.Class, t.Small = "move", fmt.Sprintf("%d go from %s to %s", m.GPUs, m.From, m.To)
	}
	return t
}

// details are a role's load, queue, and replicas on their way.
func (r *Role) details(brief bool) string {
	parts := []string{"load " + loadText(r.Load)}
	switch {
	case r.Waiting == nil:
		parts = append(parts, "queue not known")
	case *r.Waiting == 0:
		parts = append(parts, "no queue")
	case r.QueueSeconds != nil && !brief:
		parts = append(parts, fmt.Sprintf("%s waiting, %s of work", countText(r.Waiting), chart.Latency(1000**r.QueueSeconds)))
	default:
		parts = append(parts, countText(r.Waiting)+" waiting")
	}
	if r.Starting > 0 {
		parts = append(parts, fmt.Sprintf("%d starting", r.Starting))
	}
	if r.Terminating > 0 {
		parts = append(parts, fmt.Sprintf("%d ending", r.Terminating))
	}
	return strings.Join(parts, ", ")
}

func gpus(n int, name string) string {
	if name == "" {
		name = "GPU"
	}
	if n <= 0 {
		return name
	}
	return fmt.Sprintf("%d × %s", n, name)
}

// lengthText writes how far back a page goes.
func lengthText(d time.Duration) string {
	switch {
	case d >= 90*time.Minute:
		return fmt.Sprintf("%.0f hours", d.Hours())
	case d >= 55*time.Minute:
		return "hour"
	}
	return fmt.Sprintf("%.0f minutes", max(1, d.Minutes()))
}

func sentence(s string) string {
	if strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
