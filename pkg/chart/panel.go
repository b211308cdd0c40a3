package chart

import "slices"

// The pixels left and right of every plot.
const (
	LeftPx  = 46
	RightPx = 92
)

// Panel is one diagram over time. Classes name colours and strokes; style.go has them.
type Panel struct {
	// Name says what is drawn, and Unit in what.
	Name, Unit string
	// Says is the picture in words, for those who do not see it.
	Says     string
	HeightPx int // of the plot; 84 by default
	Span     Span
	Scale    Scale
	// Tick writes the ticks; Number by default.
	Tick   func(float64) string
	Bands  []Band
	Areas  []Area
	Lines  []Line
	Limits []Limit
	Labels []Label
}

// At is a value at a time. One that is not Known leaves a gap.
type At struct {
	Seconds, V float64
	Known      bool
}

// Series makes values of two lists of equal length. What is not a number leaves a gap.
func Series(seconds, values []float64) []At {
	all := make([]At, len(seconds))
	for i := range seconds {
		all[i] = At{seconds[i], values[i], values[i] == values[i]}
	}
	return all
}

// Line joins values; one with Steps keeps each until the next.
type Line struct {
	Class  string
	Steps  bool
	Values []At
}

// Area fills from Low to High, which have the same times; nil Low is the bottom. One with Steps keeps each value until the next.
type Area struct {
	Class     string
	Steps     bool
	Low, High []At
}

// Limit is a horizontal line with its meaning at its right end.
type Limit struct {
	Class string
	V     float64
	Words string
}

// Band is a stretch of time that stands out, behind everything else.
type Band struct {
	Class    string
	From, To float64 // seconds
	Words    string  // over it; may be empty
}

// Label is a name beside the plot, at the height of what it names.
type Label struct {
	Class string
	V     float64
	Words string
}

// Last is the last known value, 0 of none: where to put the name of a line.
func Last(values []At) float64 {
	for _, v := range slices.Backward(values) {
		if v.Known {
			return v.V
		}
	}
	return 0
}

// Most is the largest known value of some series, 0 of none.
func Most(series ...[]At) float64 {
	most := 0.0
	for _, s := range series {
		for _, v := range s {
			if v.Known {
				most = max(most, v.V)
			}
		}
	}
	return most
}

const defaultHeight = 84

func (p *Panel) height() float64 {
	if p.HeightPx <= 0 {
		return defaultHeight
	}
	return float64(p.HeightPx)
}

func (p *Panel) y(v float64) float64 { return p.height() * (1 - p.Scale.At(v)) }

func (p *Panel) tick(v float64) string {
	if p.Tick == nil {
		return Number(v)
	}
	return p.Tick(v)
}
