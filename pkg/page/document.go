package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

//go:embed page.css
var rules string

// Script is what the parts need to answer pointer and keys. It works for parts that come later too.
//
//go:embed page.js
var Script string

// liveScript keeps a served page up to date.
//
//go:embed live.js
var liveScript string

// Style is the whole style sheet: colours, charts and parts.
func Style() string { return chart.Tokens + chart.Rules + rules }

// Document is one page.
type Document struct {
	Title string
	Body  template.HTML
	// Live is set for a page that a server keeps up to date.
	Live *Live
}

// Live says how a page stays up to date: it asks its own address, with part=body as query, for its Body, and takes over those
// elements directly in it whose content has changed; so each of them has an id. Without script it is loaded anew.
//
// An answer may say in the header X-As-Of which moment it is of, as hh:mm:ss. What is pointed at or has the focus waits until
// it is left, and everything waits while the page is not looked at or is paused. The text of elements with data-say is spoken
// by screen readers when it changes. Elements of the class details are known again by data-key.
type Live struct {
	Every time.Duration
	// AsOf is the moment of the body, as hh:mm:ss; empty where it has none.
	AsOf string
	// SignOut is where to post to in order to leave; empty where nobody came in.
	SignOut string
}

// Seconds is how often the page asks, in whole seconds.
func (l *Live) Seconds() int { return max(1, int(l.Every.Seconds())) }

// Policy is the Content-Security-Policy that every page has: its own style and script, and nothing that is loaded, but for a
// live page its own server's answers.
func Policy(live bool) string {
	scripts := "script-src " + hash(Script)
	if live {
		scripts += " " + hash(liveScript) + "; connect-src 'self'"
	}
	return "default-src 'none'; style-src 'unsafe-inline'; img-src data:; " + scripts
}

// hash is how a policy names a script, which begins with the line break after its tag.
func hash(script string) string {
	sum := sha256.Sum256([]byte("\n" + script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var document = template.Must(template.New("document").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{.Policy}}">
{{with .Live}}<noscript><meta http-equiv="refresh" content="{{.Seconds}}"></noscript>
{{end}}<link rel="icon" href="data:,">
<title>{{.Title}}</title>
<style>
{{.Style}}</style>
</head>
<body>
<main>
{{with .Live}}<div class="live" data-every="{{.Seconds}}" role="group" aria-label="Updates">
<span class="as-of"><i aria-hidden="true"></i><span>Live</span>{{with .AsOf}}, as of <time>{{.}}</time> UTC{{end}}</span>
<button type="button" hidden>Pause</button>
{{with .SignOut}}<form method="post" action="{{.}}"><button type="submit">Sign out</button></form>
{{end}}<span class="said" role="status"></span>
</div>
<div id="content">
{{end}}{{.Body}}{{if .Live}}</div>
{{end}}</main>
<script>
{{.Script}}</script>{{with .LiveScript}}
<script>
{{.}}</script>{{end}}
</body>
</html>
`))

// Write writes the page.
func (d *Document) Write(w io.Writer) error {
	view := struct {
		*Document
		Style              template.CSS
		Script, LiveScript template.JS
		Policy             string
	}{Document: d, Style: template.CSS(Style()), Script: template.JS(Script), Policy: Policy(d.Live != nil)}
	if d.Live != nil {
		view.LiveScript = template.JS(liveScript)
	}
	return document.Execute(w, view)
}
