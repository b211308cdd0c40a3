package chart

import (
	"slices"
	"strconv"
	"strings"
)

// plotUnits is the width of a plot in its own coordinates; its height is in pixels.
const plotUnits = 1000

// decimal writes a coordinate to a tenth.
func decimal(v float64) string {
	text := strconv.FormatFloat(v, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0")
}

// path collects the commands of one path.
type path struct {
	b            strings.Builder
	lastX, lastY string
}

func (p *path) move(x, y float64) {
	p.lastX, p.lastY = decimal(x), decimal(y)
	p.b.WriteString("M" + p.lastX + " " + p.lastY)
}

func (p *path) line(x, y float64) {
	p.lastX, p.lastY = decimal(x), decimal(y)
	p.b.WriteString("L" + p.lastX + " " + p.lastY)
}

// step goes to x and then to y; a step without a change of y waits for the next.
func (p *path) step(x, y float64) {
	p.lastX = decimal(x)
	if to := decimal(y); to != p.lastY {
		p.b.WriteString("H" + p.lastX + "V" + to)
		p.lastY = to
	}
}

// stepBack goes to y and then back to x; without a change of y it waits for the next.
func (p *path) stepBack(x, y float64) {
	if to := decimal(y); to != p.lastY {
		p.b.WriteString("H" + p.lastX + "V" + to)
		p.lastY = to
	}
	p.lastX = decimal(x)
}

func (p *path) end() { p.b.WriteString("H" + p.lastX) }

func (p *Panel) at(v At) (x, y float64) { return plotUnits * p.Span.share(v.Seconds), p.y(v.V) }

// lines is the path of a line with gaps.
func (p *Panel) lines(l Line) string {
	var d path
	drawn := false
	for _, v := range l.Values {
		x, y := p.at(v)
		switch {
		case !v.Known:
			if drawn && l.Steps {
				d.lastX = decimal(x) // the last value holds up to here
				d.end()
			}
			drawn = false
			continue
		case !drawn:
			d.move(x, y)
		case l.Steps:
			d.step(x, y)
		default:
			d.line(x, y)
		}
		drawn = true
	}
	if drawn && l.Steps {
		d.end()
	}
	return d.b.String()
}

// areas are closed paths between two lines, one for each stretch that has no gap.
func (p *Panel) areas(a Area) string {
	var d path
	for from := 0; from < len(a.High); {
		if !p.filled(a, from) {
			from++
			continue
		}
		to := from
		for to < len(a.High) && p.filled(a, to) {
			to++
		}
		p.outline(&d, a, from, to)
		from = to
	}
	return d.b.String()
}

func (p *Panel) filled(a Area, i int) bool {
	return a.High[i].Known && (a.Low == nil || i < len(a.Low) && a.Low[i].Known)
}

// outline goes along the upper edge and back along the lower.
func (p *Panel) outline(d *path, a Area, from, to int) {
	forth, back := d.line, d.line
	if a.Steps {
		forth, back = d.step, d.stepBack
	}
	x, y := p.at(a.High[from])
	d.move(x, y)
	for _, v := range a.High[from+1 : to] {
		forth(p.at(v))
	}
	if a.Steps {
		d.end()
	}
	if a.Low == nil {
		d.b.WriteString("V" + decimal(p.height()))
		d.b.WriteString("H" + decimal(x) + "Z")
		return
	}
	for i, v := range slices.Backward(a.Low[from:to]) {
		if a.Steps && i == to-from-1 && i > 0 {
			continue // the last value holds for no time
		}
		back(p.at(v))
	}
	d.b.WriteString("H" + decimal(x) + "Z")
}
