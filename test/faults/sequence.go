package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Demand is what arrives at a service: requests per second of a mean length in tokens.
type Demand struct{ RequestsPerSecond, InputTokens, OutputTokens float64 }

func (d Demand) String() string {
	return fmt.Sprintf("%.1f requests/s of %.0f + %.0f tokens", d.RequestsPerSecond, d.InputTokens, d.OutputTokens)
}

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	Killed        Kind = "controller killed"              // at its Nth write at a boundary from then, before or after it
	LeaderStops   Kind = "leader stops"                   // in good order; the other one takes over
	LeaderCutOff  Kind = "leader cut off"                 // from the API server, until its lease has run out
	NeverStarts   Kind = "new pods never start"           // of a role
	Stuck         Kind = "pods stuck Terminating"         // of a role
	NodeGone      Kind = "node gone"                      // the Nth, with its pods
	BudgetLowered Kind = "budget lowered"                 // to N GPUs
	Edited        Kind = "replicas edited by hand"        // of a role, to N
	RoleRecreated Kind = "role deleted and recreated"     // with N replicas
	AdapterAgain  Kind = "adapter deleted and made again" // of a role
	Silence       Kind = "metrics silent"
)

// drawn are the kinds by how often they are drawn: what hits the middle of a write or a move is drawn most.
var drawn = []Kind{
	Killed, Killed, Killed, Killed, LeaderStops, LeaderCutOff, NeverStarts, NeverStarts, Stuck, Stuck,
	NodeGone, BudgetLowered, BudgetLowered, Edited, Edited, RoleRecreated, AdapterAgain, AdapterAgain, Silence,
}

// toTheEnd is the steps of a fault that lasts until all stop.
const toTheEnd = 1000

// Fault is one fault. Which fields count is said at its kind.
type Fault struct {
	Kind  Kind
	Role  string
	N     int
	After bool
	// Boundary is where a controller is killed, empty for any write.
	Boundary Boundary
	// Steps is how many steps it lasts; those that are over at once have none.
	Steps int
}

func (f Fault) String() string {
	text := string(f.Kind)
	switch f.Kind {
	case Killed:
		when := "before"
		if f.After {
			when = "after"
		}
		return fmt.Sprintf("%s %s write %d %s", text, when, f.N, f.Boundary)
	case NeverStarts, Stuck, AdapterAgain:
		text += " (" + f.Role + ")"
	case NodeGone:
		text += fmt.Sprintf(" (node %d)", f.N)
	case BudgetLowered:
		text += fmt.Sprintf(" to %d GPUs", f.N)
	case Edited:
		return fmt.Sprintf("%s of %s: %d", text, f.Role, f.N)
	case RoleRecreated:
		text += fmt.Sprintf(" (%s, with %d replicas)", f.Role, f.N)
	case LeaderStops, LeaderCutOff, Silence:
	}
	switch {
	case f.Steps == toTheEnd:
		text += " to the end"
	case f.Steps > 0:
		text += fmt.Sprintf(" for %d steps", f.Steps)
	}
	return text
}

// Boundary is a kind of write of the controller.
type Boundary string

// The writes that a decision consists of.
const (
	AtAny       Boundary = ""
	AtStatus    Boundary = "of a status"    // an intent, or what a round was
	AtScale     Boundary = "of a count"     // of an adapter or of a role of the group
	AtFinalizer Boundary = "of a finalizer" // before the first write of a move or a drain, and after the last
)

// boundaries are those of faults, by how often they are drawn.
var boundaries = []Boundary{AtAny, AtStatus, AtStatus, AtScale, AtScale, AtFinalizer}

// Step is a wait, then a change of the demand, a fault, or both.
type Step struct {
	Wait   time.Duration
	Demand *Demand
	Fault  *Fault
}

// Sequence is all that happens to one service.
type Sequence struct {
	Seed uint64
	// Standby runs a second controller that takes the lease when the first loses it.
	Standby bool
	// Adapters scales through scaling adapters, else in the group itself.
	Adapters bool
	// SecondBinding is how long after it was bound an adapter is bound once more; what was written to its /scale in between is
	// lost. 0 is never.
	SecondBinding time.Duration
	// Drain marks replicas before they go.
	Drain bool
	// Prefill and Decode are the replicas at the start.
	Prefill, Decode int
	// ReadyAfter and GoneAfter are how long a pod takes to start and to end.
	ReadyAfter, GoneAfter time.Duration
	Start                 Demand
	Steps                 []Step
	// Final is the demand after the last step, FinalBudget the GPUs then, and Planned the counts that follow.
	Final       Demand
	FinalBudget int
	Planned     Counts
}

// Counts are the replicas of both roles.
type Counts struct{ Prefill, Decode int }

// Of returns the count of a role.
func (c Counts) Of(role string) int {
	if role == RolePrefill {
		return c.Prefill
	}
	return c.Decode
}

func (s *Sequence) String() string {
	var b strings.Builder
	path, controllers := "in the group", "one controller"
	if s.Adapters {
		path = "through adapters"
	}
	if s.Standby {
		controllers = "two controllers"
	}
	fmt.Fprintf(&b, "seed %d: %d + %d replicas scaled %s, %s", s.Seed, s.Prefill, s.Decode, path, controllers)
	if s.SecondBinding > 0 {
		fmt.Fprintf(&b, ", adapters bound again after %s", s.SecondBinding)
	}
	if s.Drain {
		b.WriteString(", drains")
	}
	fmt.Fprintf(&b, ", pods ready after %s and gone after %s; %s\n", s.ReadyAfter, s.GoneAfter, s.Start)
	for i, step := range s.Steps {
		fmt.Fprintf(&b, "  step %2d after %s:", i+1, step.Wait)
		if step.Demand != nil {
			fmt.Fprintf(&b, " %s;", step.Demand)
		}
		if step.Fault != nil {
			fmt.Fprintf(&b, " %s", step.Fault)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "  then %s within %d GPUs: %d + %d replicas", s.Final, s.FinalBudget, s.Planned.Prefill, s.Planned.Decode)
	return b.String()
}

// Draw makes the sequence of a seed. The planned function says at which counts a demand comes to rest within a budget,
// false where that depends on where it began.
func Draw(seed uint64, steps int, planned func(Demand, int) (Counts, bool)) Sequence {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	s := Sequence{
		Seed: seed, Standby: r.IntN(2) == 0, Adapters: r.IntN(4) > 0, Drain: r.IntN(4) == 0,
		Prefill: 1 + r.IntN(3), Decode: 1 + r.IntN(3),
		ReadyAfter: milliseconds(r, 200, 1000), GoneAfter: milliseconds(r, 200, 1500),
		Start: drawDemand(r), FinalBudget: Budget,
	}
	if s.Adapters && r.IntN(2) == 0 {
		s.SecondBinding = milliseconds(r, 300, 3000)
	}
	gone := false // no two nodes at a time
	for i := range steps {
		step := Step{Wait: milliseconds(r, 300, 2000)}
		if r.IntN(3) > 0 {
			step.Demand = new(drawDemand(r))
		}
		if i == 0 || r.IntN(4) > 0 {
			f := drawFault(r, &s)
			if f.Kind != NodeGone || !gone {
				step.Fault = &f
			}
			gone = gone || f.Kind == NodeGone
		}
		s.Steps = append(s.Steps, step)
	}
	if r.IntN(3) == 0 { // a budget that stays low
		s.FinalBudget = 6 + 2*r.IntN(3)
	}
	for {
		s.Final = drawDemand(r)
		if counts, ok := planned(s.Final, s.FinalBudget); ok {
			s.Planned = counts
			return s
		}
	}
}

func milliseconds(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+r.IntN(to-from+1)) * time.Millisecond
}

// drawDemand is a load that asks for prefill, for decode, for both, or for little.
func drawDemand(r *rand.Rand) Demand {
	between := func(from, to float64) float64 { return from + (to-from)*r.Float64() }
	switch r.IntN(6) {
	case 5:
		return Demand{between(5, 16), between(1000, 3000), between(300, 1000)}
	case 0, 1:
		return Demand{between(4, 24), between(1500, 4000), between(30, 150)}
	case 2, 3:
		return Demand{between(8, 50), between(100, 500), between(500, 1500)}
	}
	return Demand{between(0.2, 8), between(200, 3000), between(30, 600)}
}

func drawFault(r *rand.Rand, s *Sequence) Fault {
	f := Fault{Kind: drawn[r.IntN(len(drawn))], Role: []string{RolePrefill, RoleDecode}[r.IntN(2)]}
	if !s.Standby && (f.Kind == LeaderStops || f.Kind == LeaderCutOff) {
		f.Kind = Killed
	}
	if !s.Adapters && f.Kind == AdapterAgain {
		f.Kind = Edited
	}
	switch f.Kind {
	case Killed:
		f.Boundary, f.After = boundaries[r.IntN(len(boundaries))], r.IntN(2) == 0
		f.N = 1 + r.IntN(3)
		if f.Boundary == AtScale || f.Boundary == AtFinalizer {
			f.N = 1
		}
	case NeverStarts:
		if f.Steps = 1 + r.IntN(4); r.IntN(2) == 0 {
			f.Steps = toTheEnd
		}
	case Stuck, Silence:
		f.Steps = 1 + r.IntN(4)
	case NodeGone:
		f.N, f.Steps = r.IntN(2), 1+r.IntN(4)
	case BudgetLowered:
		f.N, f.Steps = 4+2*r.IntN(4), 1+r.IntN(5)
	case Edited:
		f.N = 1 + r.IntN(MaxReplicas)
	case RoleRecreated:
		f.N, f.Steps = 1+r.IntN(3), 1+r.IntN(2)
	case LeaderCutOff:
		f.Steps = 3
	case LeaderStops, AdapterAgain:
	}
	return f
}
