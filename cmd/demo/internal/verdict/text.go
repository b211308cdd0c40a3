package verdict

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Write prints a summary for people.
func (s *Summary) Write(w io.Writer) error {
	var b strings.Builder
	s.writeObjectives(&b)
	s.writeGPUs(&b)
	s.writeDecisions(&b)
	if s.Good {
		b.WriteString("\nThe objectives and the budget were kept.\n")
	} else {
		b.WriteString("\nNot all went well:\n")
		for _, p := range s.Problems {
			fmt.Fprintf(&b, "  - %s\n", p)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Summary) writeObjectives(b *strings.Builder) {
	ttft, tpot := s.Objectives.TTFT, s.Objectives.TPOT
	fmt.Fprintf(b, "Objectives: TTFT p%.0f %s, TPOT p%.0f %s; judged after each act's warm-up\n\n", 100*ttft.Quantile, inMs(ttft.Ms), 100*tpot.Quantile, inMs(tpot.Ms))
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "  act\tjudged\trequests\tTTFT within\tp%.0f\tTPOT within\tp%.0f\t\n", 100*ttft.Quantile, 100*tpot.Quantile)
	row := func(name, when string, requests int, ttftShare, ttftMs, tpotShare, tpotMs float64, remark string) {
		fmt.Fprintf(t, "  %s\t%s\t%d\t%.1f %%\t%s\t%.1f %%\t%s\t%s\n", name, when, requests, 100*ttftShare, inMs(ttftMs), 100*tpotShare, inMs(tpotMs), remark)
	}
	for _, a := range s.Acts {
		remark := "kept"
		if !a.Kept {
			remark = "MISSED"
		}
		v := a.Attainment
		row(a.Name, clock(a.JudgedFromSeconds)+" to "+clock(a.ToSeconds), v.Requests, v.TTFT.Share, v.TTFT.QuantileMs, v.TPOT.Share, v.TPOT.QuantileMs, remark)
	}
	row("together", "", s.Judged.Requests, s.Judged.TTFT.Share, s.Judged.TTFT.QuantileMs, s.Judged.TPOT.Share, s.Judged.TPOT.QuantileMs, "")
	row("and with warm-ups", "", s.Everything.Requests, s.Everything.TTFT.Share, s.Everything.TTFT.QuantileMs, s.Everything.TPOT.Share, s.Everything.TPOT.QuantileMs, "not judged")
	_ = t.Flush() // into memory
}

func (s *Summary) writeGPUs(b *strings.Builder) {
	kept := "kept"
	if !s.Budget.Kept {
		kept = "NOT KEPT"
	}
	fmt.Fprintf(b, "\nBudget: %s; at most %d of %d GPUs were held, by %d pod events of the API server's watch history\n", kept, s.Budget.Peak, s.Budget.GPUs, s.Budget.Events)
	fmt.Fprintf(b, "GPU-hours: %.3f", s.GPUHours)
	switch f := s.Fixed; {
	case !f.Found:
		fmt.Fprintf(b, "; no fixed counts of up to %d GPUs keep the objectives on this load\n", f.SearchedGPUs)
	default:
		fmt.Fprintf(b, "; the cheapest fixed counts that keep the objectives on this load are %d prefill and %d decode: %d GPUs, %.3f GPU-hours", f.Prefill, f.Decode, f.GPUs, f.GPUHours)
		if f.GPUHours > 0 {
			fmt.Fprintf(b, " (%+.0f %%)", 100*(s.GPUHours/f.GPUHours-1))
		}
		if f.GPUs > s.Budget.GPUs {
			fmt.Fprintf(b, ",\nwhich is more than the budget")
		}
		b.WriteString("\n")
	}
}

func (s *Summary) writeDecisions(b *strings.Builder) {
	fmt.Fprintf(b, "Replicas: prefill %d to %d, decode %d to %d\n", s.Prefill.Least, s.Prefill.Most, s.Decode.Least, s.Decode.Most)
	fmt.Fprintf(b, "Decisions: %d made, %d changed something, %d replayed bit for bit\n", s.Decisions.Made, s.Decisions.Changed, s.Decisions.Replayed)
	for _, c := range s.Changes {
		for _, role := range []CountChange{c.Prefill, c.Decode} {
			if role.From != role.To {
				fmt.Fprintf(b, "  %s  %s\n", clock(c.AtSeconds), role.Because)
			}
		}
	}
	fmt.Fprintf(b, "Moves: %d\n", len(s.Moves))
	for _, m := range s.Moves {
		took := "under way at the end"
		if m.EndedAtSeconds > 0 {
			took = fmt.Sprintf("%s after %.0f s", strings.ToLower(string(m.Outcome)), m.EndedAtSeconds-m.AtSeconds)
		}
		fmt.Fprintf(b, "  %s  %d GPUs from %s (%d → %d) to %s (%d → %d), %s: %s\n", clock(m.AtSeconds), m.GPUs,
			m.From, m.DonorBefore, m.DonorAfter, m.To, m.ReceiverBefore, m.ReceiverAfter, took, m.Reason)
	}
}

// clock writes seconds from the start as minutes and seconds.
func clock(seconds float64) string {
	s := int(seconds)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// inMs writes a latency in the unit that reads best.
func inMs(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.3g ms", ms)
}
