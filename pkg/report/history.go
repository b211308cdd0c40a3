package report

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Change is one decision in a list of many.
type Change struct {
	At      time.Time   `json:"at"`
	Prefill CountChange `json:"prefill"`
	Decode  CountChange `json:"decode"`
	// Applied is false where the decision was not written; a record does not say (nil).
	Applied *bool `json:"applied,omitempty"`
	// ReplayEqual is whether the decision could be made again; a status does not say (nil).
	ReplayEqual *bool  `json:"replayEqual,omitempty"`
	Summary     string `json:"summary"`
}

// CountChange is one role's part of a decision.
type CountChange struct {
	From   int            `json:"from"`
	To     int            `json:"to"`
	Reason planner.Reason `json:"reason,omitempty"`
}

// ChangeOf is the line of a saved decision.
func ChangeOf(r planner.Record) Change {
	d := &r.Decision
	return Change{
		At:      d.At,
		Prefill: CountChange{d.Prefill.From, d.Prefill.To, d.Prefill.Binding},
		Decode:  CountChange{d.Decode.From, d.Decode.To, d.Decode.Binding},
		Summary: sentence(d.Summary),
	}
}

// WriteHistory writes decisions as a table, a line each.
func WriteHistory(w io.Writer, changes []Change) error {
	if len(changes) == 0 {
		_, err := fmt.Fprintln(w, "No decision has changed anything yet.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	replayed := changes[0].ReplayEqual != nil
	last := "WRITTEN"
	if replayed {
		last = "REPLAY"
	}
	fmt.Fprintf(t, "TIME\tPREFILL\tDECODE\t%s\tWHAT\n", last)
	for _, c := range changes {
		word := yesNo(c.Applied, "yes", "no")
		if replayed {
			word = yesNo(c.ReplayEqual, "same", "DIFFERS")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.At.UTC().Format("2006-01-02 15:04:05"), c.Prefill.text(), c.Decode.text(), word, c.Summary)
	}
	return t.Flush()
}

func (c CountChange) text() string {
	if c.From == c.To {
		return fmt.Sprint(c.To)
	}
	return fmt.Sprintf("%d -> %d", c.From, c.To)
}

func yesNo(b *bool, yes, no string) string {
	switch {
	case b == nil:
		return "-"
	case *b:
		return yes
	}
	return no
}
