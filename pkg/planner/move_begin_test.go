package planner

import (
	"strings"
	"testing"
	"time"
)

// spare is a service whose budget is spent, whose prefill has two replicas more
// than it has needed of late and whose decode needs some more.
func spare() Input {
	spec := testSpec()
	spec.BudgetGPUs = 10
	spec.Behavior.DownWindowSeconds = 300
	in := settled(spec, have{4, 2}, have{1, 1}, aimed{rate: 6, prefill: 1, decode: 3, full: 0.95}.load())
	in.Memory.Prefill.Needs[5].Replicas = 4  // 350 s ago: not in the rebalance window
	in.Memory.Prefill.Needs[20].Replicas = 4 // 200 s ago: in the scale-down window
	return in
}

func TestMoveTakesWhatTheDonorHasNotNeeded(t *testing.T) {
	in := spare()
	d, m := Plan(in)
	if s := look(&in, &d, &m, Decode); s.need != 3 {
		t.Fatalf("decode needs %d replicas; these tests are for 3", s.need)
	}
	want := Move{From: Prefill, To: Decode, DonorBefore: 4, DonorAfter: 2, ReceiverBefore: 1, ReceiverAfter: 3, GPUs: 4, Phase: Draining, StartedAt: in.Now, PhaseSince: in.Now}
	if m.Move == nil {
		t.Fatalf("no move: %s %v", d.Summary, d.Notes)
	}
	got := *m.Move
	if got.Reason = ""; got != want || *d.Move != *m.Move {
		t.Errorf("the move is %+v, want %+v", got, want)
	}
	if d.Prefill.To != 2 || d.Decode.To != 1 || d.Prefill.Binding != ReasonMove || d.Decode.Binding != ReasonMove {
		t.Errorf("the first write is %s", d.Summary)
	}
	if r := m.Move.Reason; !strings.Contains(r, "decode needs 3 replicas") || !strings.Contains(r, "10 GPUs") {
		t.Errorf("the reason is %q", r)
	}
}

// TestMoveBegins: how much goes from whom, case by case. Counts are after the move.
func TestMoveBegins(t *testing.T) {
	type counts struct{ donor, receiver int }
	for name, c := range map[string]struct {
		change func(*Input)
		want   counts // none at all where no move begins
		held   string // part of why not
		down   int    // of the donor's replicas go on its own account, in no move
	}{
		"two replicas are freed and one fits": {func(in *Input) {
			in.Snapshot.FreeGPUsByNode = map[string]int{"a": 0, "b": 0}
			for i := range in.Snapshot.Prefill.Replicas {
				in.Snapshot.Prefill.Replicas[i].Node = "a"
			}
			in.Snapshot.Prefill.Replicas[3].Node, in.Snapshot.Decode.NotOn = "b", []string{"b"}
		}, counts{}, "lie on different nodes", 0},
		"two are freed and both fit": {func(in *Input) {
			in.Snapshot.FreeGPUsByNode = map[string]int{"a": 0, "b": 0}
			for i := range in.Snapshot.Prefill.Replicas {
				in.Snapshot.Prefill.Replicas[i].Node = "a"
			}
		}, counts{2, 3}, "", 0},
		"as much as is needed": {func(*Input) {}, counts{2, 3}, "", 0},
		"the donor's minimum":  {func(in *Input) { in.Spec.Prefill.Min = 3 }, counts{3, 2}, "", 0},
		"the donor has needed more of late": {func(in *Input) {
			in.Memory.Prefill.Needs[36].Replicas = 3 // 40 s ago
		}, counts{3, 2}, "", 0},
		"the donor's step":     {func(in *Input) { in.Spec.Prefill.Down.MaxStep = 1 }, counts{3, 2}, "", 0},
		"the receiver's step":  {func(in *Input) { in.Spec.Decode.Up.MaxStep = 1 }, counts{3, 2}, "", 0},
		"free GPUs count":      {func(in *Input) { in.Spec.BudgetGPUs = 12 }, counts{3, 3}, "", 0},
		"rebalancing is off":   {func(in *Input) { in.Spec.Rebalance.Enabled = false }, counts{}, "", 0},
		"cool-down":            {func(in *Input) { in.Memory.MoveNotBefore = in.Now.Add(time.Second) }, counts{}, "", 0},
		"cool-down is over":    {func(in *Input) { in.Memory.MoveNotBefore = in.Now }, counts{2, 3}, "", 0},
		"just started":         {func(in *Input) { in.Memory.Since = in.before(299) }, counts{}, "", 0},
		"started a window ago": {func(in *Input) { in.Memory.Since = in.before(300) }, counts{2, 3}, "", 0},
		"the donor's demand was not known for a while": {func(in *Input) {
			needs := in.Memory.Prefill.Needs
			in.Memory.Prefill.Needs = needs[:len(needs)-4]
		}, counts{}, "", 0},
		"the donor breaches":                          {func(in *Input) { in.Snapshot.Signals.TTFTMs = missed(in, 2001) }, counts{}, "", 0},
		"the donor did of late":                       {func(in *Input) { in.Memory.Prefill.QuietUntil = in.Now.Add(time.Second) }, counts{}, "", 0},
		"its GPUs are busy":                           {func(in *Input) { in.Snapshot.Signals.PrefillTensorActive = in.fresh(0.9) }, counts{}, "", 0},
		"the donor is rolled out":                     {func(in *Input) { in.Snapshot.Prefill.Rollout = true }, counts{}, "", 0},
		"the donor is held":                           {func(in *Input) { in.Snapshot.Prefill.Held = "a gate" }, counts{}, "", 0},
		"the receiver is rolled out":                  {func(in *Input) { in.Snapshot.Decode.Rollout = true }, counts{}, "rollout", 0},
		"the receiver is held up":                     {func(in *Input) { in.Snapshot.Decode.HeldUp = "a gang" }, counts{}, "", 0},
		"the donor is held up, which is of no matter": {func(in *Input) { in.Snapshot.Prefill.HeldUp = "a gang" }, counts{2, 3}, "", 0},
		"the receiver is held":                        {func(in *Input) { in.Snapshot.Decode.Held = "a gate" }, counts{}, "", 0},
		"the donor has another writer":                {func(in *Input) { in.Snapshot.Prefill.Writer = "an HPA" }, counts{}, "", 0},
		"the receiver has":                            {func(in *Input) { in.Snapshot.Decode.Writer = "an HPA" }, counts{}, "", 0},
		"the donor may not go down":                   {func(in *Input) { in.Spec.Prefill.Down.Disabled = true }, counts{}, "", 0},
		"the receiver may not grow":                   {func(in *Input) { in.Spec.Decode.Up.Disabled = true }, counts{}, "", 0},
		"the donor just went down": {func(in *Input) {
			in.Spec.Prefill.Down.PeriodSeconds, in.Memory.Prefill.LastDown = 60, in.before(59)
		}, counts{}, "less than 60 s ago", 0},
		"the donor went down a period ago": {func(in *Input) {
			in.Spec.Prefill.Down.PeriodSeconds, in.Memory.Prefill.LastDown = 60, in.before(60)
		}, counts{2, 3}, "", 0},
		"another kind of GPU":   {func(in *Input) { in.Snapshot.Decode.GPUType = "h100" }, counts{}, "h100", 0},
		"one kind is not known": {func(in *Input) { in.Snapshot.Decode.GPUType = "" }, counts{2, 3}, "", 0},
		"a donor's replica is not ready, and not needed": {func(in *Input) {
			in.Snapshot.Prefill.Replicas[3].State, in.Snapshot.Prefill.Replicas[3].Since = Starting, in.Now
		}, counts{2, 3}, "", 0},
		"three are not": {func(in *Input) {
			for i := 1; i < 4; i++ {
				in.Snapshot.Prefill.Replicas[i].State, in.Snapshot.Prefill.Replicas[i].Since = Starting, in.Now
			}
		}, counts{}, "", 0},
		"a receiver's replica takes two of the donor's": {func(in *Input) {
			in.Spec.Decode.GPUsPerReplica, in.Snapshot.Decode.GPUsPerReplica, in.Snapshot.Decode.Replicas[0].GPUs = 4, 4, 4
			in.Spec.BudgetGPUs = 12
		}, counts{2, 2}, "", 0},
		"and the donor may give but one": {func(in *Input) {
			in.Spec.Decode.GPUsPerReplica, in.Snapshot.Decode.GPUsPerReplica, in.Snapshot.Decode.Replicas[0].GPUs = 4, 4, 4
			in.Spec.BudgetGPUs, in.Spec.Prefill.Down.MaxStep = 12, 1
		}, counts{}, "would free 2 GPUs and a replica of decode takes 4", 0},
		"half of the donor's replica is enough": {func(in *Input) {
			in.Spec.Prefill.GPUsPerReplica, in.Snapshot.Prefill.GPUsPerReplica = 4, 4
			for i := range in.Snapshot.Prefill.Replicas {
				in.Snapshot.Prefill.Replicas[i].GPUs = 4
			}
			in.Spec.BudgetGPUs, in.Spec.Decode.Up.MaxStep = 18, 1
		}, counts{3, 2}, "", 0},
		"idle for a whole window, the donor goes down though nothing may move": {func(in *Input) {
			idle(in)
			in.Spec.Rebalance.Enabled = false
		}, counts{}, "rebalancing is off", 2},
		"or not yet": {func(in *Input) {
			idle(in)
			in.Memory.MoveNotBefore = in.Now.Add(time.Second)
		}, counts{}, "cool-down", 2},
		"or its place is of no use": {func(in *Input) {
			idle(in)
			in.Snapshot.Decode.GPUType = "h100"
		}, counts{}, "h100", 2},
		"idle, but it may not go down": {func(in *Input) {
			idle(in)
			in.Spec.Prefill.Down.Disabled = true
		}, counts{}, "scaling prefill down is disabled", 0},
		"idle, but held": {func(in *Input) {
			idle(in)
			in.Snapshot.Prefill.Held = "a gate"
		}, counts{}, "a gate", 0},
		"idle, and the receiver is rolled out": {func(in *Input) {
			idle(in)
			in.Snapshot.Decode.Rollout = true
		}, counts{}, "a rollout", 2},
		"idle, and just gone down": {func(in *Input) {
			idle(in)
			in.Spec.Prefill.Down.PeriodSeconds, in.Memory.Prefill.LastDown = 60, in.before(59)
		}, counts{}, "prefill went down less than 60 s ago", 0},
		"on its own account the donor goes further down": {func(in *Input) {
			idle(in)
			in.Spec.Decode.Up.MaxStep = 1
		}, counts{2, 2}, "", 0},
		"but by one step": {func(in *Input) {
			idle(in)
			in.Spec.Decode.Up.MaxStep, in.Spec.Prefill.Down.MaxStep = 1, 1
		}, counts{3, 2}, "", 0},
		"paused":         {func(in *Input) { in.Spec.Paused = "x" }, counts{}, "", 0},
		"no budget":      {func(in *Input) { in.Spec.BudgetGPUs = 0 }, counts{}, "", 0},
		"a large budget": {func(in *Input) { in.Spec.BudgetGPUs = 14 }, counts{}, "", 0},
		"over budget":    {func(in *Input) { in.Spec.BudgetGPUs = 9 }, counts{}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := spare()
			c.change(&in)
			d, m := Plan(in)
			if c.want == (counts{}) {
				if m.Move != nil {
					t.Fatalf("a move began: %+v", *m.Move)
				}
				if donor := max(c.want.donor, 4) - c.down; d.Prefill.To != donor && name != "over budget" {
					t.Errorf("the donor goes to %d in no move, want %d: %s", d.Prefill.To, donor, d.Summary)
				}
				said := false
				for _, n := range d.Notes {
					said = said || n.Reason == ReasonMoveHeld && strings.Contains(n.Message, c.held)
				}
				if c.held != "" && !said {
					t.Errorf("no note says %q: %v", c.held, d.Notes)
				}
				return
			}
			if m.Move == nil {
				t.Fatalf("no move: %s %v", d.Summary, d.Notes)
			}
			if got := (counts{m.Move.DonorAfter, m.Move.ReceiverAfter}); got != c.want || d.Prefill.To != c.want.donor || d.Decode.To != 1 && in.Spec.BudgetGPUs == 10 {
				t.Errorf("the move goes to %+v, want %+v; written: %s", got, c.want, d.Summary)
			}
			if gpus := (c.want.receiver - 1) * d.decodeGPUs(&in); m.Move.GPUs != gpus || m.Move.DonorBefore != 4 || m.Move.ReceiverBefore != 1 {
				t.Errorf("%+v, want %d GPUs", *m.Move, gpus)
			}
		})
	}
}

// idle lets the donor have needed two replicas only, over its whole window.
func idle(in *Input) { in.Memory.Prefill.Needs[20].Replicas = 2 }

func (*Decision) decodeGPUs(in *Input) int { return in.Snapshot.Decode.GPUsPerReplica }

// TestMoveForABetterPair: where both roles need more than there is, GPUs move
// only if that has made the worse objective better by the tolerance, and only
// after a whole rebalance window.
func TestMoveForABetterPair(t *testing.T) {
	// Prefill needs two of three, decode five and has one.
	base := func() Input {
		spec := testSpec()
		spec.BudgetGPUs = 8
		in := settled(spec, have{3, 3}, have{1, 1}, load{rate: 6, input: 2600, output: 1500})
		in.Memory.BetterSince = in.before(40)
		return in
	}
	in := base()
	d, m := Plan(in)
	if s := look(&in, &d, &m, Prefill); s.need < 2 || s.need > 3 {
		t.Fatalf("prefill needs %d; these tests are for 2 or 3", s.need)
	}
	if m.Move == nil || d.Prefill.To >= 3 || !hasNote(d, ReasonCannotMeet) {
		t.Fatalf("no move for a better pair: %s", d.Summary)
	}
	for name, c := range map[string]struct {
		change func(*Input)
		since  float64 // seconds ago, of what is remembered as better; -1 is nothing
	}{
		"better for less than a window": {func(in *Input) { in.Memory.BetterSince = in.before(39) }, 39},
		"better only now":               {func(in *Input) { in.Memory.BetterSince = time.Time{} }, 0},
		"not better by much":            {func(in *Input) { in.Spec.Behavior.Tolerance = 0.999999 }, -1},
		"the donor breaches":            {func(in *Input) { in.Snapshot.Signals.TTFTMs = missed(in, 9000) }, -1},
		"a donor's replica is not ready": {func(in *Input) {
			in.Snapshot.Prefill.Replicas[2].State, in.Snapshot.Prefill.Replicas[2].Since = Starting, in.Now
		}, -1},
		"the receiver may not grow":              {func(in *Input) { in.Spec.Decode.Up.Disabled = true }, -1},
		"the donor has no more than its minimum": {func(in *Input) { in.Spec.Prefill.Min = 3 }, -1},
		"rebalancing is off":                     {func(in *Input) { in.Spec.Rebalance.Enabled = false }, -1},
		"paused":                                 {func(in *Input) { in.Spec.Paused = "by hand" }, -1},
		"more is held than the budget": {func(in *Input) {
			in.Snapshot.Decode.Replicas = append(in.Snapshot.Decode.Replicas, Replica{State: Terminating, GPUs: 2})
		}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			in := base()
			c.change(&in)
			d, m := Plan(in)
			if m.Move != nil || d.Prefill.To != 3 {
				t.Fatalf("%s", d.Summary)
			}
			if c.since < 0 && !m.BetterSince.IsZero() || c.since >= 0 && !m.BetterSince.Equal(in.before(c.since)) {
				t.Errorf("better since %v, now is %v", m.BetterSince, in.Now)
			}
		})
	}
}

func TestFreedGPUsMustLieWhereAReplicaFits(t *testing.T) {
	type place struct {
		state ReplicaState
		node  string
	}
	for name, c := range map[string]struct {
		free   map[string]int
		donors []place
		give   int
		want   int
		known  bool
		notOn  []string
	}{
		"not where it may not run":         {map[string]int{"a": 4, "b": 0}, []place{{Ready, "a"}, {Ready, "a"}}, 2, 0, true, []string{"a"}},
		"nor on a node that is not listed": {map[string]int{"b": 4}, []place{{Ready, "a"}, {Ready, "a"}}, 2, 1, true, []string{"a"}},
		"nodes may not be read":            {nil, []place{{Ready, "a"}, {Ready, "a"}}, 2, 0, false, nil},
		"both on one node":                 {map[string]int{"a": 0}, []place{{Ready, "a"}, {Ready, "a"}}, 2, 1, true, nil},
		"on a node that has none to list":  {map[string]int{"b": 0}, []place{{Ready, "a"}, {Ready, "a"}}, 2, 1, true, nil},
		"on two nodes":                     {map[string]int{"a": 0, "b": 0}, []place{{Ready, "a"}, {Ready, "b"}}, 2, 0, true, nil},
		"what is free there counts":        {map[string]int{"a": 2, "b": 2}, []place{{Ready, "a"}, {Ready, "b"}}, 2, 2, true, nil},
		"what is free elsewhere counts":    {map[string]int{"c": 8}, []place{{Ready, "a"}, {Ready, "b"}}, 2, 2, true, nil},
		"only the last go":                 {map[string]int{"a": 0, "b": 2}, []place{{Ready, "b"}, {Ready, "a"}}, 1, 0, true, nil},
		"and the last is there":            {map[string]int{"a": 0, "b": 2}, []place{{Ready, "a"}, {Ready, "b"}}, 1, 1, true, nil},
		"leaving ones are not given":       {map[string]int{"a": 2}, []place{{Ready, "a"}, {Terminating, "b"}}, 1, 1, true, nil},
		"a ready one without a place":      {map[string]int{"a": 8}, []place{{Ready, ""}}, 1, 0, false, nil},
		"one that never had a place":       {map[string]int{"a": 2}, []place{{Starting, ""}, {Starting, ""}}, 2, 0, true, nil},
		"overcommitted nodes":              {map[string]int{"a": -2}, []place{{Ready, "a"}, {Ready, "a"}}, 2, 1, true, nil},
	} {
		in := settled(testSpec(), have{0, 0}, have{1, 1}, load{})
		in.Spec.Decode.GPUsPerReplica, in.Snapshot.Decode.GPUsPerReplica = 4, 4
		in.Snapshot.FreeGPUsByNode, in.Snapshot.Decode.NotOn = c.free, c.notOn
		for _, p := range c.donors {
			in.Snapshot.Prefill.Replicas = append(in.Snapshot.Prefill.Replicas, Replica{State: p.state, Node: p.node, GPUs: 2})
		}
		p := newRound(&in)
		if got, known := p.fitsOnNodes(&p.prefill, &p.decode, c.give); got != c.want || known != c.known {
			t.Errorf("%s: %d fit, known %v; want %d, %v", name, got, known, c.want, c.known)
		}
	}
}
