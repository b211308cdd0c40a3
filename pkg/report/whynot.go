package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// WhyNot is what speaks against other counts than those of a saved decision.
type WhyNot struct {
	planner.Alternative
	// Verdict is the answer in one sentence, and Sentences are its reasons.
	Verdict   string   `json:"verdict"`
	Sentences []string `json:"sentences"`
}

// OfAlternative judges other counts on the input of a record; a count below 0 is the one that was decided.
func OfAlternative(r planner.Record, prefill, decode int) WhyNot {
	w := WhyNot{Alternative: planner.WhyNot(r.Input, prefill, decode)}
	a := &w.Alternative
	held, now, later := true, 0, 0
	tally := func(all []planner.Objection) {
		for _, o := range all {
			if o.Later {
				later++
			} else {
				now++
			}
			w.Sentences = append(w.Sentences, upper(o.Text)+". ("+string(o.Reason)+")")
		}
	}
	for _, role := range []*planner.RoleAlternative{&a.Prefill, &a.Decode} {
		if role.Asked == role.Decided {
			continue
		}
		held = held && role.Holds
		if role.Holds && role.AskedMs != nil {
			w.Sentences = append(w.Sentences, alternativeSentence(role))
		}
		tally(role.Objections)
	}
	tally(a.Objections)
	w.Verdict = verdict(a, held, now, later)
	return w
}

func verdict(a *planner.Alternative, held bool, now, later int) string {
	counts := fmt.Sprintf("Prefill %d and decode %d", a.Prefill.Asked, a.Decode.Asked)
	more := a.AskedGPUs - a.DecidedGPUs
	cost := "on as many GPUs"
	switch {
	case more > 0:
		cost = fmt.Sprintf("and cost %s more", counted(more, "GPU"))
	case more < 0:
		cost = fmt.Sprintf("on %s fewer", counted(-more, "GPU"))
	}
	switch {
	case a.Prefill.Asked == a.Prefill.Decided && a.Decode.Asked == a.Decode.Decided:
		return counts + " is what was decided."
	case now > 0:
		return counts + " would not do:"
	case held && later > 0:
		return fmt.Sprintf("%s would hold, %s, but not yet:", counts, cost)
	case held && more > 0:
		return fmt.Sprintf("%s would hold as well, %s: nothing asks for them.", counts, cost)
	case held:
		return fmt.Sprintf("%s would hold, %s.", counts, cost)
	case later > 0:
		return counts + " cannot be had now:"
	}
	return counts + ": what they would do is not known."
}

// alternativeSentence sets what is predicted for both counts of a role beside the objective.
func alternativeSentence(a *planner.RoleAlternative) string {
	name := "TTFT"
	if a.Role == planner.Decode {
		name = "TPOT"
	}
	decided := ""
	if a.DecidedMs != nil {
		decided = fmt.Sprintf("; %s with %d, as decided", msText(*a.DecidedMs), a.Decided)
	}
	return fmt.Sprintf("%s predicted with %d: %s of at most %s%s.", name, a.Asked, msText(*a.AskedMs), msText(a.ObjectiveMs), decided)
}

// Text writes the answer.
func (w *WhyNot) Text(out io.Writer) error {
	var b strings.Builder
	wrap(&b, w.Verdict, "")
	for _, s := range w.Sentences {
		wrap(&b, s, "  ")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
