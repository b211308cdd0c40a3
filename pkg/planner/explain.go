package planner

import (
	"fmt"
	"strings"
)

// finish fills in the parts of the decision that people read, and the memory
// of what was done.
func (p *round) finish() (Decision, Memory) {
	for _, r := range p.roles() {
		p.rememberGivenUp(r)
		switch {
		case r.d.To > r.d.From:
			r.mem.LastUp = p.now
			p.d.GPUs.Requested += (r.d.To - r.d.From) * r.gpus
		case r.d.To < r.d.From:
			r.mem.LastDown = p.now
		}
		p.predict(r)
		r.d.Because = p.sentence(r)
	}
	if p.mem.Move != nil {
		move := *p.mem.Move
		p.d.Move = &move
	}
	p.d.Summary = p.summary()
	return p.d, p.mem
}

// predict writes down the latency before and after the decision.
func (p *round) predict(r *roleRound) {
	if r.curve.latencyMs == nil {
		return
	}
	at := func(n int) *float64 {
		if n <= 0 || n > r.top() {
			return nil
		}
		ratio := r.curve.ratio(n)
		if ratio >= worstRatio {
			return nil
		}
		ms := ratio*r.curve.limitMs + r.curve.handover.waitMs
		return &ms
	}
	r.d.BeforeMs, r.d.AfterMs = at(r.d.From), at(r.d.To)
}

// objectiveText says an objective as people say it: "p95 TTFT 2000 ms".
func (r *roleRound) objectiveText(s *Spec) string {
	name, o := "TTFT", s.TTFT
	if r.role == Decode {
		name, o = "TPOT", s.TPOT
	}
	return sprintf("p%.4g %s %s ms", 100*o.Quantile, name, amount(o.Ms))
}

// sentence explains one role's count.
func (p *round) sentence(r *roleRound) string {
	switch r.fixed {
	case "":
	case ReasonPaused:
		return sprintf("paused: %s stays at %d: %s.", r.role, r.d.From, r.fixedBecause)
	default:
		return sprintf("%s stays at %d: %s.", r.role, r.d.From, r.fixedBecause)
	}
	var b strings.Builder
	switch {
	case r.d.To > r.d.From:
		b.WriteString(sprintf("%s goes up from %d to %d", r.role, r.d.From, r.d.To))
	case r.d.To < r.d.From:
		b.WriteString(sprintf("%s goes down from %d to %d", r.role, r.d.From, r.d.To))
	default:
		b.WriteString(sprintf("%s stays at %d", r.role, r.d.From))
	}
	b.WriteString(": ")
	b.WriteString(p.cause(r))
	if why := p.decodesDoing(r); why != "" && r.d.To <= r.d.From {
		b.WriteString("; " + why)
	}
	return b.String() + "."
}

// cause says why, with the numbers that made it so.
func (p *round) cause(r *roleRound) string {
	demand := "the demand is not known (" + r.d.Demand.Why + ")"
	if r.known {
		demand = p.demandText(r)
	}
	last := ""
	if n := len(r.d.Steps); n > 0 {
		last = r.d.Steps[n-1].Detail
	}
	switch r.d.Binding {
	case ReasonSteady:
		if last != "" {
			last = ", but " + last
		}
		return demand + sprintf(" %s %s%s", needText(r), p.holdText(r, r.d.To), last)
	case ReasonUnattainable:
		return demand + sprintf(" %s %s", needText(r), p.holdText(r, r.d.To))
	case ReasonMaximum:
		if !r.holds {
			return demand + sprintf(" %s %s", needText(r), p.holdText(r, r.d.To))
		}
	case ReasonObjective:
		return demand + sprintf(" %s %s", needText(r), p.holdText(r, r.d.To))
	case ReasonWindow:
		return demand + sprintf(" %s, but %s", needText(r), last)
	case ReasonDemandUnknown:
		return demand + ", so nothing goes down"
	}
	if last == "" {
		last = string(r.d.Binding)
	}
	return demand + sprintf(" %s; %s", needText(r), last)
}

// worthSaying is by how much the demand must be expected to rise for the sentence to say so: less is noise, and a sentence
// that comes and goes with noise is one that nobody reads.
const worthSaying = 1.1

// demandText says what arrives, in the role's own work.
func (p *round) demandText(r *roleRound) string {
	d := &r.d.Demand
	if d.RequestsPerSecond <= 0 {
		return "no requests arrive, which"
	}
	ahead := ""
	if d.ForecastPerSecond > worthSaying*d.NowPerSecond {
		ahead = sprintf(" (%s now, %s expected when a new replica would be ready)", amount(d.NowPerSecond), amount(d.ForecastPerSecond))
	}
	if d.BacklogPerSecond > 0.01*d.RequestsPerSecond {
		ahead += sprintf(" (%s of it to work off the queue)", amount(d.BacklogPerSecond))
	}
	if h := p.spec.Behavior.Headroom; d.HeadroomPerSecond > 0 {
		ahead += sprintf(" with %.3g %% headroom", 100*h)
	}
	if d.SurgePerSecond > 0.01*d.RequestsPerSecond {
		ahead += sprintf(" and %s for rises like those before", amount(d.SurgePerSecond))
	}
	if r.role == Prefill {
		cached := ""
		if d.CachedShare > 0 {
			cached = sprintf(", %.0f %% of them cached,", 100*d.CachedShare)
		}
		return sprintf("%s requests/s%s of %.0f prompt tokens%s", amount(d.RequestsPerSecond), ahead, d.InputTokens, cached)
	}
	longer := ""
	if d.InFlightFactor > 1.01 {
		longer = " (the sequences in flight say longer than those that have finished)"
	}
	return sprintf("%s requests/s%s of %.0f output tokens%s", amount(d.RequestsPerSecond), ahead, d.OutputTokens, longer)
}

func needText(r *roleRound) string {
	if !r.known {
		return ""
	}
	if !r.holds {
		return sprintf("need more than the maximum of %s", replicas(r.need))
	}
	if r.kept != "" {
		return r.kept
	}
	return "need " + replicas(r.need)
}

// holdText says what the model predicts with n replicas.
func (p *round) holdText(r *roleRound, n int) string {
	if r.curve.latencyMs == nil || n <= 0 || n > r.top() {
		return "for " + r.objectiveText(p.spec)
	}
	ratio := r.curve.ratio(n)
	predicted := amount(ratio*r.curve.limitMs + r.curve.handover.waitMs)
	if ratio >= worstRatio {
		return sprintf("for %s (%d are overloaded)", r.objectiveText(p.spec), n)
	}
	if r.unattainable(p.spec) {
		return sprintf("to come as near to %s as any count can (%s ms predicted with %d)", r.objectiveText(p.spec), predicted, n)
	}
	return sprintf("for %s (%s ms predicted with %d)", r.objectiveText(p.spec), predicted, n)
}

// summary is the decision in one sentence.
func (p *round) summary() string {
	var parts []string
	for _, r := range p.roles() {
		if r.d.To != r.d.From {
			parts = append(parts, sprintf("%s %d -> %d (%s)", r.role, r.d.From, r.d.To, r.d.Binding))
		}
	}
	if m := p.d.Move; m != nil {
		parts = append(parts, sprintf("%d GPUs are moving from %s to %s (%s)", m.GPUs, m.From, m.To, m.Phase))
	}
	if m := p.d.Ended; m != nil {
		parts = append(parts, sprintf("the move of %d GPUs from %s to %s ended: %s", m.GPUs, m.From, m.To, m.Phase))
	}
	if len(parts) == 0 {
		return sprintf("no change: prefill %d (%s), decode %d (%s)", p.prefill.d.To, p.prefill.d.Binding, p.decode.d.To, p.decode.d.Binding)
	}
	return strings.Join(parts, "; ")
}

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// span says a length of time: "90 s", "5 min", "2 h".
func span(s Seconds) string {
	switch {
	case s >= 7200 && s == Seconds(int(s/3600))*3600:
		return sprintf("%d h", int(s/3600))
	case s >= 120 && s == Seconds(int(s/60))*60:
		return sprintf("%d min", int(s/60))
	}
	return amount(float64(s)) + " s"
}

// amount says a number with three digits, and never as 1e+05.
func amount(x float64) string {
	if x >= 1000 {
		return sprintf("%.0f", x)
	}
	return sprintf("%.3g", x)
}

// replicas says a count: "1 replica", "3 replicas".
func replicas(n int) string {
	if n == 1 {
		return "1 replica"
	}
	return sprintf("%d replicas", n)
}

// were is the verb for a count in the past.
func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
