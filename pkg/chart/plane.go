package chart

import (
	"fmt"
	"math"
	"strings"
)

// Plane is points over two scales.
type Plane struct {
	Name, Says   string
	XName, YName string // what the axes are
	HeightPx     int    // of the plot
	X, Y         Scale
	XTick, YTick func(float64) string
	YLimit       *Limit
	Points       []Point
}

// Point is one named point. Trail is where it could have been, from left to right.
type Point struct {
	Class, Name string
	// Says is the point in words; it is shown and read out when the point has the focus.
	Says  string
	X, Y  float64
	Trail []XY
}

// XY is a place in a plane.
type XY struct{ X, Y float64 }

// narrowPlot is the width that names are kept apart for, in pixels, and letterPx that of a letter, smallLetterPx of one of the
// size that ticks and bands have.
const (
	narrowPlot    = 230.0
	letterPx      = 6.8
	pointPx       = 5.0  // radius of a point
	overhangPx    = 20.0 // how far a name may reach beyond the plot
	smallLetterPx = 6.0
)

// SVG draws the plane as wide as what holds it. Each point can have the focus.
func (p *Plane) SVG(id string) string {
	var b strings.Builder
	h := float64(p.HeightPx)
	fmt.Fprintf(&b, `<svg class="chart plane" role="group" aria-labelledby="%[1]s-title %[1]s-says" width="100%%" height="%[2]s"><title id="%[1]s-title">%[3]s</title><desc id="%[1]s-says">%[4]s</desc>`,
		escape(id), decimal(h+padTop+38), escape(p.Name), escape(p.Says))
	p.writeFrame(&b, h)
	fmt.Fprintf(&b, `<svg class="plot" y="%d" width="100%%" height="%s">`, padTop, decimal(h))
	for _, v := range p.X.Ticks() {
		fmt.Fprintf(&b, `<text x="%s%%" y="%s" class="tick" text-anchor="middle">%s</text>`, decimal(100*p.X.At(v)), decimal(h+16), escape(p.XTick(v)))
	}
	fmt.Fprintf(&b, `<text x="50%%" y="%s" class="tick" text-anchor="middle">%s</text>`, decimal(h+33), escape(p.XName))
	p.writePoints(&b, h)
	b.WriteString("</svg></svg>")
	return b.String()
}

// writeFrame draws grid, limit and trails, which stretch with the width.
func (p *Plane) writeFrame(b *strings.Builder, h float64) {
	fmt.Fprintf(b, `<svg class="plot" y="%d" width="100%%" height="%s" viewBox="0 0 %d %s" preserveAspectRatio="none">`, padTop, decimal(h), plotUnits, decimal(h))
	y := func(v float64) float64 { return h * (1 - p.Y.At(v)) }
	for _, v := range p.Y.Ticks() {
		fmt.Fprintf(b, `<path class="grid" d="M0 %sH%d"/>`, decimal(y(v)), plotUnits)
	}
	for _, v := range p.X.Ticks() {
		fmt.Fprintf(b, `<path class="grid" d="M%s 0V%s"/>`, decimal(plotUnits*p.X.At(v)), decimal(h))
	}
	if p.YLimit != nil {
		fmt.Fprintf(b, `<path class="limit %s" d="M0 %sH%d"/>`, p.YLimit.Class, decimal(y(p.YLimit.V)), plotUnits)
	}
	for _, point := range p.Points {
		var d path
		for i, t := range point.Trail {
			to := d.line
			if i == 0 {
				to = d.move
			}
			to(plotUnits*p.X.At(t.X), y(t.Y))
		}
		if d.b.Len() > 0 {
			fmt.Fprintf(b, `<path class="line trail %s" d="%s"/>`, point.Class, d.b.String())
		}
	}
	b.WriteString("</svg>")
	for _, v := range p.Y.Ticks() {
		fmt.Fprintf(b, `<text x="-7" y="%s" class="tick" text-anchor="end">%s</text>`, decimal(y(v)+padTop+4), escape(p.YTick(v)))
	}
	if p.YLimit != nil {
		fmt.Fprintf(b, `<text x="100%%" dx="7" y="%s" class="name %s">%s</text>`, decimal(y(p.YLimit.V)+padTop+4), p.YLimit.Class, escape(p.YLimit.Words))
	}
}

// writePoints draws the points and their names, each name at the side where there is room, moved apart in height.
func (p *Plane) writePoints(b *strings.Builder, h float64) {
	heights := p.nameHeights(h)
	for i, point := range p.Points {
		x, y := p.X.At(point.X), h*(1-p.Y.At(point.Y))
		anchor, dx := "start", 9
		if p.leftOf(i) {
			anchor, dx = "end", -9
		}
		fmt.Fprintf(b, `<g class="point %s" tabindex="0" role="img" aria-label="%s"><title>%s</title>`, point.Class, escape(point.Says), escape(point.Says))
		if point.Name != "" && math.Abs(heights[i]-y) > lineHeight {
			fmt.Fprintf(b, `<line x1="%[1]s%%" x2="%[1]s%%" y1="%[2]s" y2="%[3]s"/>`, decimal(100*x), decimal(y), decimal(heights[i]))
		}
		fmt.Fprintf(b, `<circle cx="%s%%" cy="%s" r="%d"/><text x="%s%%" dx="%d" y="%s" text-anchor="%s">%s</text></g>`,
			decimal(100*x), decimal(y), int(pointPx), decimal(100*x), dx, decimal(heights[i]+4), anchor, escape(point.Name))
	}
}

// leftOf says that a point's name is on its left: where it would not fit on its right, or would cover more of the other points there.
func (p *Plane) leftOf(i int) bool {
	point := &p.Points[i]
	x, wide := p.X.At(point.X)*narrowPlot, nameWidth(point.Name)
	if x+wide > narrowPlot+overhangPx {
		return true
	}
	return x-wide >= -overhangPx && p.covered(i, x-wide, x-6) < p.covered(i, x+6, x+wide)
}

// covered counts the other points that a name from one place to another covers, at the point's own height.
func (p *Plane) covered(i int, from, to float64) (n int) {
	at := func(j int) float64 { return float64(p.HeightPx) * (1 - p.Y.At(p.Points[j].Y)) }
	for j := range p.Points {
		x := p.X.At(p.Points[j].X) * narrowPlot
		if j != i && math.Abs(at(i)-at(j)) < lineHeight && from < x+pointPx && x-pointPx < to {
			n++
		}
	}
	return n
}

// nameWidth is how far a name reaches from the middle of its point.
func nameWidth(name string) float64 { return 9 + letterPx*float64(len(name)) }

// nameHeights moves the names apart that would cover each other in a narrow picture.
func (p *Plane) nameHeights(h float64) []float64 {
	heights := make([]float64, len(p.Points))
	done := make([]bool, len(p.Points))
	for i := range p.Points {
		if done[i] {
			continue
		}
		// Those whose names share a stretch of the width, directly or by way of others.
		group := []int{i}
		done[i] = true
		for k := 0; k < len(group); k++ {
			for j := range p.Points {
				if !done[j] && p.overlap(group[k], j) {
					done[j] = true
					group = append(group, j)
				}
			}
		}
		at := make([]float64, len(group))
		for k, j := range group {
			at[k] = h * (1 - p.Y.At(p.Points[j].Y))
		}
		for k, y := range spread(at, lineHeight, 2, h-2) {
			heights[group[k]] = y
		}
	}
	return heights
}

func (p *Plane) overlap(i, j int) bool {
	if p.Points[i].Name == "" || p.Points[j].Name == "" {
		return false
	}
	a0, a1 := p.extent(i)
	b0, b1 := p.extent(j)
	return a0 < b1 && b0 < a1
}

func (p *Plane) extent(i int) (from, to float64) {
	x, wide := p.X.At(p.Points[i].X)*narrowPlot, nameWidth(p.Points[i].Name)
	if p.leftOf(i) {
		return x - wide, x + 6
	}
	return x - 6, x + wide
}
