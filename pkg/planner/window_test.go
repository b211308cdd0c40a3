package planner

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWindowRemembersTheMost drives the window with decisions every second or
// every few, through outages, and holds it against all that it was told. It may
// look back one slice too far, never too little, and stays small.
func TestWindowRemembersTheMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.Behavior.DownWindowSeconds = pick(t, Seconds(120), 300, 60)
		spec.Rebalance.WindowSeconds = pick(t, Seconds(40), 400)
		spec.Behavior.IntervalSeconds = pick(t, Seconds(1), 5, 10)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		in := Input{Spec: spec, Now: epoch, Memory: Memory{Since: epoch}}
		type moment struct {
			at   time.Time
			need int
		}
		var told []moment
		for range 160 {
			step := spec.Behavior.IntervalSeconds.Duration()
			if rng.IntN(40) == 0 {
				step *= time.Duration(1 + rng.IntN(12))
			}
			in.Now = in.Now.Add(step)
			p := newRound(&in)
			r := &p.prefill
			if rng.IntN(60) != 0 || len(told) == 0 { // else the demand is unknown
				r.keep = rng.IntN(4) + 5*(rng.IntN(30)/29)
				p.rememberNeed(r)
				told = append(told, moment{in.Now, r.keep})
			}
			in.Memory = p.mem
			if n := len(r.mem.Needs); n > 5*windowSlices {
				t.Fatalf("%d slices are kept", n)
			}
			if rng.IntN(4) != 0 {
				continue
			}
			for _, window := range []Seconds{spec.Behavior.DownWindowSeconds, spec.Rebalance.WindowSeconds} {
				got, covered := p.neededOver(r, window)
				start := in.Now.Add(-window.Duration())
				slice := max(spec.Behavior.DownWindowSeconds, spec.Rebalance.WindowSeconds).Duration()/windowSlices + p.longestGap()
				least, most, gap, edge := 0, 0, false, false
				last := told[0].at
				for _, m := range told {
					if !m.at.Before(start) {
						least = max(least, m.need)
					}
					if !m.at.Before(start.Add(-slice)) {
						most = max(most, m.need)
						late := m.at.Sub(last) > p.longestGap()
						gap, edge = gap || late && m.at.After(start), edge || late && !m.at.After(start)
					}
					last = m.at
				}
				if got < least || got > most {
					t.Fatalf("%d were needed over %g s, it was told %d (%d with a slice more)", got, window, least, most)
				}
				gap = gap || in.Now.Sub(last) > p.longestGap()
				if want := !told[0].at.After(start) && !gap; covered && !want || want && !covered && !edge {
					t.Fatalf("%g s are covered: %v; told since %s, longest gap %s, a longer one: %v", window, covered, told[0].at, p.longestGap(), gap)
				}
			}
		}
	})
}

func TestLongestGap(t *testing.T) {
	for _, c := range []struct{ interval, window, want Seconds }{{10, 120, 30}, {10, 300, 30}, {10, 600, 60}, {1, 120, 12}} {
		in := settled(testSpec(), have{1, 1}, have{1, 1}, quiet)
		in.Spec.Behavior.IntervalSeconds, in.Spec.Behavior.DownWindowSeconds = c.interval, c.window
		if got := newRound(&in).longestGap(); got != c.want.Duration() {
			t.Errorf("every %g s over %g s: a gap of %s is none, want %g s", c.interval, c.window, got, c.want)
		}
	}
}

func TestReadingsHaveAnAge(t *testing.T) {
	now := epoch
	for name, c := range map[string]struct {
		r    Reading
		ok   bool
		want float64
	}{
		"known":                     {Known(3, now, "x"), true, 3},
		"as old as it may be":       {Known(3, now.Add(-time.Minute), "x"), true, 3},
		"older":                     {Known(3, now.Add(-time.Minute-1), "x"), false, 0},
		"of no time":                {Known(3, time.Time{}, "x"), true, 3},
		"from a clock that is fast": {Known(3, now.Add(time.Second), "x"), true, 3},
		"a zero":                    {Zero(now, "x"), true, 0},
		"an old zero":               {Zero(now.Add(-2*time.Minute), "x"), false, 0},
		"a zero with a value":       {Reading{State: StateZero, Value: 7, At: now}, true, 0},
		"unknown":                   {Unknown("x"), false, 0},
		"unknown with a value":      {Reading{State: StateUnknown, Value: 7, At: now}, false, 0},
		"no reading":                {Reading{}, false, 0},
		"negative":                  {Known(-1, now, "x"), false, 0},
		"known to be none":          {Known(0, now, "x"), true, 0},
	} {
		got := c.r.Fresh(now, 60)
		if got.Ok() != c.ok || got.Or(-5) != map[bool]float64{true: c.want, false: -5}[c.ok] {
			t.Errorf("%s: %+v", name, got)
		}
		if !c.ok && c.r.Ok() && got.Why == "" {
			t.Errorf("%s: nothing says why", name)
		}
	}
}
