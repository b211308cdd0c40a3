package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Span is a stretch of time in seconds: the x axis of panels.
type Span struct {
	From, To float64
	// Zero is the moment of second 0. Where it is set, moments are written as the time of day, in UTC, instead of as the
	// time since.
	Zero time.Time
}

// share is where a moment lies, 0 to 1.
func (s Span) share(seconds float64) float64 {
	if !(s.To > s.From) {
		return 0
	}
	return clip((seconds - s.From) / (s.To - s.From))
}

// moments are the ticks of a time axis: round times, of which narrow pictures show every other one.
func (s Span) moments() (all []float64, step float64) {
	const most = 12
	for _, step = range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400} {
		if (s.To-s.From)/step <= most {
			break
		}
	}
	for (s.To-s.From)/step > most {
		step *= 2
	}
	past := s.pastMidnight()
	for t := math.Ceil((s.From+past)/step)*step - past; t <= s.To+1e-9; t += step {
		all = append(all, t)
	}
	return all, step
}

// pastMidnight is how many seconds second 0 is after the last midnight, so that ticks are at round times of day.
func (s Span) pastMidnight() float64 {
	if s.Zero.IsZero() {
		return 0
	}
	const day = 24 * time.Hour
	return s.Zero.Sub(s.Zero.Truncate(day)).Seconds()
}

// at is the moment of a second.
func (s Span) at(seconds float64) time.Time {
	return s.Zero.UTC().Add(time.Duration(math.Round(seconds)) * time.Second)
}

// Moment writes a time to the second: the time of day where the span has one, else the time since its second 0.
func (s Span) Moment(seconds float64) string {
	if s.Zero.IsZero() {
		return Moment(seconds)
	}
	return s.at(seconds).Format(time.TimeOnly)
}

// clock writes a moment as a tick of the given step.
func (s Span) clock(t, step float64) string {
	whole := func(v float64, unit string) string { return strconv.FormatFloat(v, 'f', -1, 64) + unit }
	n := int(math.Round(t))
	switch {
	case !s.Zero.IsZero() && math.Mod(step, 86400) == 0:
		return s.at(t).Format("2 Jan")
	case !s.Zero.IsZero() && math.Mod(step, 60) == 0:
		return s.at(t).Format("15:04")
	case !s.Zero.IsZero():
		return s.at(t).Format(time.TimeOnly)
	case n == 0:
		return "0"
	case math.Mod(step, 86400) == 0:
		return whole(t/86400, " d")
	case math.Mod(step, 3600) == 0:
		return whole(t/3600, " h")
	case math.Mod(step, 60) == 0 && s.To <= 2*3600:
		return whole(t/60, " min")
	case math.Mod(step, 60) == 0:
		return fmt.Sprintf("%d:%02d h", n/3600, n/60%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// Moment writes a time to the second: 4:05, 1:04:05.
func Moment(seconds float64) string {
	n := int(math.Round(seconds))
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// Axis is the time below a column of panels.
type Axis struct{ Span Span }

const axisHeight = 18

// SVG draws the axis as wide as what holds it. It says nothing that the panels do not say, so it is hidden from screen readers.
func (a Axis) SVG() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart axis" aria-hidden="true" width="100%%" height="%d">`, axisHeight)
	a.write(&b)
	b.WriteString("</svg>")
	return b.String()
}

func (a Axis) write(b *strings.Builder) {
	all, step := a.Span.moments()
	for i, t := range all {
		class := "tick"
		if i%2 == 1 {
			class = "tick minor" // left out where there is no room
		}
		fmt.Fprintf(b, `<text x="%s%%" y="13" class="%s" text-anchor="middle">%s</text>`, decimal(100*a.Span.share(t)), class, a.Span.clock(t, step))
	}
}
