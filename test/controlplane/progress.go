package controlplane

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress tells a waiting person what is being done. A nil *Progress is silent.
type Progress struct {
	mu       sync.Mutex
	w        io.Writer
	start    time.Time
	terminal bool
	open     bool // the last line on the terminal may be overwritten
}

// NewProgress writes to w, with times counted from now. It returns nil, which is silent, where w is nil.
func NewProgress(w io.Writer) *Progress {
	if w == nil {
		return nil
	}
	p := &Progress{w: w, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

// Step writes one line that stays.
func (p *Progress) Step(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
	fmt.Fprintln(p.w)
	p.open = false
}

// Tick writes one line that the next one replaces. Where w is no terminal it is a line like any other: call it seldom there
// (see every).
func (p *Progress) Tick(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...))
	if p.terminal {
		p.open = true
		return
	}
	fmt.Fprintln(p.w)
}

func (p *Progress) line(s string) {
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%6.1fs  %s", time.Since(p.start).Seconds(), s)
}

// every is how often to Tick: often enough to look alive on a terminal, seldom enough not to fill a log.
func (p *Progress) every() time.Duration {
	if p != nil && p.terminal {
		return time.Second
	}
	return 15 * time.Second
}
