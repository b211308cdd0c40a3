package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyValues(t *rapid.T, n int) []At {
	all := make([]At, n)
	for i := range all {
		all[i] = At{Seconds: float64(10 * i), Known: rapid.Bool().Draw(t, "known"),
			V: rapid.OneOf(rapid.Float64Range(0, 1e6), rapid.SampledFrom([]float64{0, -5, math.NaN(), math.Inf(1)})).Draw(t, "v")}
	}
	return all
}

func anyPanel(t *rapid.T) Panel {
	n := rapid.IntRange(0, 12).Draw(t, "n")
	low, high := anyValues(t, n), anyValues(t, n)
	scales := map[string]Scale{"linear": Linear(Most(high)), "whole": Whole(Most(high)), "log": Logarithmic(rapid.Float64().Draw(t, "least"), Most(high)), "nines": Nines(0.9, 1)}
	steps := rapid.Bool().Draw(t, "steps")
	return Panel{
		Name: rapid.String().Draw(t, "name"), Unit: "u", Says: rapid.String().Draw(t, "says"), HeightPx: rapid.IntRange(0, 300).Draw(t, "height"),
		Span:   Span{To: rapid.Float64Range(-10, 200).Draw(t, "to")},
		Scale:  scales[rapid.SampledFrom([]string{"linear", "whole", "log", "nines"}).Draw(t, "scale")],
		Bands:  []Band{{Class: "move", From: 20, To: 1e9, Words: `<2 GPUs & "more">`}},
		Areas:  []Area{{Class: "prefill", Steps: steps, Low: low, High: high}, {Class: "soft", High: high}},
		Lines:  []Line{{Class: "decode", Steps: steps, Values: high}, {Class: "ink", Values: low}},
		Limits: []Limit{{Class: "objective", V: rapid.Float64().Draw(t, "limit"), Words: "budget"}},
		Labels: []Label{{Class: "decode", V: Last(high), Words: "decode"}, {Class: "prefill", V: Last(low), Words: "prefill"}},
	}
}

// Any panel is well-formed XML in which every coordinate is a number within its plot.
func TestAnyPanelIsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPanel(t)
		checkSVG(t, p.SVG(`id"<`), p.height())
		picture := Picture{Title: p.Name, Says: "a & b", Panels: []Panel{p, p}}
		var b bytes.Buffer
		if err := picture.Write(&b); err != nil {
			t.Fatal(err)
		}
		checkSVG(t, b.String(), p.height())
	})
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Fatalf(string, ...any)
}

func checkSVG(t tester, svg string, height float64) {
	t.Helper()
	for _, wrong := range []string{`="NaN`, `="Inf`, " NaN", " +Inf"} {
		if strings.Contains(svg, wrong) {
			t.Fatalf("%s in:\n%s", wrong, svg)
		}
	}
	for dec := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			for _, a := range e.Attr {
				if a.Name.Local == "d" {
					checkPath(t, a.Value, height)
				}
			}
		}
	}
}

// checkPath wants every point within the plot. A path is made of M x y, L x y, H x, V y and Z.
func checkPath(t tester, d string, height float64) {
	t.Helper()
	for _, command := range commands(d) {
		limits := map[byte][]float64{'M': {plotUnits, height}, 'L': {plotUnits, height}, 'H': {plotUnits}, 'V': {height}, 'Z': {}}[command[0]]
		numbers := strings.Fields(command[1:])
		if limits == nil || len(numbers) != len(limits) {
			t.Fatalf("%q in path %s", command, d)
		}
		for i, text := range numbers {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || !(v >= 0 && v <= limits[i]+0.05) {
				t.Fatalf("%q leaves the plot of %v in path %s", command, limits, d)
			}
		}
	}
}

func commands(d string) (all []string) {
	for i, c := range d {
		if c >= 'A' && c <= 'Z' {
			all = append(all, "")
		}
		all[len(all)-1] += d[i : i+1]
	}
	return all
}

// A step line and its area go over the same corners.
func TestSteps(t *testing.T) {
	p := Panel{Span: Span{To: 100}, Scale: linear{top: 4, step: 1}, HeightPx: 40}
	values := func(v ...float64) []At {
		var all []At
		for i, v := range v {
			all = append(all, At{25 * float64(i), v, !math.IsNaN(v)})
		}
		return all
	}
	gap := math.NaN()
	for _, tc := range []struct {
		name, got, want string
	}{
		{"steps", p.lines(Line{Steps: true, Values: values(1, 1, 3, 3, 2)}), "M0 30H500V10H1000V20H1000"},
		{"a gap", p.lines(Line{Values: values(1, 2, gap, 4, 4)}), "M0 30L250 20M750 0L1000 0"},
		{"steps with a gap", p.lines(Line{Steps: true, Values: values(1, 2, gap, 4, 4)}), "M0 30H250V20H500M750 0H1000"},
		{"area to the bottom", p.areas(Area{Steps: true, High: values(1, 3, 3)}), "M0 30H250V10H500V40H0Z"},
		{"area between", p.areas(Area{Steps: true, Low: values(0, 1, 1), High: values(1, 3, 3)}), "M0 30H250V10H500H500V30H250V40H0Z"},
		{"area between lines", p.areas(Area{Low: values(0, 1), High: values(1, 3)}), "M0 30L250 10L250 30L0 40H0Z"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, tc.got, tc.want)
		}
	}
}

func TestTimeAxis(t *testing.T) {
	for _, tc := range []struct {
		to   float64
		want string
	}{
		{240, "0 0:30 1:00 1:30 2:00 2:30 3:00 3:30 4:00"},
		{3480, "0 5 min 10 min 15 min 20 min 25 min 30 min 35 min 40 min 45 min 50 min 55 min"},
		{4 * 3600, "0 0:30 h 1:00 h 1:30 h 2:00 h 2:30 h 3:00 h 3:30 h 4:00 h"},
		{86400, "0 2 h 4 h 6 h 8 h 10 h 12 h 14 h 16 h 18 h 20 h 22 h 24 h"},
		{20 * 86400, "0 2 d 4 d 6 d 8 d 10 d 12 d 14 d 16 d 18 d 20 d"},
	} {
		s := Span{To: tc.to}
		all, step := s.moments()
		var words []string
		for _, m := range all {
			words = append(words, s.clock(m, step))
		}
		if got := strings.Join(words, " "); got != tc.want {
			t.Errorf("%v s: %s, want %s", tc.to, got, tc.want)
		}
	}
}

// Every point of a plane can be read out, and names in the same place are moved apart.
func TestPlane(t *testing.T) {
	p := Plane{Name: "a", Says: "b", XName: "GPU-hours", HeightPx: 200, X: Linear(100), Y: Nines(0.9, 0.9999), XTick: Number, YTick: Share,
		YLimit: &Limit{Class: "objective", V: 0.99, Words: "99 %"},
		Points: []Point{
			{Name: "static", Says: "static: 99 %", X: 40, Y: 0.99}, {Name: "dynamo", Says: "dynamo: 99 %", X: 41, Y: 0.99, Trail: []XY{{30, 0.95}, {41, 0.99}}},
			{Class: "own", Name: "pdautoscaler", Says: "ours", X: 99, Y: 0.9999}}}
	svg := p.SVG("plane")
	checkSVG(t, svg, 200)
	for _, want := range []string{`aria-label="dynamo: 99 %"`, `class="point own" tabindex="0"`, `text-anchor="end">pdautoscaler`, `class="line trail "`} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is not in\n%s", want, svg)
		}
	}
	if h := p.nameHeights(200); math.Abs(h[0]-h[1]) < lineHeight {
		t.Errorf("names at %v and %v", h[0], h[1])
	}
}

// Of two points beside each other the left one has its name on the left: on the right it would cover the other.
func TestNamesCoverNoOtherPoint(t *testing.T) {
	p := Plane{HeightPx: 200, X: Between(20, 40), Y: Linear(1), Points: []Point{
		{Name: "tokenscale", X: 33.8, Y: 0.33}, {Name: "keda-queue", X: 34.6, Y: 0.31}, {Name: "far below", X: 34.2, Y: 0.05}, {Name: "at the left edge", X: 20.1, Y: 0.8}, {Name: "beside it", X: 21, Y: 0.8},
	}}
	for i, want := range []bool{true, false, false, false, false} {
		if got := p.leftOf(i); got != want {
			t.Errorf("the name of %s is on the left: %t, want %t", p.Points[i].Name, got, want)
		}
	}
}

// The words of bands that follow one another closely stand below each other, and none leaves the plot.
func TestBandWordsAreKeptApart(t *testing.T) {
	words := "2 GPUs to decode" // about 96 px
	p := Panel{Span: Span{To: 100}, Scale: Linear(1), HeightPx: 60, Bands: []Band{
		{Class: "move", From: 50, To: 55, Words: words}, {Class: "move", From: 57, To: 60, Words: words}, {Class: "move", From: 95, To: 100, Words: words},
	}}
	all := func(widthPx float64) string {
		var b strings.Builder
		p.writeBandWords(&b, widthPx)
		return b.String()
	}
	for _, tc := range []struct {
		widthPx float64
		want    []string
	}{
		{862, []string{`<text x="50%" dx="4" y="20" class="band-words move">`, `<text x="57%" dx="4" y="33" class="band-words move">`, `<text x="100%" dx="-4" y="20" class="band-words move" text-anchor="end">`}},
		{3000, []string{`x="50%" dx="4" y="20"`, `x="57%" dx="4" y="20"`, `x="95%" dx="4" y="20"`}},
	} {
		got := all(tc.widthPx)
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v px: %s is not in\n%s", tc.widthPx, want, got)
			}
		}
	}
	p.HeightPx = 20 // one row: what finds no place is left out
	if n := strings.Count(all(862), words); n != 2 {
		t.Errorf("%d texts in one row, want the first and the last", n)
	}
}

// A span with a time of day has round times of day as ticks, wherever its second 0 lies.
func TestTimesOfDay(t *testing.T) {
	zero := time.Date(2026, 3, 1, 23, 47, 12, 0, time.UTC)
	for _, tc := range []struct {
		span Span
		want []string
	}{
		{Span{To: 1500, Zero: zero}, []string{"23:50", "23:55", "00:00", "00:05", "00:10"}},
		{Span{From: 10, To: 50, Zero: zero}, []string{"23:47:25", "23:47:30", "23:47:35", "23:47:40", "23:47:45", "23:47:50", "23:47:55", "23:48:00"}},
		{Span{To: 5 * 86400, Zero: zero}, []string{"00:00", "12:00", "00:00", "12:00", "00:00", "12:00", "00:00", "12:00", "00:00", "12:00"}},
	} {
		at, step := tc.span.moments()
		var got []string
		for _, t := range at {
			got = append(got, tc.span.clock(t, step))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v has the ticks %q, want %q", tc.span, got, tc.want)
		}
	}
	if got := (Span{Zero: zero}).Moment(48.2); got != "23:48:00" {
		t.Errorf("48 s after 23:47:12 is %s", got)
	}
	if got := (Span{}).Moment(48.2); got != "0:48" {
		t.Errorf("second 48 is %s", got)
	}
}
