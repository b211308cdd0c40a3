package live

import (
	"fmt"
	"io"
	"strings"
)

// Screen redraws lines in place on a terminal.
type Screen struct {
	w     io.Writer
	drawn int // lines that the next drawing replaces
}

// NewScreen draws on a terminal from where its cursor is.
func NewScreen(w io.Writer) *Screen { return &Screen{w: w} }

// Draw replaces what was drawn last.
func (s *Screen) Draw(lines []string) {
	var b strings.Builder
	if s.drawn == 0 {
		b.WriteString("\x1b[?25l") // the cursor would flicker
	} else {
		fmt.Fprintf(&b, "\x1b[%dF", s.drawn)
	}
	for _, l := range lines {
		b.WriteString(l)
		b.WriteString("\x1b[K\n")
	}
	b.WriteString("\x1b[J") // what a taller drawing has left
	s.drawn = len(lines)
	_, _ = io.WriteString(s.w, b.String()) // a terminal that is gone has nobody to tell
}

// Close leaves the last drawing where it is and gives the cursor back.
func (s *Screen) Close() {
	if s.drawn > 0 {
		_, _ = io.WriteString(s.w, "\x1b[?25h")
		s.drawn = 0
	}
}
