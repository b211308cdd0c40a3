package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Any run gives well-formed XML in which no coordinate is outside the picture or not a number.
func TestWriteAnyRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Run{
			Title: rapid.String().Draw(t, "title"), LengthSeconds: rapid.Float64Range(1, 1e4).Draw(t, "length"),
			BudgetGPUs: rapid.IntRange(1, 1000).Draw(t, "budget"), FixedGPUs: rapid.IntRange(0, 2000).Draw(t, "fixed"),
			TTFT: Objective{rapid.Float64Range(1, 1e5).Draw(t, "ttft"), 95}, TPOT: Objective{rapid.Float64Range(0.1, 1e3).Draw(t, "tpot"), 95},
		}
		role := rapid.Custom(func(t *rapid.T) Role {
			n := rapid.IntRange(0, 500)
			return Role{Desired: n.Draw(t, "desired"), Ready: n.Draw(t, "ready"), GPUs: n.Draw(t, "gpus")}
		})
		latency := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0.01, 1e7))
		n := rapid.IntRange(0, 30).Draw(t, "points")
		for i := range n {
			r.Points = append(r.Points, Point{
				At: r.LengthSeconds * float64(i) / float64(n), Prefill: role.Draw(t, "prefill"), Decode: role.Draw(t, "decode"),
				PromptTokensPS: rapid.Float64Range(0, 1e7).Draw(t, "prompt"), OutputTokensPS: rapid.Float64Range(0, 1e7).Draw(t, "output"),
			})
			r.Latencies = append(r.Latencies, Latency{
				From: r.LengthSeconds * float64(i) / float64(n), To: r.LengthSeconds * float64(i+1) / float64(n),
				TTFTMs: latency.Draw(t, "ttftMs"), TPOTMs: latency.Draw(t, "tpotMs"),
			})
		}
		r.Acts = []Act{{"<quiet & calm>", 0, r.LengthSeconds / 4, r.LengthSeconds / 2}, {"surge", r.LengthSeconds / 2, r.LengthSeconds / 2, r.LengthSeconds}}
		r.Moves = []Move{{From: r.LengthSeconds / 3, Label: `2 GPUs to "decode"`}}
		var b bytes.Buffer
		if err := Write(&b, r); err != nil {
			t.Fatal(err)
		}
		checkSVG(t, b.Bytes())
	})
}

func checkSVG(t *rapid.T, svg []byte) {
	if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Fatalf("not all coordinates are numbers:\n%s", svg)
	}
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
			checkPath(t, e)
		}
	}
}

// checkPath wants every point inside the picture. A path is made of M x y, L x y, H x, V y, h and Z.
func checkPath(t *rapid.T, e xml.StartElement) {
	for _, a := range e.Attr {
		if a.Name.Local != "d" {
			continue
		}
		for _, c := range strings.FieldsFunc(a.Value, func(r rune) bool { return !strings.ContainsRune("-.0123456789", r) }) {
			if strings.HasPrefix(c, "-") {
				t.Fatalf("path %s is outside the picture", a.Value)
			}
		}
	}
}

func TestScalesHoldTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Float64Range(0, 1e9).Draw(t, "most")
		for _, s := range []scale{newLinear(most), whole(math.Ceil(most))} {
			if s.at(0) != 0 || s.at(most) > 1 {
				t.Fatalf("a scale for 0 to %v puts them at %v and %v", most, s.at(0), s.at(most))
			}
			if n := len(s.ticks()); n < 2 || n > 8 {
				t.Fatalf("a scale for 0 to %v has %d ticks", most, n)
			}
		}
		least := rapid.Float64Range(0.001, 1e5).Draw(t, "least")
		top := least * rapid.Float64Range(1, 1e6).Draw(t, "times")
		l := newLogarithmic(least, top)
		if l.low > least*1.000001 || l.high < top*0.999999 {
			t.Fatalf("a scale for %v to %v goes from %v to %v", least, top, l.low, l.high)
		}
		if n := len(l.ticks()); n < 1 || n > 12 {
			t.Fatalf("a scale for %v to %v has %d ticks", least, top, n)
		}
	})
}

func TestTicksAreRound(t *testing.T) {
	tests := map[string]struct {
		scale scale
		want  []float64
	}{
		"linear":            {newLinear(43), []float64{0, 20, 40, 60}},
		"gpus":              {whole(16), []float64{0, 4, 8, 12, 16}},
		"few replicas":      {whole(4), []float64{0, 1, 2, 3, 4}},
		"narrow latencies":  {newLogarithmic(12, 31), []float64{10, 20, 50}},
		"latencies, decade": {newLogarithmic(60, 9000), []float64{100, 1000, 10000}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := tc.scale.ticks()
			if len(got) != len(tc.want) {
				t.Fatalf("ticks %v, want %v", got, tc.want)
			}
			for i := range got {
				if math.Abs(got[i]-tc.want[i]) > 1e-6*tc.want[i] {
					t.Fatalf("ticks %v, want %v", got, tc.want)
				}
			}
		})
	}
}
