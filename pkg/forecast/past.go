package forecast

import "math"

// past is the samples that count, with running sums for the mean of any stretch of them and the line through it.
type past struct {
	horizon float64 // seconds
	points  []point
	sums    []sums // of the points before each point, and of all
	largest float64
}

// point is a sample x seconds from now, 0 or less.
type point struct{ x, y float64 }

type sums struct{ n, x, y, xx, xy float64 }

// add takes the next point in order of time.
func (p *past) add(x, y float64) {
	s := p.sums[len(p.points)]
	p.points = append(p.points, point{x, y})
	p.sums = append(p.sums, sums{s.n + 1, s.x + x, s.y + y, s.xx + x*x, s.xy + x*y})
	p.largest = max(p.largest, y)
}

// walk is a way of looking ahead on its walk through the past: first is the first point that it uses.
type walk struct {
	way
	first int
}

// from is what this way expects one horizon after the point at last. It is asked in order of time.
func (w *walk) from(p *past, last int) float64 {
	width := w.horizons * p.horizon
	for w.first < last && p.points[w.first].x < p.points[last].x-width {
		w.first++
	}
	a, b := &p.sums[w.first], &p.sums[last+1]
	n := b.n - a.n
	x, y := (b.x-a.x)/n, (b.y-a.y)/n
	if w.kind == mean {
		return y
	}
	spread := b.xx - a.xx - n*x*x
	if n < fewest || p.points[last].x-p.points[w.first].x < width/2 || !(spread > 0) {
		return p.points[last].y // too little was seen for a line
	}
	slope := (b.xy - a.xy - n*x*y) / spread
	expected := y + slope*(p.points[last].x-x)
	if w.kind == carried {
		expected = p.points[last].y
	}
	return min(max(expected+damping*slope*p.horizon, 0), mostGrowth*p.largest)
}

// ahead weighs what the ways expect by how well each would have done so far: at every point of the past each is asked, and
// compared with the point one horizon later. The weights change gradually, so that what is expected does not jump.
func (p *past) ahead() float64 {
	var walks [len(ways)]walk
	for k, w := range ways {
		walks[k].way = w
	}
	now, came := len(p.points)-1, 0
	var square [len(ways)]float64
	total := 0.0
	for i := range p.points {
		for came < now && p.points[came].x < p.points[i].x+p.horizon {
			came++
		}
		if p.points[came].x < p.points[i].x+p.horizon {
			break // what came after this point is not known yet
		}
		for k := range walks {
			e := p.points[came].y - walks[k].from(p, i)
			square[k] += e * e
			total += e * e
		}
	}
	if !(total > rounding*p.largest*p.largest) {
		return p.points[now].y // nothing to choose by, or nothing to choose from
	}
	expected, weights := 0.0, 0.0
	for k := range walks {
		weight := 1 / math.Pow(square[k]/total+least, sharpness)
		expected += weight * walks[k].from(p, now)
		weights += weight
	}
	return expected / weights
}
