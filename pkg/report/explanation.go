package report

import (
	"cmp"
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Explanation is one decision as people want to know it. A number that is not known is nil.
type Explanation struct {
	// Service is NAMESPACE/NAME of the PDAutoscaler, empty for a record: that does not say.
	Service string    `json:"service,omitempty"`
	At      time.Time `json:"at,omitzero"`
	// Summary is the whole decision in one sentence.
	Summary string `json:"summary,omitempty"`
	// Roles are prefill and decode, in this order.
	Roles []RoleExplanation `json:"roles"`
	GPUs  GPUs              `json:"gpus"`
	// Move is the move of GPUs that is under way, Ended the one that this decision ended.
	Move  *Move `json:"move,omitempty"`
	Ended *Move `json:"ended,omitempty"`
	// Notes are the conditions that a person should know of, most important first.
	Notes []Note `json:"notes,omitempty"`
	// Sources are where the readings came from, Queries what a Prometheus is asked
	// for them in every interval. Only a status has them.
	Sources []Source `json:"sources,omitempty"`
	Queries []string `json:"queries,omitempty"`
	// Replay says whether the saved decision could be made again; nil where there was none to make again.
	Replay *Replay `json:"replay,omitempty"`
}

// RoleExplanation is one role's part of a decision.
type RoleExplanation struct {
	Role  planner.Role `json:"role"`
	From  int          `json:"from"`
	To    int          `json:"to"`
	Ready int          `json:"ready"`
	// Sentence is the decision for this role and its cause.
	Sentence string `json:"sentence"`
	// Binding is what bound the count, and BindingMeans the same in words.
	Binding      planner.Reason `json:"binding"`
	BindingMeans string         `json:"bindingMeans"`
	// Signal is the reading that bound it; nil where none did.
	Signal *Signal `json:"signal,omitempty"`
	// Steps are the counts that were tried, in order.
	Steps   []Step  `json:"steps,omitempty"`
	Latency Latency `json:"latency"`
	// Load is the share of the ready replicas' capacity that the demand takes.
	Load *float64 `json:"load,omitempty"`
	// ServesPerSecond is the rate of such requests at which one replica is fully loaded.
	ServesPerSecond *float64 `json:"servesPerSecond,omitempty"`
	// DemandPerSecond is the rate of requests that the role was sized for.
	DemandPerSecond *float64 `json:"demandPerSecond,omitempty"`
}

// Step is one count that was tried, and what became of it. Of a status only the sentence is known.
type Step struct {
	Reason planner.Reason `json:"reason,omitempty"`
	Before int            `json:"before,omitempty"`
	After  int            `json:"after,omitempty"`
	// Rejected is true where a limit took a wanted change back, in part or whole.
	Rejected bool   `json:"rejected,omitempty"`
	Sentence string `json:"sentence"`
}

// Latency is a role's latency at the percentile of its objective: TTFT for prefill, TPOT for decode.
type Latency struct {
	// Name is such as "p95 TTFT"; Percentile is 0..1.
	Name        string  `json:"name"`
	ObjectiveMs float64 `json:"objectiveMs"`
	// ObservedMs lies between LowMs and HighMs, the bounds of its histogram bucket (0 is no bound). ObservedWhy says why it is not known.
	ObservedMs  *float64 `json:"observedMs,omitempty"`
	LowMs       float64  `json:"lowMs,omitempty"`
	HighMs      float64  `json:"highMs,omitempty"`
	ObservedWhy string   `json:"observedWhy,omitempty"`
	// PredictedFromMs and PredictedToMs are the model's view of the counts before and after. OverloadedFrom and
	// OverloadedTo say that it sees no bound at all.
	PredictedFromMs *float64 `json:"predictedFromMs,omitempty"`
	PredictedToMs   *float64 `json:"predictedToMs,omitempty"`
	OverloadedFrom  bool     `json:"overloadedFrom,omitempty"`
	OverloadedTo    bool     `json:"overloadedTo,omitempty"`
}

// GPUs says how the budget stands.
type GPUs struct {
	Held      int `json:"held"`
	Requested int `json:"requested,omitempty"`
	// Budget 0 is none.
	Budget   int    `json:"budget,omitempty"`
	Sentence string `json:"sentence"`
}

// Move is a move of GPUs from one role to the other.
type Move struct {
	planner.Move
	Sentence string `json:"sentence"`
}

// Note is one thing that a person should know of.
type Note struct {
	Reason  string       `json:"reason"`
	Role    planner.Role `json:"role,omitempty"`
	Message string       `json:"message"`
}

// OfRecord explains a saved decision. It does not make it again: MakeAgain does.
func OfRecord(r planner.Record) Explanation {
	d := &r.Decision
	e := Explanation{At: d.At, Summary: sentence(d.Summary), Move: moveOf(d.Move, d.At), Ended: moveOf(d.Ended, d.At)}
	for _, role := range []planner.Role{planner.Prefill, planner.Decode} {
		e.Roles = append(e.Roles, roleOfRecord(&r, role))
	}
	e.GPUs = GPUs{Held: d.GPUs.Held, Requested: d.GPUs.Requested, Budget: d.GPUs.Budget}
	e.GPUs.Sentence = gpuSentence(e.GPUs)
	for _, n := range d.Notes {
		e.Notes = append(e.Notes, Note{Reason: string(n.Reason), Role: n.Role, Message: sentence(n.Message)})
	}
	return e
}

func roleOfRecord(r *planner.Record, role planner.Role) RoleExplanation {
	d, spec, signals := &r.Decision.Prefill, &r.Input.Spec, &r.Input.Snapshot.Signals
	objective, seen, name := spec.TTFT, signals.TTFTMs, "TTFT"
	if role == planner.Decode {
		d = &r.Decision.Decode
		objective, seen, name = spec.TPOT, signals.TPOTMs, "TPOT"
	}
	e := RoleExplanation{
		Role: role, From: d.From, To: d.To, Ready: d.Ready,
		Sentence: sentence(d.Because), Binding: d.Binding, BindingMeans: Meaning(d.Binding),
		Latency: Latency{Name: percentileText(objective.Quantile) + " " + name, ObjectiveMs: d.ObjectiveMs,
			PredictedFromMs: d.BeforeMs, PredictedToMs: d.AfterMs},
	}
	if d.Demand.Known {
		rate := d.Demand.RequestsPerSecond
		e.DemandPerSecond = &rate
		if d.Ready > 0 {
			load := d.Load
			e.Load = &load
		}
		if d.ServesPerSecond > 0 {
			serves := d.ServesPerSecond
			e.ServesPerSecond = &serves
		}
		e.Latency.OverloadedFrom = rate > 0 && d.From > 0 && d.BeforeMs == nil
		e.Latency.OverloadedTo = rate > 0 && d.To > 0 && d.AfterMs == nil
	}
	e.Latency.observe(seen, r.Input.Now, spec.Behavior.MaxAgeSeconds)
	e.Signal = signalOf(r, role, &e.Latency)
	for _, s := range d.Steps {
		e.Steps = append(e.Steps, StepOf(s, d.From))
	}
	return e
}

// observe takes over what the service's histogram says, or why it says nothing.
func (l *Latency) observe(q planner.Quantile, now time.Time, maxAge planner.Seconds) {
	reading := q.Fresh(now, maxAge)
	if !reading.Ok() {
		l.ObservedWhy = reading.Why
		if l.ObservedWhy == "" {
			l.ObservedWhy = "no request was measured"
		}
		return
	}
	ms := reading.Or(0)
	l.ObservedMs, l.LowMs, l.HighMs = &ms, q.LowMs, q.HighMs
}

// StepOf puts one step of the planner into words. A step that leads towards the count that is there already took a wanted
// change back; any other is what somebody or something wants.
func StepOf(s planner.Step, from int) Step {
	step := Step{Reason: s.Reason, Before: s.Before, After: s.After, Rejected: distance(s.After, from) < distance(s.Before, from)}
	why := cmp.Or(s.Detail, Meaning(s.Reason), string(s.Reason))
	switch {
	case step.Rejected && s.After == from:
		step.Sentence = fmt.Sprintf("Rejected %d: %s.", s.Before, why)
	case step.Rejected:
		step.Sentence = fmt.Sprintf("Cut to %d: %s.", s.After, why)
	case s.Before == s.After:
		step.Sentence = fmt.Sprintf("Kept %d: %s.", s.After, why)
	case s.Reason == planner.ReasonObjective || s.Reason == planner.ReasonBreach:
		step.Sentence = fmt.Sprintf("Tried %d: %s.", s.After, why)
	default:
		step.Sentence = fmt.Sprintf("Set to %d: %s.", s.After, why)
	}
	return step
}

func distance(a, b int) int { return max(a-b, b-a) }

// percentileText writes a quantile as "p95".
func percentileText(q float64) string { return "p" + digits(100*q, 4) }

func gpuSentence(g GPUs) string {
	held := fmt.Sprintf("%d GPUs are held", g.Held)
	if g.Held == 1 {
		held = "1 GPU is held"
	}
	if g.Budget > 0 {
		held += fmt.Sprintf(" of a budget of %d", g.Budget)
	} else {
		held += ", and there is no budget"
	}
	switch {
	case g.Requested > 0:
		held += fmt.Sprintf("; this decision asks for %d more", g.Requested)
	case g.Budget > 0 && g.Held > g.Budget:
		held += fmt.Sprintf(", which is %d too many", g.Held-g.Budget)
	}
	return held + "."
}

// moveOf puts a move into words, as it stands at the given moment.
func moveOf(m *planner.Move, at time.Time) *Move {
	if m == nil {
		return nil
	}
	counts := fmt.Sprintf("%s from %s to %s (%s %d -> %d, %s %d -> %d)", counted(m.GPUs, "GPU"), m.From, m.To,
		m.From, m.DonorBefore, m.DonorAfter, m.To, m.ReceiverBefore, m.ReceiverAfter)
	since := spanText(at.Sub(m.PhaseSince))
	var s string
	switch m.Phase {
	case planner.Draining:
		s = fmt.Sprintf("%s: for %s it has been waiting until the pods of %s let go of their GPUs", counts, since, m.From)
		if at.Sub(m.PhaseSince) <= 0 {
			s = fmt.Sprintf("%s: it begins now, and %s grows when the pods of %s have let go of their GPUs", counts, m.To, m.From)
		}
	case planner.StartingUp:
		s = fmt.Sprintf("%s: the GPUs are free, and for %s it has been waiting until %s is ready", counts, since, m.To)
		if at.Sub(m.PhaseSince) <= 0 {
			s = fmt.Sprintf("%s: the GPUs are free, and %s grows now", counts, m.To)
		}
	case planner.Returning:
		s = fmt.Sprintf("%s: it goes back, for %s so far", counts, since)
	case planner.MoveDone:
		s = fmt.Sprintf("%s is done after %s", counts, spanText(at.Sub(m.StartedAt)))
	case planner.MoveReturned:
		s = fmt.Sprintf("%s was taken back after %s", counts, spanText(at.Sub(m.StartedAt)))
	case planner.MoveGivenUp:
		s = fmt.Sprintf("%s was given up after %s", counts, spanText(at.Sub(m.StartedAt)))
	default:
		s = fmt.Sprintf("%s: %s", counts, m.Phase)
	}
	if m.Reason != "" {
		s += "; " + m.Reason
	}
	return &Move{Move: *m, Sentence: sentence(s)}
}
