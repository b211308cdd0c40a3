package report

import (
	"bytes"
	"html/template"
	"io"

	"github.com/pdautoscaler/pdautoscaler/pkg/page"
)

// Entry is one page that an index leads to.
type Entry struct {
	Heading
	File string // relative to the index
	Says string // what came of it
}

var index = template.Must(template.New("index").Parse(`<header><h1>{{.Title}}</h1>
<p class="lead">{{.About}}</p></header>
<ul class="cards">
{{range .Entries}}<li><a href="{{.File}}">{{.Title}}</a><p>{{.About}}</p><p>{{.Says}}</p></li>
{{end}}</ul>
`))

// WriteIndex writes a page that leads to the entries.
func WriteIndex(w io.Writer, h Heading, entries []Entry) error {
	var b bytes.Buffer
	if err := index.Execute(&b, struct {
		Heading
		Entries []Entry
	}{h, entries}); err != nil {
		return err
	}
	doc := page.Document{Title: h.Title, Body: template.HTML(b.String())}
	return doc.Write(w)
}

// EntryOf is a page's place in an index.
func EntryOf(in Input, file string) Entry {
	e := Entry{Heading: HeadingOf(in.Text, in.Scenario.Name), File: file}
	for _, f := range findings(in.Report) {
		e.Says = f
	}
	return e
}
