package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html/template"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

func line() Timeline {
	return Timeline{
		ID: "run", Name: `a "service"`, Span: chart.Span{To: 600}, Times: []float64{0, 300},
		Panels: []chart.Panel{
			{Name: "Replicas", Unit: "ready", Says: "Two at the most.", Scale: chart.Whole(2), Lines: []chart.Line{{Class: "prefill", Steps: true, Values: chart.Series([]float64{0, 300}, []float64{1, 2})}}},
			{Name: "TTFT", Scale: chart.Logarithmic(100, 2000), Tick: chart.Latency},
		},
		Columns: []Column{
			{Name: "prefill ready", Short: "prefill", Class: "prefill", Values: []float64{1, 2}},
			{Name: "TTFT p95", Short: "p95", Panel: 1, Values: []float64{math.NaN()}, Text: chart.Latency},
		},
		Lanes: []Lane{
			{Name: "prefill", Class: "prefill", Events: []Event{{Seconds: 300, Mark: Up, What: "up from 1 to 2", Why: "<b>12</b> requests/s."}, {Seconds: 900, Mark: Hold, What: "held at 2"}}},
			{Name: "decode", Class: "decode"},
		},
	}
}

// Everything that the pictures show is in words and numbers too, and what comes from outside is text.
func TestTimelineIsReadable(t *testing.T) {
	l := line()
	got, err := l.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`aria-label="a &#34;service&#34;"`, `<desc id="run-0-says">Two at the most.</desc>`, `data-to="600"`,
		`<th scope="col" data-panel="1" data-short="p95" data-class="">TTFT p95</th>`, `<tr data-t="300"><th scope="row">5:00</th><td>2</td><td>–</td></tr>`,
		`style="left:50.00%" data-t="300" aria-label="5:00 prefill: up from 1 to 2. &lt;b&gt;12&lt;/b&gt; requests/s."`,
		`style="left:100.00%" data-t="900" tabindex="-1"`, "2 decisions as a list", `<input type="range" min="0" max="1" value="0"/>`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "<b>12") || strings.Contains(string(got), "ZgotmplZ") {
		t.Errorf("a reason became markup:\n%s", got)
	}
}

// A time line of nothing is a picture without a table.
func TestEmptyTimeline(t *testing.T) {
	l := Timeline{ID: "none", Name: "nothing", Panels: []chart.Panel{{Name: "x", Scale: chart.Linear(0)}}}
	got, err := l.HTML()
	if err != nil || strings.Contains(string(got), "<table") || !strings.Contains(string(got), "<svg") {
		t.Errorf("%v\n%s", err, got)
	}
}

// The document is whole and asks nobody for anything.
func TestDocumentLoadsNothing(t *testing.T) {
	l := line()
	body, err := l.HTML()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	doc := Document{Title: "<Title>", Body: body}
	if err := doc.Write(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"<!doctype html>", "<title>&lt;Title&gt;</title>", `default-src &#39;none&#39;`, "prefers-color-scheme: dark", "addEventListener", string(body)} {
		if !strings.Contains(page, want) && !strings.Contains(page, template.HTMLEscapeString(want)) && !strings.Contains(page, strings.ReplaceAll(want, "&#39;", "'")) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, wrong := range []string{"http:", "https:", " src=", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(page, wrong) {
			t.Errorf("%q is in the page", wrong)
		}
	}
	// The parts are well-formed: every element that is opened is closed.
	wellFormed(t, string(body))
}

func wellFormed(t *testing.T, html string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader("<x>" + html + "</x>"))
	d.Strict, d.AutoClose, d.Entity = true, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, html)
		}
	}
}
