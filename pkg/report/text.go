package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// textWidth is where lines of prose are broken.
const textWidth = 110

// Text writes an explanation for people. now is for "12s ago"; the zero time leaves that out.
func (e *Explanation) Text(w io.Writer, now time.Time) error {
	var b strings.Builder
	b.WriteString(e.heading(now) + "\n")
	wrap(&b, e.Summary, "")
	for i := range e.Roles {
		b.WriteByte('\n')
		e.Roles[i].text(&b)
	}
	if !e.At.IsZero() {
		b.WriteByte('\n')
		wrap(&b, e.GPUs.Sentence, "")
	}
	for _, m := range []*Move{e.Move, e.Ended} {
		if m != nil {
			wrap(&b, "Move: "+m.Sentence, "")
		}
	}
	if len(e.Notes) > 0 {
		b.WriteString("\nTo know:\n")
	}
	said := map[string]bool{} // the same may be true of both roles
	for _, n := range e.Notes {
		if line := n.Reason + ": " + n.Message; !said[line] {
			wrap(&b, line, "  ")
			said[line] = true
		}
	}
	e.sourcesText(&b)
	if e.Replay != nil {
		b.WriteByte('\n')
		e.Replay.text(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *Explanation) heading(now time.Time) string {
	what := "Decision"
	if e.Service != "" {
		what = e.Service
	}
	if e.At.IsZero() {
		return what + ": nothing was decided yet"
	}
	when := timeText(e.At)
	if !now.IsZero() {
		when += ", " + spanText(now.Sub(e.At)) + " ago"
	}
	if e.Service == "" {
		return what + " of " + when
	}
	// A status is written when it changes: it may hold for longer than it is old.
	return what + ", status of " + when
}

func (r *RoleExplanation) text(b *strings.Builder) {
	wrap(b, r.Sentence, "")
	const indent = "  "
	if r.Signal != nil {
		wrap(b, r.Signal.Sentence, indent)
	}
	wrap(b, r.LatencySentence(), indent)
	wrap(b, r.LoadSentence(), indent)
	for _, s := range r.Steps {
		wrap(b, s.Sentence, indent)
	}
	wrap(b, r.BoundSentence(), indent)
}

// BoundSentence names what bound the count, and says it in words.
func (r *RoleExplanation) BoundSentence() string {
	switch {
	case r.BindingMeans != "":
		return fmt.Sprintf("Bound by %s: %s.", r.Binding, r.BindingMeans)
	case r.Binding != "":
		return fmt.Sprintf("Bound by %s.", r.Binding)
	}
	return ""
}

// LatencySentence sets the objective, what was observed and what is predicted side by side.
func (r *RoleExplanation) LatencySentence() string {
	l := &r.Latency
	if l.ObjectiveMs <= 0 {
		return ""
	}
	seen := "not observed"
	if l.ObservedMs != nil {
		seen = "observed " + msText(*l.ObservedMs) + l.bucketText()
	} else if l.ObservedWhy != "" {
		seen += " (" + l.ObservedWhy + ")"
	}
	return fmt.Sprintf("%s: objective %s, %s%s.", l.Name, msText(l.ObjectiveMs), seen, r.predictionText())
}

// bucketText says how coarse the histogram is, where that matters: where the objective lies within the same bucket.
func (l *Latency) bucketText() string {
	if !(l.LowMs < l.ObjectiveMs) || l.HighMs > 0 && l.HighMs < l.ObjectiveMs || l.LowMs == 0 && l.HighMs == 0 {
		return ""
	}
	if l.HighMs == 0 {
		return fmt.Sprintf(" (the histogram only says more than %s)", msText(l.LowMs))
	}
	return fmt.Sprintf(" (the histogram only says between %s and %s)", digits(l.LowMs, 3), msText(l.HighMs))
}

// predictionText says what the model expects of the count before and after.
func (r *RoleExplanation) predictionText() string {
	l := &r.Latency
	before, after := predicted(l.PredictedFromMs, l.OverloadedFrom, r.From), predicted(l.PredictedToMs, l.OverloadedTo, r.To)
	switch {
	case after == "":
		return ""
	case before == "" || r.From == r.To:
		return "; " + after
	case l.OverloadedFrom && l.OverloadedTo:
		return fmt.Sprintf("; %s, and with %d too", before, r.To)
	case l.PredictedToMs == nil:
		return "; " + before + ", and " + after
	case l.PredictedFromMs == nil:
		return fmt.Sprintf("; %s, with %d it is %s", before, r.To, msText(*l.PredictedToMs))
	}
	return fmt.Sprintf("; %s and %s with %d", before, msText(*l.PredictedToMs), r.To)
}

func predicted(ms *float64, overloaded bool, replicas int) string {
	switch {
	case ms != nil:
		return fmt.Sprintf("predicted %s with %d", msText(*ms), replicas)
	case overloaded:
		return fmt.Sprintf("with %d the queue would grow without end", replicas)
	}
	return ""
}

// LoadSentence sets the demand beside what the ready replicas can do; it is empty where either is not known.
func (r *RoleExplanation) LoadSentence() string {
	if r.Load == nil || r.DemandPerSecond == nil || *r.DemandPerSecond <= 0 {
		return ""
	}
	s := fmt.Sprintf("The demand takes %s of what the %s can do", percentText(*r.Load), counted(r.Ready, "ready replica"))
	if r.ServesPerSecond != nil {
		s += fmt.Sprintf("; one is full at %s requests/s", digits(*r.ServesPerSecond, 3))
	}
	return s + "."
}

func (r *Replay) text(b *strings.Builder) {
	if r.Older > 0 {
		wrap(b, fmt.Sprintf("Replay: not tried. The record is of version %d and this program decides by version %d: it would prove nothing.", r.Older, planner.RecordVersion), "")
		return
	}
	if r.Equal {
		wrap(b, "Replay: made again from its input, the decision is the same, bit for bit.", "")
		return
	}
	wrap(b, fmt.Sprintf("Replay: made again from its input, the decision is not the saved one; %s not the same:",
		differText(len(r.Differences))), "")
	for _, d := range r.Differences {
		b.WriteString(fmt.Sprintf("  %s: saved %s, now %s\n", d.Path, d.Saved, d.Replayed))
	}
}

func differText(n int) string {
	if n == 1 {
		return "1 value is"
	}
	return fmt.Sprintf("%d values are", n)
}

// wrap writes a paragraph with every line indented, the further ones by two more. An empty one is left out.
func wrap(b *strings.Builder, text, indent string) {
	if text == "" {
		return
	}
	line := indent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > textWidth:
			b.WriteString(line + "\n")
			line = indent + "  " + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
}
