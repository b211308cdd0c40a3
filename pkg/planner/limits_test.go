package planner

import (
	"testing"
)

// TestGrowingFirst: who gets what is free now, of two roles that both wait for it.
func TestGrowingFirst(t *testing.T) {
	in := settled(testSpec(), have{1, 1}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 2, full: 0.9}.load())
	for name, c := range map[string]struct {
		change func(*Input)
		want   Role
	}{
		"prefill misses more":         {func(*Input) {}, Prefill},
		"decode misses more":          {func(in *Input) { needed(in, Decode, 4) }, Decode},
		"decode is under its minimum": {func(in *Input) { in.Spec.Decode.Min = 2 }, Decode},
		"both are":                    {func(in *Input) { in.Spec.Prefill.Min, in.Spec.Decode.Min = 2, 2 }, Prefill},
		"decode is to have them by a move": {func(in *Input) {
			in.Spec.Prefill.Min = 2
			in.Memory.Move = &Move{From: Prefill, To: Decode, DonorBefore: 2, DonorAfter: 1, ReceiverBefore: 1, ReceiverAfter: 2, Phase: StartingUp, StartedAt: in.Now, PhaseSince: in.Now}
		}, Decode},
		"prefill gets its own back": {func(in *Input) {
			in.Spec.Decode.Min = 2
			in.Memory.Move = &Move{From: Prefill, To: Decode, DonorBefore: 2, DonorAfter: 1, ReceiverBefore: 1, ReceiverAfter: 2, Phase: Returning, StartedAt: in.Now, PhaseSince: in.Now}
		}, Prefill},
	} {
		t.Run(name, func(t *testing.T) {
			in := settled(in.Spec, have{1, 1}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 2, full: 0.9}.load())
			c.change(&in)
			p := newRound(&in)
			p.observe()
			p.sizeRoles()
			if got := p.growingFirst()[0].role; got != c.want {
				t.Errorf("%s grows first, want %s (ratios %g and %g)", got, c.want, p.prefill.shortfall(1), p.decode.shortfall(1))
			}
		})
	}
}

// TestFreeGPUsAreSharedOut: two roles grow in one decision, and what the first
// took is not there for the second.
func TestFreeGPUsAreSharedOut(t *testing.T) {
	for name, c := range map[string]struct {
		leaving int // GPUs of prefill's old replicas, which the budget of 20 will have again
		want    [2]int
	}{
		"all is free":                  {0, [2]int{4, 3}},
		"ten are":                      {6, [2]int{4, 3}},
		"eight are":                    {8, [2]int{4, 2}},
		"five are":                     {11, [2]int{3, 1}},
		"one is, and it is no replica": {15, [2]int{1, 1}},
	} {
		in := settled(testSpec(), have{1, 1}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 3, full: 0.9}.load())
		in.Spec.BudgetGPUs, in.Spec.Prefill.Min = 20, 4
		if c.leaving > 0 {
			in.Snapshot.Prefill.Replicas = append(in.Snapshot.Prefill.Replicas, Replica{State: Terminating, GPUs: c.leaving, Since: in.Now})
		}
		d, _ := Plan(in)
		if got := [2]int{d.Prefill.To, d.Decode.To}; got != c.want {
			t.Errorf("%s: %v, want %v: %s", name, got, c.want, d.Summary)
		}
		if asked := 2 * (c.want[0] + c.want[1] - 2); d.GPUs.Requested != asked || d.GPUs.Held != 4+c.leaving || d.GPUs.Budget != 20 {
			t.Errorf("%s: %+v, want %d requested", name, d.GPUs, asked)
		}
	}
}

// TestGPUsPerReplicaFallBackToTheSpec: what the workload shows counts, and the
// spec only where it shows nothing.
func TestGPUsPerReplicaFallBackToTheSpec(t *testing.T) {
	for name, c := range map[string]struct {
		shown, spec int
		held, to    int // prefill's, of a demand for 4 with 16 GPUs, where decode holds 2
	}{
		"shown":   {4, 2, 6, 3},
		"spec":    {0, 2, 4, 4},
		"neither": {0, 0, 4, 1},
	} {
		in := settled(testSpec(), have{1, 1}, have{1, 1}, aimed{rate: 6, prefill: 4, decode: 1, full: 0.9}.load())
		in.Spec.BudgetGPUs = 16
		in.Spec.Prefill.GPUsPerReplica, in.Snapshot.Prefill.GPUsPerReplica = c.spec, c.shown
		in.Snapshot.Prefill.Replicas[0].GPUs = max(c.shown, 2)
		d, _ := Plan(in)
		if d.GPUs.Held != c.held || d.Prefill.To != c.to {
			t.Errorf("%s: %d GPUs held, want %d; prefill goes to %d, want %d: %s", name, d.GPUs.Held, c.held, d.Prefill.To, c.to, d.Prefill.Because)
		}
		if unknown := c.shown+c.spec == 0; unknown != hasNote(d, ReasonGPUsUnknown) {
			t.Errorf("%s: notes %v", name, d.Notes)
		}
	}
	// A replica that was asked for and has no pod yet will take GPUs, those that leave still do.
	pool := Pool{Desired: 4, GPUsPerReplica: 2, Replicas: []Replica{{State: Ready, GPUs: 2}, {State: Starting, GPUs: 2}, {State: Terminating, GPUs: 1}}}
	if got := pool.HeldGPUs(); got != 9 {
		t.Errorf("%d GPUs are held, want 9", got)
	}
	pool.Desired = 1
	if got := pool.HeldGPUs(); got != 5 {
		t.Errorf("%d GPUs are held, want 5", got)
	}
}

// TestNotesSayWhatAPersonShouldKnow: each condition with the state that it is
// of, and not without it.
func TestNotesSayWhatAPersonShouldKnow(t *testing.T) {
	for reason, change := range map[Reason]func(*Input){
		ReasonOverBudget:     func(in *Input) { in.Spec.BudgetGPUs = 7 },
		ReasonBudgetBelowMin: func(in *Input) { in.Spec.Prefill.Min, in.Spec.Decode.Min = 3, 4 },
		ReasonSilentPods:     func(in *Input) { in.Snapshot.Signals.DecodeSilent = 1 },
		ReasonDemandUnknown:  func(in *Input) { in.Snapshot.Signals.RequestsPerSecond = Unknown("x") },
		ReasonUnattainable:   func(in *Input) { in.Spec.TTFT.Ms = 20 },
		ReasonCannotMeet:     func(in *Input) { needed(in, Prefill, 9) },
		ReasonPaused:         func(in *Input) { in.Spec.Paused = "x" },
		ReasonOtherWriter:    func(in *Input) { in.Snapshot.Decode.Writer = "an HPA" },
		ReasonRoleMissing:    func(in *Input) { in.Snapshot.Decode.Missing = "not found" },
		ReasonGPUsUnknown:    func(in *Input) { in.Snapshot.Decode.GPUsPerReplica, in.Spec.Decode.GPUsPerReplica = 0, 0 },
		ReasonHeld:           func(in *Input) { in.Snapshot.Prefill.Held = "x"; needed(in, Prefill, 4) },
		ReasonInvalidSpec:    func(in *Input) { in.Spec.Prefill.Max = 0 },
		ReasonGivenUp: func(in *Input) {
			in.Snapshot.Prefill.Replicas[1].State, in.Snapshot.Prefill.Replicas[1].Since = Starting, in.before(301)
		},
	} {
		base := func() Input {
			in := settled(testSpec(), have{2, 2}, have{2, 2}, aimed{rate: 6, prefill: 2, decode: 2, full: 0.8}.load())
			in.Spec.BudgetGPUs = 12
			return in
		}
		in := base()
		if d, _ := Plan(in); len(d.Notes) != 0 {
			t.Fatalf("in order: %v", d.Notes)
		}
		change(&in)
		d, _ := Plan(in)
		switch reason { // these are why a role is left alone
		case ReasonPaused, ReasonOtherWriter, ReasonRoleMissing, ReasonGPUsUnknown:
			if r := d.Decode; r.Binding != reason || r.To != r.From || r.Wanted != r.From {
				t.Errorf("decode is bound by %s, and %s", r.Binding, d.Summary)
			}
		}
		if reason == ReasonSilentPods && (len(d.Notes) != 1 || d.Notes[0].Role != Decode) {
			t.Errorf("decode's pods are silent: %v", d.Notes)
		}
		if !hasNote(d, reason) {
			t.Errorf("no note says %s: %v; %s", reason, d.Notes, d.Summary)
		}
		for i, n := range d.Notes {
			for _, other := range d.Notes[i+1:] {
				if n == other {
					t.Errorf("said twice: %+v", n)
				}
			}
			if n.Message == "" {
				t.Errorf("%s says nothing", n.Reason)
			}
		}
	}
}
