package load

import "math"

// Shape is the traffic asked for at one moment: what a ramp has come to.
type Shape struct {
	Phase             int
	RequestsPerSecond float64
	InputTokens       float64
	InputSCV          float64
	OutputTokens      float64
	OutputSCV         float64
	CachedShare       float64
}

// ShapeAt returns the traffic asked for at a time in seconds from the start of
// the load; after the end the rate is 0. The profile must be valid.
func (p *Profile) ShapeAt(atSeconds float64) Shape {
	start := 0.0
	for i := range p.Phases {
		ph := &p.Phases[i]
		if atSeconds < start+ph.DurationSeconds {
			return p.shapeIn(i, atSeconds-start)
		}
		start += ph.DurationSeconds
	}
	s := p.shapeIn(len(p.Phases)-1, math.Inf(1))
	s.RequestsPerSecond = 0
	return s
}

func (p *Profile) shapeIn(phase int, intoSeconds float64) Shape {
	to := &p.Phases[phase]
	from := *to
	from.RequestsPerSecond = 0 // the first phase ramps up from silence, with its own lengths
	if phase > 0 {
		from = p.Phases[phase-1]
	}
	w := 1.0
	if intoSeconds < to.RampSeconds {
		w = max(0, intoSeconds/to.RampSeconds)
	}
	mix := func(a, b float64) float64 { return a + (b-a)*w }
	return Shape{
		Phase:             phase,
		RequestsPerSecond: mix(from.RequestsPerSecond, to.RequestsPerSecond),
		InputTokens:       mix(from.InputTokens, to.InputTokens),
		InputSCV:          mix(from.InputSCV, to.InputSCV),
		OutputTokens:      mix(from.OutputTokens, to.OutputTokens),
		OutputSCV:         mix(from.OutputSCV, to.OutputSCV),
		CachedShare:       mix(from.CachedShare, to.CachedShare),
	}
}

// piece is a stretch of time over which the rate is linear.
type piece struct {
	start, length float64 // seconds
	rate, slope   float64 // requests/s at the start, and its change per second
	area          float64 // requests expected in the whole piece
}

func (p *Profile) pieces() []piece {
	var all []piece
	start, before := 0.0, 0.0
	add := func(length, from, to float64) {
		if length > 0 {
			all = append(all, piece{start: start, length: length, rate: from, slope: (to - from) / length, area: length * (from + to) / 2})
		}
		start += length
	}
	for i := range p.Phases {
		ph := &p.Phases[i]
		add(ph.RampSeconds, before, ph.RequestsPerSecond)
		add(ph.DurationSeconds-ph.RampSeconds, ph.RequestsPerSecond, ph.RequestsPerSecond)
		before = ph.RequestsPerSecond
	}
	return all
}

// after returns how long after the piece's start the given number of requests
// is expected; u must not exceed the area.
func (p *piece) after(u float64) float64 {
	// rate·t + slope·t²/2 = u, solved in the form that keeps its digits when
	// the slope is near 0.
	root := math.Sqrt(max(0, p.rate*p.rate+2*p.slope*u))
	if p.rate+root == 0 {
		return 0
	}
	return min(p.length, 2*u/(p.rate+root))
}
