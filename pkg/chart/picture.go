package chart

import (
	"fmt"
	"io"
	"strings"
)

// Picture is panels below each other over one time axis, as one SVG file that carries its own style.
type Picture struct {
	Title   string
	Says    string
	WidthPx int // 1000 by default
	Panels  []Panel
}

const (
	pictureWidth = 1000
	nameHeight   = 22
	panelGap     = 12
)

// Write draws the picture.
func (p *Picture) Write(w io.Writer) error {
	width := float64(p.WidthPx)
	if p.WidthPx <= 0 {
		width = pictureWidth
	}
	var b strings.Builder
	top := 44.0
	for i := range p.Panels {
		panel := &p.Panels[i]
		fmt.Fprintf(&b, `<text x="%d" y="%s" class="heading">%s<tspan class="unit" dx="7">%s</tspan></text>`, LeftPx, decimal(top+14), escape(panel.Name), escape(panel.Unit))
		height := panel.height() + padTop + padBottom
		fmt.Fprintf(&b, `<svg class="panel" x="%d" y="%s" width="%s" height="%s">`, LeftPx, decimal(top+nameHeight), decimal(width-LeftPx-RightPx), decimal(height))
		panel.write(&b, width-LeftPx-RightPx)
		b.WriteString("</svg>\n")
		top += nameHeight + height + panelGap
	}
	if len(p.Panels) > 0 {
		fmt.Fprintf(&b, `<svg class="panel" x="%d" y="%s" width="%s" height="%d">`, LeftPx, decimal(top-panelGap), decimal(width-LeftPx-RightPx), axisHeight)
		Axis{p.Panels[0].Span}.write(&b)
		b.WriteString("</svg>\n")
		top += axisHeight
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]s %[2]s" width="%[1]s" height="%[2]s" role="img" aria-labelledby="title says"><title id="title">%[3]s</title><desc id="says">%[4]s</desc>
<style>%[5]s</style>
<rect class="paper" width="%[1]s" height="%[2]s" rx="8"/><text x="%[6]d" y="28" class="title">%[3]s</text>
%[7]s</svg>
`, decimal(width), decimal(top+8), escape(p.Title), escape(p.Says), "svg{"+lightTokens+"}\n@media (prefers-color-scheme: dark){svg{"+darkTokens+"}}\n"+Rules, LeftPx, b.String())
	return err
}
