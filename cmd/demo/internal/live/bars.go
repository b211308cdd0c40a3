package live

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// A colour is the number of an ANSI colour; none leaves the text as it is.
type colour int

const (
	none    colour = 0
	bold    colour = 1
	dim     colour = 2
	red     colour = 31
	green   colour = 32
	yellow  colour = 33
	blue    colour = 34
	magenta colour = 35
	cyan    colour = 36
)

var roleColours = [2]colour{blue, magenta}

// line is a line of text that knows its own width, colours not counted.
type line struct {
	text  strings.Builder
	width int
	most  int // columns; what is beyond them is left out
	plain bool
}

// add appends text as far as there is room.
func (l *line) add(c colour, text string) *line {
	room := l.most - l.width
	if room <= 0 {
		return l
	}
	if n := utf8.RuneCountInString(text); n > room {
		text = string([]rune(text)[:room-1]) + "…"
	}
	l.width += utf8.RuneCountInString(text)
	if l.plain || c == none || text == "" {
		l.text.WriteString(text)
	} else {
		fmt.Fprintf(&l.text, "\x1b[%dm%s\x1b[0m", c, text)
	}
	return l
}

func (l *line) addf(c colour, format string, args ...any) *line {
	return l.add(c, fmt.Sprintf(format, args...))
}

// pad fills up with blanks to a column.
func (l *line) pad(column int) *line {
	if n := min(column, l.most) - l.width; n > 0 {
		l.add(none, strings.Repeat(" ", n))
	}
	return l
}

// bar draws a share of width columns; over 1 it is full.
func (l *line) bar(c colour, share float64, width int) *line {
	full := int(math.Round(min(max(share, 0), 1) * float64(width)))
	return l.add(c, strings.Repeat("█", full)).add(dim, strings.Repeat("░", width-full))
}

// byShare is green well inside a limit, yellow near it and red beyond.
func byShare(share float64) colour {
	switch {
	case share > 1:
		return red
	case share > 0.85:
		return yellow
	}
	return green
}

// dots shows replicas one by one: ready, starting, terminating.
func (l *line) dots(c colour, r Role) *line {
	l.add(c, strings.Repeat("●", r.Ready))
	l.add(c, strings.Repeat("◐", r.Starting))
	return l.add(dim, strings.Repeat("○", r.Terminating))
}

// milliseconds writes a latency with three digits.
func milliseconds(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}
