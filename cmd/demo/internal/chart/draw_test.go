package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Any run gives well-formed XML in which no coordinate is outside the picture or not a number.
func TestWriteAnyRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Run{
			Title: rapid.StringMatching(`[a-z<&"]*`).Draw(t, "title"), LengthSeconds: rapid.Float64Range(1, 1e4).Draw(t, "length"),
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
		for _, want := range []string{"budget ", "2 GPUs to", "&lt;quiet &amp; calm&gt;"} {
			if !strings.Contains(b.String(), want) {
				t.Fatalf("%s is not in the picture", want)
			}
		}
	})
}

// checkSVG wants well-formed XML without a coordinate that is no number.
func checkSVG(t *rapid.T, svg []byte) {
	if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("+Inf")) {
		t.Fatalf("not all coordinates are numbers:\n%s", svg)
	}
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}
