package planner

import (
	"strings"
	"testing"
	"time"
)

// TestReplicasThatCannotStart: which are given up, and what is remembered of it.
func TestReplicasThatCannotStart(t *testing.T) {
	late := func(in *Input, from, to int, seconds float64) {
		for i := from; i < to; i++ {
			r := &in.Snapshot.Prefill.Replicas[i]
			r.State, r.Since = Starting, in.before(seconds)
		}
	}
	for name, c := range map[string]struct {
		change func(*Input)
		to     int
		cap    Seconds // remembered afterwards
		says   string
	}{
		"none is late":               {func(in *Input) { late(in, 2, 4, 300) }, 4, 0, ""},
		"one is":                     {func(in *Input) { late(in, 3, 4, 301) }, 3, 300, "1 replica of prefill could not start within 5 min and was given up: it did not become ready"},
		"two are":                    {func(in *Input) { late(in, 2, 4, 301) }, 2, 300, "2 replicas of prefill could not start within 5 min and were given up"},
		"the scheduler says why":     {func(in *Input) { late(in, 3, 4, 301); in.Snapshot.Prefill.Replicas[3].Unschedulable = "no node fits" }, 3, 300, "given up: no node fits"},
		"one of two":                 {func(in *Input) { late(in, 2, 4, 301); in.Snapshot.Prefill.Replicas[3].Since = in.Now }, 4, 0, ""},
		"a ready one would go":       {func(in *Input) { late(in, 2, 3, 301) }, 4, 0, ""},
		"all are, and one must stay": {func(in *Input) { late(in, 0, 4, 301) }, 1, 300, ""},
		"all, at the minimum":        {func(in *Input) { late(in, 0, 4, 301); in.Spec.Prefill.Min = 4 }, 4, 0, ""},
		"since no one knows when":    {func(in *Input) { late(in, 3, 4, 301); in.Snapshot.Prefill.Replicas[3].Since = time.Time{} }, 4, 0, ""},
		"one is already leaving": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Snapshot.Prefill.Replicas = append(in.Snapshot.Prefill.Replicas, Replica{State: Terminating, GPUs: 2})
		}, 3, 300, ""},
		"more exist than are asked for": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Snapshot.Prefill.Replicas = append(in.Snapshot.Prefill.Replicas, Replica{State: Starting, Since: in.before(301), GPUs: 2})
		}, 4, 0, ""},
		"pods were never made": {func(in *Input) {
			in.Snapshot.Prefill.Replicas = in.Snapshot.Prefill.Replicas[:2]
			in.Memory.Prefill.LastUp, in.Memory.Prefill.MissingSince = in.before(301), in.before(301)
		}, 2, 300, "no pods were made"},
		"pods may still be made": {func(in *Input) {
			in.Snapshot.Prefill.Replicas = in.Snapshot.Prefill.Replicas[:2]
			in.Memory.Prefill.LastUp, in.Memory.Prefill.MissingSince = in.before(300), in.before(301)
		}, 4, 0, ""},
		"missing since a moment ago, asked for long ago": {func(in *Input) {
			in.Snapshot.Prefill.Replicas = in.Snapshot.Prefill.Replicas[:3]
			in.Memory.Prefill.LastUp = in.before(9000)
		}, 4, 0, ""},
		"missing for long": {func(in *Input) {
			in.Snapshot.Prefill.Replicas = in.Snapshot.Prefill.Replicas[:3]
			in.Memory.Prefill.MissingSince = in.before(301)
		}, 3, 300, "no pods were made"},
		"not missing for long enough": {func(in *Input) {
			in.Snapshot.Prefill.Replicas = in.Snapshot.Prefill.Replicas[:3]
			in.Memory.Prefill.MissingSince = in.before(300)
		}, 4, 0, ""},
		"deleted, and its successor waits until it is gone": {func(in *Input) {
			in.Snapshot.Prefill.Replicas[0].State = Terminating
			in.Memory.Prefill.MissingSince = in.before(9000)
		}, 4, 0, ""},
		"pods are made anew in a rollout": {func(in *Input) {
			in.Snapshot.Prefill.Replicas, in.Snapshot.Prefill.Rollout = in.Snapshot.Prefill.Replicas[:3], true
			in.Memory.Prefill.MissingSince = in.before(301)
		}, 4, 0, ""},
		"given up before": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Memory.Prefill.CapSeconds, in.Memory.Prefill.CappedAt = 400, 3
		}, 3, 800, ""},
		"given up often": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Memory.Prefill.CapSeconds, in.Memory.Prefill.CappedAt = 3000, 3
		}, 3, 3600, ""},
		"step by step":    {func(in *Input) { late(in, 2, 4, 301); in.Spec.Prefill.Down.MaxStep = 1 }, 3, 300, ""},
		"may not go down": {func(in *Input) { late(in, 3, 4, 301); in.Spec.Prefill.Down.Disabled = true }, 4, 0, ""},
		"whatever the demand": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Snapshot.Signals.RequestsPerSecond = Unknown("x")
		}, 3, 300, ""},
		"not in a move": {func(in *Input) {
			late(in, 3, 4, 301)
			in.Memory.Move = &Move{From: Decode, To: Prefill, DonorBefore: 2, DonorAfter: 1, ReceiverBefore: 3, ReceiverAfter: 4, Phase: StartingUp, StartedAt: in.Now, PhaseSince: in.Now}
		}, 4, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(testSpec(), have{4, 4}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 1, full: 0.85}.load())
			c.change(&in)
			d, m := Plan(in)
			if d.Prefill.To != c.to {
				t.Fatalf("prefill goes to %d, want %d: %s", d.Prefill.To, c.to, d.Prefill.Because)
			}
			r := m.Prefill
			if r.CapSeconds != c.cap && c.cap > 0 || c.cap > 0 && (r.CappedAt != c.to || !r.CappedUntil.Equal(in.Now.Add(c.cap.Duration()))) || c.cap == 0 && !r.CappedUntil.IsZero() {
				t.Errorf("capped at %d for %g s until %s, want %g s", r.CappedAt, r.CapSeconds, r.CappedUntil, c.cap)
			}
			said := false
			for _, n := range d.Notes {
				said = said || strings.Contains(n.Message, c.says)
			}
			if !said && c.says != "" {
				t.Errorf("no note says %q: %v", c.says, d.Notes)
			}
		})
	}
}

// TestCapEnds: a role that could not start replicas is asked for no more of them
// for a while, and its next cap is as long as its first once it could.
func TestCapEnds(t *testing.T) {
	for name, c := range map[string]struct {
		until float64 // seconds from now
		at    int
		to    int
		cap   Seconds
	}{
		"while it lasts":             {1, 2, 2, 600},
		"while it lasts, one higher": {1, 3, 3, 600},
		"lower than what is there":   {1, 1, 2, 600},
		"over":                       {0, 2, 4, 600},
		"over, and more are ready":   {0, 1, 4, 0},
	} {
		in := settled(testSpec(), have{2, 2}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 1, full: 0.85}.load())
		in.Memory.Prefill.CapSeconds, in.Memory.Prefill.CappedAt, in.Memory.Prefill.CappedUntil = 600, c.at, in.before(-c.until)
		d, m := Plan(in)
		if d.Prefill.To != c.to || m.Prefill.CapSeconds != c.cap {
			t.Errorf("%s: prefill goes to %d with a cap of %g s, want %d and %g: %s", name, d.Prefill.To, m.Prefill.CapSeconds, c.to, c.cap, d.Prefill.Because)
		}
		if capped := c.until > 0; capped != hasNote(d, ReasonGivenUp) || capped != (d.Prefill.Binding == ReasonGivenUp) {
			t.Errorf("%s: bound by %s, notes %v", name, d.Prefill.Binding, d.Notes)
		}
	}
}

// TestWhyARoleStays: each cause that keeps a role from going down by its name.
func TestWhyARoleStays(t *testing.T) {
	for want, change := range map[Reason]func(*Input){
		ReasonObjective: func(*Input) {},
		ReasonWindow:    func(in *Input) { in.Memory.Prefill.Needs[35].Replicas = 3 },
		ReasonWarmUp:    func(in *Input) { in.Memory.Since = in.before(119) },
		ReasonMinimum:   func(in *Input) { in.Spec.Prefill.Min = 3 },
		ReasonRollout:   func(in *Input) { in.Snapshot.Prefill.Rollout = true },
		ReasonBreach:    func(in *Input) { in.Memory.Prefill.QuietUntil = in.Now.Add(time.Second) },
		ReasonActivity:  func(in *Input) { in.Snapshot.Signals.PrefillTensorActive = in.fresh(0.9) },
		ReasonDisabled:  func(in *Input) { in.Spec.Prefill.Down.Disabled = true },
		ReasonHeld:      func(in *Input) { in.Snapshot.Prefill.Held = "a gate" },
		ReasonMaxStep:   func(in *Input) { in.Spec.Prefill.Down.MaxStep = 1 },
		ReasonPeriod:    func(in *Input) { in.Spec.Prefill.Down.PeriodSeconds, in.Memory.Prefill.LastDown = 60, in.before(59) },
		ReasonMaximum:   func(in *Input) { in.Spec.Prefill.Max = 2; in.Memory.Since = in.Now },
		ReasonSteady:    func(in *Input) { needed(in, Prefill, 3) },
		ReasonNotReady: func(in *Input) {
			in.Memory.Prefill.Needs[36].Replicas = 2
			for i := range 2 {
				in.Snapshot.Prefill.Replicas[i+1].State, in.Snapshot.Prefill.Replicas[i+1].Since = Starting, in.Now
			}
		},
		ReasonDemandUnknown: func(in *Input) { in.Snapshot.Signals.RequestsPerSecond = Unknown("x") },
	} {
		in := settled(testSpec(), have{3, 1}, have{1, 1}, aimed{rate: 6, prefill: 1, decode: 1, full: 0.85}.load())
		change(&in)
		d, _ := Plan(in)
		if d.Prefill.Binding != want {
			t.Errorf("prefill is bound by %s, want %s: %s", d.Prefill.Binding, want, d.Prefill.Because)
		}
		wantTo := map[Reason]int{ReasonObjective: 1, ReasonMaxStep: 2, ReasonMaximum: 2}[want]
		if wantTo == 0 {
			wantTo = 3
		}
		if d.Prefill.To != wantTo || d.Decode.To != 1 {
			t.Errorf("%s: %s, want prefill at %d", want, d.Summary, wantTo)
		}
		if steps := d.Prefill.Steps; wantTo == 3 && want != ReasonSteady && want != ReasonDemandUnknown && want != ReasonMinimum && (len(steps) == 0 || steps[len(steps)-1].After != 3 || steps[len(steps)-1].Before >= 3) {
			t.Errorf("%s: the last step is not one that keeps fewer from being asked for: %+v", want, steps)
		}
	}
}
