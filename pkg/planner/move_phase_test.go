package planner

import (
	"testing"
	"time"
)

// moved is a service in a move of two of prefill's four replicas to decode, in
// a phase since some seconds. Prefill needs one replica and has needed four of
// late; decode needs three.
func moved(phase MovePhase, since float64, prefill, decode []ReplicaState) Input {
	spec := testSpec()
	spec.BudgetGPUs = 10
	in := settled(spec, have{0, 4}, have{0, 3}, aimed{rate: 6, prefill: 1, decode: 3, full: 0.9}.load())
	for role, states := range map[Role][]ReplicaState{Prefill: prefill, Decode: decode} {
		pool := in.Snapshot.pool(role)
		for _, s := range states {
			pool.Replicas = append(pool.Replicas, Replica{State: s, Since: in.before(20), GPUs: 2})
			if s != Terminating {
				pool.Desired++
			}
		}
	}
	in.Memory.Move = &Move{From: Prefill, To: Decode, DonorBefore: 4, DonorAfter: 2, ReceiverBefore: 1, ReceiverAfter: 3, GPUs: 4,
		Phase: phase, StartedAt: in.before(since + 60), PhaseSince: in.before(since)}
	return in
}

// These are pools, by what their replicas do.
var (
	r1   = []ReplicaState{Ready}
	r2   = []ReplicaState{Ready, Ready}
	r3   = []ReplicaState{Ready, Ready, Ready}
	r4   = []ReplicaState{Ready, Ready, Ready, Ready}
	r2t2 = []ReplicaState{Ready, Ready, Terminating, Terminating}
	r2t1 = []ReplicaState{Ready, Ready, Terminating}
	r1s2 = []ReplicaState{Ready, Starting, Starting}
	r2s1 = []ReplicaState{Ready, Ready, Starting}
	r2s2 = []ReplicaState{Ready, Ready, Starting, Starting}
	r1t1 = []ReplicaState{Ready, Terminating}
	r1t2 = []ReplicaState{Ready, Terminating, Terminating}
)

// TestMovePhases walks through every edge of a move: what is seen, how long the
// phase has lasted, and the phase, the counts and the end that follow.
func TestMovePhases(t *testing.T) {
	for name, c := range map[string]struct {
		phase           MovePhase
		since           float64
		prefill, decode []ReplicaState
		change          func(*Input)
		want            MovePhase // or that with which it ended
		to              [2]int
	}{
		"recorded, nothing written":                     {Draining, 10, r4, r1, nil, Draining, [2]int{2, 1}},
		"the donor's pods leave":                        {Draining, 10, r2t2, r1, nil, Draining, [2]int{2, 1}},
		"one of them has left":                          {Draining, 10, r2t1, r1, nil, Draining, [2]int{2, 1}},
		"they hold on until the timeout":                {Draining, 120, r2t1, r1, nil, Draining, [2]int{2, 1}},
		"and past it":                                   {Draining, 121, r2t1, r1, nil, MoveGivenUp, [2]int{2, 2}},
		"not even asked for in time":                    {Draining, 121, r4, r1, nil, MoveGivenUp, [2]int{4, 1}},
		"they are gone":                                 {Draining, 10, r2, r1, nil, StartingUp, [2]int{2, 3}},
		"they are gone at the last moment":              {Draining, 121, r2, r1, nil, StartingUp, [2]int{2, 3}},
		"status says gone and a pod is left":            {Draining, 10, r2t1, r1, func(in *Input) { in.Snapshot.Prefill.Desired = 2 }, Draining, [2]int{2, 1}},
		"pods are gone and more are asked for":          {Draining, 10, r2, r1, func(in *Input) { in.Snapshot.Prefill.Desired = 3 }, Draining, [2]int{2, 1}},
		"fewer than planned are left":                   {Draining, 10, r1, r1, nil, StartingUp, [2]int{1, 3}},
		"the donor is out of reach":                     {Draining, 10, r2, r1, func(in *Input) { in.Snapshot.Prefill.Missing = "not found" }, Draining, [2]int{2, 1}},
		"the receiver is not asked yet":                 {StartingUp, 10, r2, r1, nil, StartingUp, [2]int{2, 3}},
		"the receiver starts":                           {StartingUp, 10, r2, r1s2, nil, StartingUp, [2]int{2, 3}},
		"one is ready":                                  {StartingUp, 10, r2, r2s1, nil, StartingUp, [2]int{2, 3}},
		"all are ready":                                 {StartingUp, 10, r2, r3, nil, MoveDone, [2]int{2, 3}},
		"all are ready, late":                           {StartingUp, 900, r2, r3, nil, MoveDone, [2]int{2, 3}},
		"the receiver is out of reach":                  {StartingUp, 10, r2, r3, func(in *Input) { in.Snapshot.Decode.Missing = "not found" }, StartingUp, [2]int{2, 3}},
		"its maximum was lowered to what it has":        {StartingUp, 10, r2, r2, func(in *Input) { in.Spec.Decode.Max = 2 }, MoveDone, [2]int{2, 2}},
		"they start until the timeout":                  {StartingUp, 200, r2, r1s2, nil, StartingUp, [2]int{2, 3}},
		"they start past the timeout":                   {StartingUp, 201, r2, r1s2, nil, Returning, [2]int{2, 1}},
		"one is ready and one past its time":            {StartingUp, 201, r2, r2s1, nil, Returning, [2]int{2, 2}},
		"never asked for in time":                       {StartingUp, 201, r2, r1, nil, MoveGivenUp, [2]int{2, 3}},
		"the new ones are given back":                   {Returning, 10, r2, r1s2, func(in *Input) { needed(in, Prefill, 4) }, Returning, [2]int{2, 1}},
		"they leave":                                    {Returning, 10, r2, r1t2, func(in *Input) { needed(in, Prefill, 4) }, Returning, [2]int{2, 1}},
		"they have left, and the donor needs its own":   {Returning, 10, r2, r1, func(in *Input) { needed(in, Prefill, 4) }, Returning, [2]int{4, 1}},
		"the donor needs none of them":                  {Returning, 10, r2, r1, nil, MoveReturned, [2]int{2, 3}},
		"its need is not known":                         {Returning, 10, r2, r1, func(in *Input) { in.Snapshot.Signals.RequestsPerSecond = Unknown("x") }, Returning, [2]int{4, 1}},
		"nor can the receiver use them, and asks still": {Returning, 10, r2, r1s2, nil, Returning, [2]int{2, 1}},
		"the budget leaves no room for the receiver":    {Draining, 10, r2, r1, func(in *Input) { in.Spec.BudgetGPUs = 6 }, MoveGivenUp, [2]int{2, 1}},
		"nor once the donor's pods are gone":            {StartingUp, 10, r2, r1, func(in *Input) { in.Spec.BudgetGPUs = 7 }, MoveGivenUp, [2]int{2, 1}},
		"it leaves room for one":                        {StartingUp, 10, r2, r1, func(in *Input) { in.Spec.BudgetGPUs = 8 }, StartingUp, [2]int{2, 2}},
		"and that one is ready":                         {StartingUp, 10, r2, r2, func(in *Input) { in.Spec.BudgetGPUs = 8 }, MoveDone, [2]int{2, 2}},
		"the donor was raised by hand":                  {StartingUp, 10, r4, r1, nil, MoveGivenUp, [2]int{4, 1}},
		"the donor has asked for its own":               {Returning, 10, r2s2, r1, func(in *Input) { needed(in, Prefill, 4) }, MoveReturned, [2]int{4, 1}},
		"the way back takes until its timeout":          {Returning, 320, r2, r1t2, func(in *Input) { needed(in, Prefill, 4) }, Returning, [2]int{2, 1}},
		"an unknown phase":                              {"Nonsense", 10, r2, r1, nil, MoveGivenUp, [2]int{2, 3}},
		"the budget is lowered":                         {Draining, 10, r4, r1, func(in *Input) { in.Spec.BudgetGPUs = 8 }, MoveGivenUp, [2]int{3, 1}},
		"a pod of the receiver is made anew":            {Draining, 10, r2t2, r1t1, func(in *Input) { in.Snapshot.Decode.Desired = 2 }, Draining, [2]int{2, 2}},
		"the budget is taken away":                      {Draining, 10, r2t2, r1, func(in *Input) { in.Spec.BudgetGPUs = 0 }, Draining, [2]int{2, 1}},
		"paused":                                        {StartingUp, 900, r2, r1s2, func(in *Input) { in.Spec.Paused = "x" }, StartingUp, [2]int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			in := moved(c.phase, c.since, c.prefill, c.decode)
			if c.change != nil {
				c.change(&in)
			}
			d, m := Plan(in)
			if got := [2]int{d.Prefill.To, d.Decode.To}; got != c.to {
				t.Errorf("written %v, want %v: %s", got, c.to, d.Summary)
			}
			over := c.want == MoveDone || c.want == MoveGivenUp || c.want == MoveReturned
			switch {
			case over && (d.Ended == nil || d.Ended.Phase != c.want || m.Move != nil || !d.Ended.PhaseSince.Equal(in.Now)):
				t.Fatalf("the move goes on as %+v, ended as %+v; want %s", m.Move, d.Ended, c.want)
			case !over && (m.Move == nil || m.Move.Phase != c.want || d.Ended != nil):
				t.Fatalf("the move goes on as %+v, ended as %+v; want %s", m.Move, d.Ended, c.want)
			case over && c.want == MoveDone && (!m.MoveNotBefore.IsZero() || hasNote(d, ReasonMoveBack)):
				t.Errorf("a success is followed by a pause until %s, notes %v", m.MoveNotBefore, d.Notes)
			case over && c.want != MoveDone && (!m.MoveNotBefore.Equal(in.Now.Add(120*time.Second)) || !hasNote(d, ReasonMoveBack)):
				t.Errorf("a failure is followed by a pause until %s, notes %v", m.MoveNotBefore, d.Notes)
			}
			if m.Move == nil {
				return
			}
			if since := in.Memory.Move.PhaseSince; c.want == c.phase && !m.Move.PhaseSince.Equal(since) || c.want != c.phase && !m.Move.PhaseSince.Equal(in.Now) {
				t.Errorf("in phase %s since %s", m.Move.Phase, m.Move.PhaseSince)
			}
		})
	}
}

// needed makes a role's traffic such that it needs so many replicas.
func needed(in *Input, role Role, n int) {
	aim := aimed{rate: 6, prefill: 1, decode: 1, full: 0.9}
	if role == Prefill {
		aim.prefill = n
	} else {
		aim.decode = n
	}
	l := aim.load()
	s := &in.Snapshot.Signals
	s.RequestsPerSecond, s.InputTokens, s.OutputTokens = in.fresh(l.rate), in.fresh(l.input), in.fresh(l.output)
}

func TestMoveThatIsTurnedBack(t *testing.T) {
	for name, c := range map[string]struct {
		decode      []ReplicaState
		change      func(*Input)
		keep, donor int // what the receiver keeps and the donor returns to
		cap         Seconds
	}{
		"none became ready":        {r1s2, nil, 1, 4, 200},
		"one did":                  {r2s1, nil, 2, 3, 200},
		"capped before":            {r1s2, func(in *Input) { in.Memory.Decode.CapSeconds = 500 }, 1, 4, 1000},
		"capped for the most":      {r1s2, func(in *Input) { in.Memory.Decode.CapSeconds = 3000 }, 1, 4, 3600},
		"a long cool-down":         {r1s2, func(in *Input) { in.Spec.Rebalance.CooldownSeconds = 900 }, 1, 4, 900},
		"the donor's are larger":   {r1s2, func(in *Input) { in.Snapshot.Prefill.GPUsPerReplica = 4; in.Spec.BudgetGPUs = 40 }, 1, 3, 200},
		"the donor's are smaller":  {r1s2, func(in *Input) { in.Snapshot.Prefill.GPUsPerReplica = 1 }, 1, 4, 200},
		"fewer than before remain": {[]ReplicaState{Starting, Starting, Starting}, nil, 1, 4, 200},
	} {
		t.Run(name, func(t *testing.T) {
			in := moved(StartingUp, 201, r2, c.decode)
			if c.change != nil {
				c.change(&in)
			}
			d, m := Plan(in)
			if m.Move == nil || m.Move.Phase != Returning || m.Move.ReceiverBefore != c.keep || m.Move.DonorBefore != c.donor || m.Move.Reason == "" {
				t.Fatalf("the move is %+v, ended %+v", m.Move, d.Ended)
			}
			if d.Decode.To != c.keep || d.Prefill.To != 2 {
				t.Errorf("written: %s", d.Summary)
			}
			r := m.Decode
			if r.CappedAt != c.keep || r.CapSeconds != c.cap || !r.CappedUntil.Equal(in.Now.Add(c.cap.Duration())) {
				t.Errorf("decode is capped at %d for %g s until %s, want %d and %g s", r.CappedAt, r.CapSeconds, r.CappedUntil, c.keep, c.cap)
			}
		})
	}
	// Where the receiver's count was lowered by hand below what it had, or the donor's GPUs are unknown, nothing is to be given back.
	for name, change := range map[string]func(*Input){
		"lowered by hand": func(in *Input) {
			in.Snapshot.Decode.Desired, in.Snapshot.Decode.Replicas = 1, in.Snapshot.Decode.Replicas[:1]
		},
		"GPUs not known": func(in *Input) { in.Snapshot.Prefill.GPUsPerReplica, in.Spec.Prefill.GPUsPerReplica = 0, 0 },
	} {
		in := moved(StartingUp, 201, r2, r1s2)
		change(&in)
		if d, m := Plan(in); m.Move != nil || d.Ended == nil || d.Ended.Phase != MoveGivenUp {
			t.Errorf("%s: the move is %+v, ended %+v", name, m.Move, d.Ended)
		}
	}
}

// TestWayBackEnds: the way back has both timeouts to end in.
func TestWayBackEnds(t *testing.T) {
	in := moved(Returning, 321, r2, r1t2)
	needed(&in, Prefill, 4)
	d, m := Plan(in)
	if m.Move != nil || d.Ended == nil || d.Ended.Phase != MoveGivenUp {
		t.Errorf("the move is %+v, ended %+v", m.Move, d.Ended)
	}
}

// TestMoveWhileRolesNeedMore: in a move a role's own growth goes on where the
// GPUs are free, and never takes what the other is to have first.
func TestMoveWhileRolesNeedMore(t *testing.T) {
	for name, c := range map[string]struct {
		phase           MovePhase
		prefill, decode []ReplicaState
		budget          int
		role            Role
		need            int
		want            [2]int
	}{
		"the receiver needs more than it gets":                 {StartingUp, r2, r1, 40, Decode, 5, [2]int{2, 5}},
		"and there is no more":                                 {StartingUp, r2, r1, 10, Decode, 5, [2]int{2, 3}},
		"the receiver waits though GPUs are free":              {Draining, r2t2, r1, 40, Decode, 5, [2]int{2, 1}},
		"the donor needs more and the receiver was asked":      {StartingUp, r2, r1s2, 40, Prefill, 5, [2]int{5, 3}},
		"and the receiver was not":                             {StartingUp, r2, r1, 40, Prefill, 5, [2]int{2, 3}},
		"the donor gives up what it promised":                  {Draining, r4, r1, 10, Prefill, 4, [2]int{2, 1}},
		"on the way back the donor waits though GPUs are free": {Returning, r2, r1t2, 40, Prefill, 5, [2]int{2, 1}},
		"and does not when they are gone":                      {Returning, r2, r1, 40, Prefill, 5, [2]int{5, 1}},
		"on the way back the receiver wants more":              {Returning, r2, r1s2, 40, Decode, 5, [2]int{2, 1}},
	} {
		in := moved(c.phase, 10, c.prefill, c.decode)
		in.Spec.BudgetGPUs = c.budget
		needed(&in, c.role, c.need)
		if c.phase == Returning && c.role == Decode {
			in.Snapshot.Signals.InputTokens = in.fresh(6000)
		}
		d, _ := Plan(in)
		if got := [2]int{d.Prefill.To, d.Decode.To}; got != c.want {
			t.Errorf("%s: written %v, want %v: %s", name, got, c.want, d.Summary)
		}
	}
}
