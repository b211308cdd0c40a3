package signals

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// view is everything one collection knows, for the readings to be made from.
type view struct {
	cfg *Config
	now time.Time
	// listed are the pods that are targets now. gone are those that were within
	// the window: what they hold now is over, what they counted in the window still was.
	listed, gone []*pod
	queue        *queue
	queueErr     error
}

// of returns the pods of one kind.
func of(pods []*pod, kind Kind) []*pod {
	var out []*pod
	for _, p := range pods {
		if p.target.Kind == kind {
			out = append(out, p)
		}
	}
	return out
}

// hasFrontend reports whether demand and latency are read at frontends.
func (v *view) hasFrontend() bool {
	if readerOf(v.cfg.Engine, KindFrontend) == nil {
		return false
	}
	for _, p := range of(v.listed, KindFrontend) {
		// Where the engine is detected, a router with names of its own is none of
		// these frontends. One that did not answer may be.
		if v.cfg.Engine != EngineAuto || p.spoke || !p.answered || p.empty || len(p.points) > 0 && p.last(arrivals) != nil {
			return true
		}
	}
	return false
}

// silent counts the ready pods of a role that gave nothing in this collection.
func (v *view) silent(kind Kind) int {
	n := 0
	for _, p := range of(v.listed, kind) {
		if p.target.Ready && !p.spoke {
			n++
		}
	}
	return n
}

// fresh reports whether a sample of that time may still be used.
func (v *view) fresh(at time.Time) bool { return v.now.Sub(at) <= v.cfg.MaxAge }

// reading returns a value, which is a confirmed zero where it is 0.
func reading(value float64, at time.Time, source string) planner.Reading {
	if value == 0 {
		return planner.Zero(at, source)
	}
	return planner.Known(value, at, source)
}

// join returns notes as one text, each once.
func join(notes []string) string {
	var out []string
	for _, n := range notes {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return strings.Join(out, "; ")
}

// count returns "1 frontend pod", "3 decode pods".
func count(n int, kind Kind) string {
	if n == 1 {
		return fmt.Sprintf("1 %s pod", kind)
	}
	return fmt.Sprintf("%d %s pods", n, kind)
}

// cause returns why the pods of one kind gave no value of a quantity.
func (v *view) cause(kind Kind, what quantity) string {
	pods := of(v.listed, kind)
	if len(pods) == 0 {
		return fmt.Sprintf("there is no %s pod to read", kind)
	}
	for _, p := range pods {
		if p.err != "" {
			return fmt.Sprintf("no %s pod gave %s: %s", kind, what, p.err)
		}
	}
	for _, p := range pods {
		if len(p.notes) > 0 {
			return fmt.Sprintf("no %s pod gave %s: %s", kind, what, join(p.notes))
		}
	}
	return fmt.Sprintf("no %s pod exports %s", kind, what)
}

// older returns the earlier of two times, the zero time being none.
func older(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
