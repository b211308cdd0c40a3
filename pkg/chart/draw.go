package chart

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	padTop    = 8 // so that what is drawn at the top is not cut
	padBottom = 4
	// bandWordsPx is between a band's edge and its words.
	bandWordsPx = 4.0
)

func escape(words string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(words)) // into memory; characters that XML cannot hold are replaced
	return b.String()
}

// SVG draws the panel without its name, with a plot as wide as what holds it leaves. The id must be the page's only one of its kind.
func (p *Panel) SVG(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" role="img" aria-labelledby="%[1]s-title %[1]s-says" width="100%%" height="%[2]s"><title id="%[1]s-title">%[3]s</title><desc id="%[1]s-says">%[4]s</desc>`,
		escape(id), decimal(p.height()+padTop+padBottom), escape(p.heading()), escape(p.Says))
	p.write(&b, narrowPlot)
	b.WriteString("</svg>")
	return b.String()
}

func (p *Panel) heading() string {
	if p.Unit == "" {
		return p.Name
	}
	return p.Name + ", " + p.Unit
}

// write draws the plot, as wide as the SVG element that it is in, and beside it what overflows that element.
// Words are kept apart for a plot of the given width.
func (p *Panel) write(b *strings.Builder, widthPx float64) {
	p.writePlot(b)
	p.writeTicks(b)
	p.writeNames(b)
	p.writeBandWords(b, widthPx)
}

func (p *Panel) writePlot(b *strings.Builder) {
	h := decimal(p.height())
	fmt.Fprintf(b, `<svg class="plot" y="%d" width="100%%" height="%s" viewBox="0 0 %d %s" preserveAspectRatio="none">`, padTop, h, plotUnits, h)
	drawn := func(class, d string) {
		if d != "" {
			fmt.Fprintf(b, `<path class="%s" d="%s"/>`, class, d)
		}
	}
	for _, band := range p.Bands {
		from, to := plotUnits*p.Span.share(band.From), plotUnits*p.Span.share(band.To)
		drawn("band "+band.Class, fmt.Sprintf("M%s 0H%sV%sH%sZ", decimal(from), decimal(to), h, decimal(from)))
	}
	for _, v := range p.Scale.Ticks() {
		drawn("grid", fmt.Sprintf("M0 %sH%d", decimal(p.y(v)), plotUnits))
	}
	for _, a := range p.Areas {
		drawn("area "+a.Class, p.areas(a))
	}
	for _, l := range p.Lines {
		drawn("line "+l.Class, p.lines(l))
	}
	for _, l := range p.Limits {
		drawn("limit "+l.Class, fmt.Sprintf("M0 %sH%d", decimal(p.y(l.V)), plotUnits))
	}
	b.WriteString("</svg>")
}

func (p *Panel) writeTicks(b *strings.Builder) {
	last := 1e9
	for _, v := range p.Scale.Ticks() {
		y := p.y(v)
		if last-y < lineHeight-1 {
			continue // no room for it in a low panel
		}
		last = y
		fmt.Fprintf(b, `<text x="-7" y="%s" class="tick" text-anchor="end">%s</text>`, decimal(y+padTop+4), escape(p.tick(v)))
	}
}

// writeNames writes labels and limits beside the plot, moved apart where they would cover each other.
func (p *Panel) writeNames(b *strings.Builder) {
	var all []Label
	for _, l := range p.Limits {
		if l.Words != "" {
			all = append(all, Label(l))
		}
	}
	all = append(all, p.Labels...)
	at := make([]float64, len(all))
	for i, l := range all {
		at[i] = p.y(l.V)
	}
	for i, y := range spread(at, lineHeight, 2, p.height()-2) {
		fmt.Fprintf(b, `<text x="100%%" dx="7" y="%s" class="name %s">%s</text>`, decimal(y+padTop+4), all[i].Class, escape(all[i].Words))
	}
}

// writeBandWords writes over each band what it is, lower where the words would cover those of a band before it in a plot of
// the given width. Where there is no room they are left out.
func (p *Panel) writeBandWords(b *strings.Builder, widthPx float64) {
	ends := make([]float64, max(1, int((p.height()-2)/lineHeight))) // of the words in each row, in pixels
	for i := range ends {
		ends[i] = math.Inf(-1)
	}
	for _, band := range p.Bands {
		if band.Words == "" {
			continue
		}
		share, wide := p.Span.share(band.From), smallLetterPx*float64(utf8.RuneCountInString(band.Words))
		from, anchor := share*widthPx+bandWordsPx, ""
		if from+wide > widthPx && wide < widthPx {
			share, from, anchor = 1, widthPx-wide-bandWordsPx, ` text-anchor="end"` // within the plot, not over its right end
		}
		row := slices.IndexFunc(ends, func(end float64) bool { return from >= end })
		if row < 0 {
			continue
		}
		ends[row] = from + wide + bandWordsPx
		dx := bandWordsPx
		if anchor != "" {
			dx = -dx
		}
		fmt.Fprintf(b, `<text x="%s%%" dx="%s" y="%s" class="band-words %s"%s>%s</text>`, decimal(100*share), decimal(dx), decimal(padTop+12+lineHeight*float64(row)), band.Class, anchor, escape(band.Words))
	}
}
