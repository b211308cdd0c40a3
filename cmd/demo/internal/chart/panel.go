package chart

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// picture collects the elements of an SVG.
type picture struct{ b strings.Builder }

func (p *picture) addf(format string, args ...any) { fmt.Fprintf(&p.b, "  "+format+"\n", args...) }

func (p *picture) text(x, y float64, class, anchor, words string) {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(words)) // into memory; characters that XML cannot hold are replaced
	p.addf(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escaped.String())
}

// panel is one diagram: a rectangle of the picture, its time axis and its scale.
type panel struct {
	*picture
	left, top, width, height float64
	seconds                  float64
	scale                    scale
}

func (p *panel) x(seconds float64) float64 { return p.left + p.width*seconds/p.seconds }
func (p *panel) y(v float64) float64       { return p.top + p.height*(1-p.scale.at(v)) }

// frame draws the name, the grid and the ticks.
func (p *panel) frame(name string, tick func(float64) string) {
	p.text(p.left, p.top-8, "name", "start", name)
	for _, v := range p.scale.ticks() {
		p.addf(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, p.left, p.y(v), p.left+p.width)
		p.text(p.left-8, p.y(v)+4, "tick", "end", tick(v))
	}
}

// at is a value at a time. A false one leaves a gap.
type at struct {
	seconds, v float64
	known      bool
}

// line joins values; steps keeps each until the next.
func (p *panel) line(class string, steps bool, values []at) {
	var d strings.Builder
	drawn := false
	for _, v := range values {
		switch {
		case !v.known:
			drawn = false
			continue
		case !drawn:
			fmt.Fprintf(&d, "M%.1f %.1f", p.x(v.seconds), p.y(v.v))
		case steps:
			fmt.Fprintf(&d, "H%.1fV%.1f", p.x(v.seconds), p.y(v.v))
		default:
			fmt.Fprintf(&d, "L%.1f %.1f", p.x(v.seconds), p.y(v.v))
		}
		drawn = true
	}
	if d.Len() > 0 {
		p.addf(`<path class="%s" d="%s"/>`, class, d.String())
	}
}

// area fills between two step lines over the same times.
func (p *panel) area(class string, low, high []at) {
	if len(low) == 0 {
		return
	}
	var d strings.Builder
	fmt.Fprintf(&d, "M%.1f %.1f", p.x(high[0].seconds), p.y(high[0].v))
	for _, v := range high[1:] {
		fmt.Fprintf(&d, "H%.1fV%.1f", p.x(v.seconds), p.y(v.v))
	}
	for _, v := range slices.Backward(low) {
		fmt.Fprintf(&d, "V%.1fH%.1f", p.y(v.v), p.x(v.seconds))
	}
	p.addf(`<path class="%s" d="%sZ"/>`, class, d.String())
}

// limit draws a horizontal line with its meaning at the right end.
func (p *panel) limit(class string, v float64, words string) {
	p.addf(`<path class="%s" d="M%.1f %.1fH%.1f"/>`, class, p.left, p.y(v), p.left+p.width)
	p.text(p.left+p.width+6, p.y(v)+4, class+"-text", "start", words)
}
