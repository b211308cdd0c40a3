package doctor

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// State is what one check found.
type State string

// The states. A fault keeps the service from being scaled as it should; a
// warning will at some time, or is a person's doing; what could not be looked at
// is unknown.
const (
	OK      State = "ok"
	Warning State = "warning"
	Fault   State = "fault"
	Unknown State = "unknown"
)

// Check is one thing that was looked at.
type Check struct {
	Name    string `json:"name"`
	Role    string `json:"role,omitempty"`
	State   State  `json:"state"`
	Message string `json:"message"`
	// Fix is what to change; empty where nothing is to be changed.
	Fix string `json:"fix,omitempty"`
}

// Report is all that was found, in the order of its subjects.
type Report struct {
	Resource string  `json:"resource"`
	Target   string  `json:"target"`
	Healthy  bool    `json:"healthy"` // no check is a fault
	Checks   []Check `json:"checks"`
}

// Patient is all that was read of a service.
type Patient struct {
	Resource *v1alpha1.PDAutoscaler
	// Seen and Built are nil where the target could not be read; Unread says why.
	Seen   *workload.Observation
	Built  *workload.Inspection
	Unread error
	// Probes are the metrics pages that were asked for, NotProbed why none were.
	Probes    []Probe
	NotProbed string
	Now       time.Time
}

// Probe is what one pod's metrics page answered.
type Probe struct {
	Role planner.Role
	Pod  string
	Port int32
	// Samples is how many samples the page has.
	Samples int
	// Denied: whoever looks may not ask pods. Error is why there is no page.
	Denied bool
	Error  string
}

// Examine makes a report.
func Examine(p Patient) Report {
	e := &examination{Patient: p, target: workload.TargetOf(p.Resource)}
	e.resource()
	if e.reachable() {
		e.structure()
		e.writers()
		e.budget()
	}
	e.conditions()
	e.metrics()
	r := Report{Resource: "PDAutoscaler " + p.Resource.Namespace + "/" + p.Resource.Name, Target: e.target.String(), Checks: e.checks}
	r.Healthy = !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.State == Fault })
	return r
}

// examination is a report in the making.
type examination struct {
	Patient
	target workload.Target
	checks []Check
}

func (e *examination) add(state State, name string, role planner.Role, fix, format string, args ...any) {
	e.checks = append(e.checks, Check{Name: name, Role: string(role), State: state, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// roles are the scaled ones, with what is seen of each.
func (e *examination) roles(do func(role planner.Role, p *planner.Pool)) {
	do(planner.Prefill, &e.Seen.Prefill)
	do(planner.Decode, &e.Seen.Decode)
}

// marks begin the lines of a text.
var marks = map[State]string{OK: "ok     ", Warning: "warning", Fault: "FAULT  ", Unknown: "unknown"}

// Text writes the report for a person: faults and what to do about them come
// with the check that found them.
func (r *Report) Text(w io.Writer) error {
	out := &lines{w: w}
	out.printf("%s scales %s\n\n", r.Resource, r.Target)
	faults, warnings := 0, 0
	for _, c := range r.Checks {
		switch c.State {
		case Fault:
			faults++
		case Warning:
			warnings++
		}
		subject := c.Name
		if c.Role != "" {
			subject += " of " + c.Role
		}
		out.printf("%s  %s: %s\n", marks[c.State], subject, c.Message)
		if c.Fix != "" {
			out.printf("           -> %s\n", c.Fix)
		}
	}
	switch {
	case faults > 0:
		out.printf("\n%s to mend before it can be scaled as it should%s.\n", count(faults, "fault"), also(warnings))
	case warnings > 0:
		out.printf("\nNothing keeps it from being scaled; %s to look at.\n", count(warnings, "warning"))
	default:
		out.printf("\nNothing keeps it from being scaled.\n")
	}
	return out.err
}

func also(warnings int) string {
	if warnings == 0 {
		return ""
	}
	return ", and " + count(warnings, "warning") + " to look at"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lines keeps the first error of many writes.
type lines struct {
	w   io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format, args...)
	}
}
