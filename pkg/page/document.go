package page

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

//go:embed page.css
var rules string

// Script is what the parts need to answer pointer and keys. It works for parts that come later too.
//
//go:embed page.js
var Script string

// Style is the whole style sheet: colours, charts and parts.
func Style() string { return chart.Tokens + chart.Rules + rules }

// Document is one page.
type Document struct {
	Title string
	Body  template.HTML
}

var document = template.Must(template.New("document").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{{.Title}}</title>
<style>
{{.Style}}</style>
</head>
<body>
<main>
{{.Body}}
</main>
<script>
{{.Script}}</script>
</body>
</html>
`))

// Write writes the page.
func (d *Document) Write(w io.Writer) error {
	return document.Execute(w, struct {
		Title  string
		Body   template.HTML
		Style  template.CSS
		Script template.JS
	}{d.Title, d.Body, template.CSS(Style()), template.JS(Script)})
}
