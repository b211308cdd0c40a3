package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/chart"
)

// sheet is planes below each other as one SVG file that carries its own style.
type sheet struct {
	title, says, source string
	planes              []chart.Plane
}

const (
	sheetWidth = 760
	below      = 46 // of a plane: its ticks and the gap to the next
)

// style colours points and trails of a role, which package chart has in grey.
const style = `
svg .line.trail{stroke-opacity:.9}
svg .line.trail.own{stroke-width:2.25}
svg .line.trail.prefill{stroke:var(--prefill);stroke-opacity:1;stroke-width:2.25}
svg .line.trail.decode{stroke:var(--decode);stroke-opacity:1;stroke-width:2.25}
svg .point.prefill circle{stroke:var(--prefill)}
svg .point.decode circle{stroke:var(--decode)}
svg .point.prefill text{fill:var(--prefill)}
svg .point.decode text{fill:var(--decode)}
svg .point circle{r:3.5px}
svg .source{font-size:10px;fill:var(--soft)}
`

func (s sheet) write(b *bytes.Buffer) error {
	var body strings.Builder
	top := 44
	for i := range s.planes {
		p := &s.planes[i]
		fmt.Fprintf(&body, `<text x="%d" y="%d" class="heading">%s</text>`+"\n", chart.LeftPx, top+14, text(p.Name))
		// The plane of a page takes the page's width less its margins; here it takes the whole of what holds it.
		drawn := strings.Replace(p.SVG(fmt.Sprintf("plane%d", i)), `class="chart plane"`, `class="panel plane"`, 1)
		height := p.HeightPx + below
		fmt.Fprintf(&body, `<svg class="panel" x="%d" y="%d" width="%d" height="%d">%s</svg>`+"\n", chart.LeftPx, top+24, sheetWidth-2*chart.LeftPx, height, drawn)
		top += 24 + height
	}
	fmt.Fprintf(&body, `<text x="%d" y="%d" class="source">%s</text>`+"\n", chart.LeftPx, top+12, text(s.source))
	_, err := fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title says"><title id="title">%[3]s</title><desc id="says">%[4]s</desc>
<style>%[5]s%[6]s%[7]s</style>
<rect class="paper" width="%[1]d" height="%[2]d" rx="8"/><text x="%[8]d" y="28" class="title">%[3]s</text>
%[9]s</svg>
`, sheetWidth, top+28, text(s.title), text(s.says), strings.ReplaceAll(chart.Tokens, ":root", "svg"), chart.Rules, style, chart.LeftPx, body.String())
	return err
}

func text(words string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(words)) // into memory
	return b.String()
}

// logAxis goes from low to high by ratio, over a part of the width: the rest is
// room for the names at its right end.
type logAxis struct {
	low, high, room float64
	ticks           []float64
}

func (a logAxis) At(v float64) float64 {
	return 0.03 + (a.room-0.03)*math.Log(v/a.low)/math.Log(a.high/a.low)
}

func (a logAxis) Ticks() []float64 { return a.ticks }
