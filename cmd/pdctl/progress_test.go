package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/sim/scenario"
)

func TestProgressIsSaidAfterTwoSecondsAndTakenAway(t *testing.T) {
	const gone = "\r\x1b[K"
	clock := time.Unix(0, 0)
	var w bytes.Buffer
	p := newProgress(environment{stderr: io.Discard, now: func() time.Time { return clock }})
	p.w = &w
	at := func(ms int, of scenario.Progress) {
		clock = time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond)
		p.simulation(of)
	}
	day := func(played time.Duration) scenario.Progress {
		return scenario.Progress{Policy: "static", Played: played, Of: 24 * time.Hour}
	}
	at(0, day(0))
	at(1999, day(2*time.Hour))
	at(2000, day(3*time.Hour))
	at(2050, day(4*time.Hour)) // too soon after the last
	at(2100, scenario.Progress{Policy: "oracle", Settings: 7})
	clock = clock.Add(time.Second)
	p.sweep(3, 12)
	p.end()
	p.end()
	if diff := cmp.Diff(gone+"static: 12 %"+gone+"oracle: setting 7"+gone+"3 of 12 simulations"+gone, w.String()); diff != "" {
		t.Errorf("the terminal shows (-want +got):\n%s", diff)
	}
}

// Somebody who gives up waiting waits no longer, and is not told that a flag is wrong.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errors bytes.Buffer
	code := run(ctx, []string{"simulate", "-f", "-"}, environment{program: "pdctl", stdin: strings.NewReader(exampleScenario), stdout: &out, stderr: &errors, now: time.Now})
	if code != exitInterrupted || out.Len() > 0 || errors.String() != "pdctl simulate: interrupted\n" {
		t.Errorf("exit code %d, %q, %q: want %d, no result, and that it was interrupted", code, out.String(), errors.String(), exitInterrupted)
	}
}
