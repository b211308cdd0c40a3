package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// counts are other counts than those of a decision; below 0 is the decision's own.
type counts struct{ prefill, decode int }

// parseCounts reads "decode=6" or "prefill=2,decode=4".
func parseCounts(text string) (counts, error) {
	c := counts{-1, -1}
	wrong := usageError("--why-not is %q: allowed is such as 'decode=6' or 'prefill=2,decode=4', with whole numbers of 0 or more", text)
	for part := range strings.SplitSeq(text, ",") {
		role, number, found := strings.Cut(part, "=")
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if !found || err != nil || n < 0 || n > 1_000_000 {
			return c, wrong
		}
		of := map[planner.Role]*int{planner.Prefill: &c.prefill, planner.Decode: &c.decode}[planner.Role(strings.TrimSpace(role))]
		if of == nil || *of >= 0 {
			return c, wrong
		}
		*of = n
	}
	return c, nil
}

// against says of each record what speaks against other counts.
func (o *explainOptions) against(records []planner.Record, env environment) error {
	c, err := parseCounts(o.whyNot)
	if err != nil {
		return err
	}
	var all []report.WhyNot
	for _, r := range records {
		all = append(all, report.OfAlternative(r, c.prefill, c.decode))
	}
	return o.output.write(env.stdout, oneOrAll(all), func(w io.Writer) error {
		for i := range all {
			if i > 0 {
				if _, err := io.WriteString(w, "\n"); err != nil {
					return err
				}
			}
			if err := all[i].Text(w); err != nil {
				return err
			}
		}
		return nil
	})
}
