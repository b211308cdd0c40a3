package planner

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// drawState is a state that a drawn input may be in, and the least share of
// draws, per cent, that must be in it.
type drawState struct {
	name  string
	floor float64
	is    func(in *Input, d *Decision) bool
}

// drawStates are the states that the rules speak of. What is met in few draws
// is tested in few cases: each has a floor.
var drawStates = []drawState{
	{"rate and lengths fresh", 88, func(in *Input, _ *Decision) bool {
		s := &in.Snapshot.Signals
		fresh := func(r Reading) bool { return r.Ok() && in.Now.Sub(r.At) < 30*time.Second }
		return fresh(s.RequestsPerSecond) && fresh(s.InputTokens) && fresh(s.OutputTokens)
	}},
	{"demand of a role unknown", 1, func(_ *Input, d *Decision) bool { return !d.Prefill.Demand.Known || !d.Decode.Demand.Known }},
	{"confirmed zero", 4, func(in *Input, _ *Decision) bool { return in.Snapshot.Signals.RequestsPerSecond.State == StateZero }},
	{"a role goes up", 20, either(func(r *RoleDecision) bool { return r.To > r.From })},
	{"both roles go up", 2, func(_ *Input, d *Decision) bool { return d.Prefill.To > d.Prefill.From && d.Decode.To > d.Decode.From }},
	{"a role goes down", 5, either(func(r *RoleDecision) bool { return r.To < r.From })},
	{"one up and one down", 0.5, func(_ *Input, d *Decision) bool {
		return (d.Prefill.To-d.Prefill.From)*(d.Decode.To-d.Decode.From) < 0
	}},
	{"growth by 2 or more", 8, either(func(r *RoleDecision) bool { return r.To > r.From+1 })},
	{"the count is right", 8, func(_ *Input, d *Decision) bool {
		return d.Prefill.Binding == ReasonSteady || d.Decode.Binding == ReasonSteady
	}},
	{"held below the budget", 45, func(in *Input, d *Decision) bool { return d.GPUs.Budget > d.GPUs.Held }},
	{"budget just used up", 10, func(in *Input, d *Decision) bool { return d.GPUs.Budget > 0 && d.GPUs.Budget == d.GPUs.Held }},
	{"budget lowered below what is held", 5, note(ReasonOverBudget)},
	{"no budget", 5, func(in *Input, _ *Decision) bool { return in.Spec.BudgetGPUs == 0 }},
	{"under budget and a role goes up", 12, func(in *Input, d *Decision) bool {
		return d.GPUs.Budget > d.GPUs.Held && d.GPUs.Requested > 0
	}},
	{"budget does not hold what both want", 5, func(_ *Input, d *Decision) bool {
		return slices.ContainsFunc(d.Notes, func(n Note) bool { return n.Reason == ReasonCannotMeet && n.Role == "" })
	}},
	{"waits for free GPUs", 1, binding(ReasonFreeGPUs)},
	{"maximum step binds", 2, binding(ReasonMaxStep)},
	{"period binds", 2, binding(ReasonPeriod)},
	{"a direction is disabled", 2, binding(ReasonDisabled)},
	{"paused", 2, note(ReasonPaused)},
	{"another writer", 0.5, note(ReasonOtherWriter)},
	{"role missing", 0.5, note(ReasonRoleMissing)},
	{"target held", 0.5, binding(ReasonHeld)},
	{"rollout", 0.5, func(in *Input, _ *Decision) bool { return in.Snapshot.Prefill.Rollout || in.Snapshot.Decode.Rollout }},
	{"below the minimum", 2, pools(func(p *Pool, s *RoleSpec) bool { return p.Desired < s.Min })},
	{"above the maximum", 4, pools(func(p *Pool, s *RoleSpec) bool { return p.Desired > s.Max })},
	{"maximum does not hold the objective", 5, func(_ *Input, d *Decision) bool {
		return slices.ContainsFunc(d.Notes, func(n Note) bool { return n.Reason == ReasonCannotMeet && n.Role != "" })
	}},
	{"objective below any count's reach", 2, note(ReasonUnattainable)},
	{"empty memory", 8, func(in *Input, _ *Decision) bool { return in.Memory.Since.IsZero() }},
	{"less than a window since the start", 8, func(in *Input, _ *Decision) bool {
		return !in.Memory.Since.IsZero() && in.Now.Sub(in.Memory.Since) < in.Spec.Behavior.DownWindowSeconds.Duration()
	}},
	{"the window holds a role up", 4, binding(ReasonWindow)},
	{"warming up", 1, binding(ReasonWarmUp)},
	{"replicas start", 15, pools(func(p *Pool, _ *RoleSpec) bool { return p.count(Starting) > 0 })},
	{"replicas leave", 15, pools(func(p *Pool, _ *RoleSpec) bool { return p.count(Terminating) > 0 })},
	{"replicas without pods", 5, pools(func(p *Pool, _ *RoleSpec) bool { return p.count(Starting)+p.count(Ready) < p.Desired })},
	{"a replica is given up", 3, note(ReasonGivenUp)},
	{"a role waits for its replicas", 0.2, binding(ReasonNotReady)},
	{"observed latency misses", 10, func(in *Input, d *Decision) bool {
		return in.Snapshot.Signals.TTFTMs.surelyAbove(in.Spec.TTFT.Ms) || in.Snapshot.Signals.TPOTMs.surelyAbove(in.Spec.TPOT.Ms)
	}},
	{"a replica for a breach", 0.3, func(_ *Input, d *Decision) bool {
		return d.Prefill.Binding == ReasonBreach && d.Prefill.To > d.Prefill.From || d.Decode.Binding == ReasonBreach && d.Decode.To > d.Decode.From
	}},
	{"a breach holds a role up", 0.5, either(func(r *RoleDecision) bool { return r.Binding == ReasonBreach && r.To == r.From })},
	{"GPUs busier than modelled", 0.5, binding(ReasonActivity)},
	{"decode's back-pressure", 4, note(ReasonBackPressure)},
	{"a TTFT that decode alone takes", 1, func(_ *Input, d *Decision) bool {
		return slices.ContainsFunc(d.Notes, func(n Note) bool {
			return n.Reason == ReasonBackPressure && strings.Contains(n.Message, "than its own work needs")
		})
	}},
	{"a latency misses and nothing is left to serve", 0.2, func(in *Input, _ *Decision) bool {
		s := &in.Snapshot.Signals
		return s.RequestsPerSecond.State == StateZero && s.PrefillWaiting.State == StateZero && s.DecodeWaiting.State == StateZero &&
			(s.TTFTMs.surelyAbove(in.Spec.TTFT.Ms) || s.TPOTMs.surelyAbove(in.Spec.TPOT.Ms))
	}},
	{"a backlog adds to the demand", 15, func(_ *Input, d *Decision) bool { return d.Prefill.Demand.BacklogPerSecond > 0 }},
	{"sequences in flight say longer", 5, func(_ *Input, d *Decision) bool { return d.Decode.Demand.InFlightFactor > 1.01 }},
	{"forecast above the present", 3, func(_ *Input, d *Decision) bool {
		return d.Prefill.Demand.ForecastPerSecond > 1.01*d.Prefill.Demand.NowPerSecond
	}},
	{"a surge on top of the demand", 10, func(_ *Input, d *Decision) bool { return d.Prefill.Demand.SurgePerSecond > 0 }},
	{"headroom on top of the demand", 15, func(_ *Input, d *Decision) bool { return d.Prefill.Demand.HeadroomPerSecond > 0 }},
	{"a move begins", 0.6, func(in *Input, d *Decision) bool { return in.Memory.Move == nil && d.Move != nil }},
	{"a move is held", 1, note(ReasonMoveHeld)},
	{"a move drains", 2.5, moving(Draining)},
	{"a move starts its receiver", 3, moving(StartingUp)},
	{"a move returns", 2, moving(Returning)},
	{"a move goes to its next phase", 1.5, func(in *Input, d *Decision) bool {
		return in.Memory.Move != nil && d.Move != nil && d.Move.Phase != in.Memory.Move.Phase
	}},
	{"a move succeeds", 0.5, ended(MoveDone)},
	{"a move is given up", 1.5, ended(MoveGivenUp)},
	{"a move was turned back", 0.5, ended(MoveReturned)},
}

func either(is func(*RoleDecision) bool) func(*Input, *Decision) bool {
	return func(_ *Input, d *Decision) bool { return is(&d.Prefill) || is(&d.Decode) }
}

func binding(reason Reason) func(*Input, *Decision) bool {
	return either(func(r *RoleDecision) bool { return r.Binding == reason })
}

func note(reason Reason) func(*Input, *Decision) bool {
	return func(_ *Input, d *Decision) bool { return hasNote(*d, reason) }
}

func moving(phase MovePhase) func(*Input, *Decision) bool {
	return func(_ *Input, d *Decision) bool { return d.Move != nil && d.Move.Phase == phase }
}

func ended(phase MovePhase) func(*Input, *Decision) bool {
	return func(_ *Input, d *Decision) bool { return d.Ended != nil && d.Ended.Phase == phase }
}

func pools(is func(*Pool, *RoleSpec) bool) func(*Input, *Decision) bool {
	return func(in *Input, _ *Decision) bool {
		return is(&in.Snapshot.Prefill, &in.Spec.Prefill) || is(&in.Snapshot.Decode, &in.Spec.Decode)
	}
}

// TestDrawsReachEveryState keeps the property tests from testing less and less
// as the planner and its inputs change. With -v it prints the table.
func TestDrawsReachEveryState(t *testing.T) {
	const draws = 3000
	met := make([]int, len(drawStates))
	inputs := anyInput()
	for seed := range draws {
		in := inputs.Example(seed)
		d, _ := Plan(in)
		for i := range drawStates {
			if drawStates[i].is(&in, &d) {
				met[i]++
			}
		}
	}
	var table strings.Builder
	for i, s := range drawStates {
		share := 100 * float64(met[i]) / draws
		table.WriteString(sprintf("%-38s %5.1f %%  (at least %g %%)\n", s.name, share, s.floor))
		if share < s.floor {
			t.Errorf("%q is met in %.1f %% of draws, at least %g %% are needed", s.name, share, s.floor)
		}
	}
	t.Logf("%d draws\n%s", draws, table.String())
}
