package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

// progressLine says on a terminal how far something is, on one line that is gone in the end. What is over within two
// seconds says nothing.
type progressLine struct {
	w     io.Writer // nil where nobody watches
	now   func() time.Time
	next  time.Time // when the line is written again
	shown bool
}

// How long a person waits without a word, and how often the line changes then.
const (
	patience = 2 * time.Second
	refresh  = 100 * time.Millisecond
)

func newProgress(env environment) *progressLine {
	p := &progressLine{now: env.now, next: env.now().Add(patience)}
	if file, ok := env.stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.w = file
	}
	return p
}

// say writes the line anew, where it is time for it. Callers take turns.
func (p *progressLine) say(format string, args ...any) {
	if p.w == nil {
		return
	}
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(refresh), true
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// end takes the line away.
func (p *progressLine) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func (p *progressLine) sweep(done, of int) { p.say("%d of %d simulations", done, of) }

func (p *progressLine) simulation(s scenario.Progress) {
	if s.Of == 0 {
		p.say("%s: setting %d", s.Policy, s.Settings)
		return
	}
	p.say("%s: %.0f %%", s.Policy, 100*s.Played.Seconds()/s.Of.Seconds())
}
