package report

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Signal is what a decision was made from before all else: the reading that bound the count.
type Signal struct {
	// Name is such as "prefill compute", "KV cache of decode", "observed p95 TTFT".
	Name string `json:"name"`
	// Source is where it was read and AgeSeconds how old it was; both are left out where it was not read.
	Source     string   `json:"source,omitempty"`
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
	Sentence   string   `json:"sentence"`
}

// read completes a signal with the reading behind it.
func (s Signal) read(r planner.Reading, now time.Time) *Signal {
	if r.Ok() {
		s.Source = r.Source
		if !r.At.IsZero() {
			s.AgeSeconds = new(now.Sub(r.At).Seconds())
		}
	}
	switch {
	case s.AgeSeconds != nil && *s.AgeSeconds >= 0.5:
		s.Sentence += fmt.Sprintf(" (%s, read %.0f s earlier)", s.Source, *s.AgeSeconds)
	case s.Source != "":
		s.Sentence += " (" + s.Source + ")"
	}
	s.Sentence = sentence(s.Sentence)
	return &s
}

// about writes a number as people say it: three digits, and a comma for thousands.
func about(x float64) string {
	if !(x >= 1000) || x > 1e15 {
		return digits(x, 3)
	}
	unit := math.Pow(10, math.Floor(math.Log10(x))-2)
	text := strconv.FormatFloat(math.Round(x/unit)*unit, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// signalOf finds the reading that a role's count comes down to, nil where none does: a person's hand, a target that is held,
// a role that is not there.
func signalOf(r *planner.Record, role planner.Role, latency *Latency) *Signal {
	d, seen := r.Decision.Prefill, &r.Input.Snapshot.Signals
	observed, activity, pipe := seen.TTFTMs.Reading, seen.PrefillTensorActive, "tensor pipe"
	if role == planner.Decode {
		d, observed, activity, pipe = r.Decision.Decode, seen.TPOTMs.Reading, seen.DecodeDRAMActive, "memory"
	}
	now := r.Input.Now
	switch d.Binding {
	case planner.ReasonPaused, planner.ReasonOtherWriter, planner.ReasonHeld, planner.ReasonRollout, planner.ReasonRoleMissing, planner.ReasonGPUsUnknown,
		planner.ReasonInvalidSpec, planner.ReasonDisabled, planner.ReasonGivenUp, planner.ReasonOverBudget:
		return nil
	case planner.ReasonDemandUnknown:
		name, reading := missing(seen, now, r.Input.Spec.Behavior.MaxAgeSeconds)
		return Signal{Name: name, Sentence: fmt.Sprintf("What decides is a signal that is missing, %s: %s", name, cmp.Or(reading.Why, d.Demand.Why))}.read(planner.Reading{}, now)
	case planner.ReasonBreach:
		name := "observed " + latency.Name
		return Signal{Name: name, Sentence: fmt.Sprintf("What decides is the %s, %s", name, msText(observed.Or(0)))}.read(observed, now)
	case planner.ReasonActivity:
		return Signal{Name: "GPU activity", Sentence: fmt.Sprintf("What decides is what the GPUs do: their %s is %s active", pipe, percentText(activity.Or(0)))}.read(activity, now)
	}
	if !d.Demand.Known || d.Demand.RequestsPerSecond <= 0 {
		return nil
	}
	return wallSignal(r, role, &d).read(seen.RequestsPerSecond, now)
}

// walls name what a demand may fill first.
var walls = map[planner.Wall]string{
	planner.WallCompute: "prefill compute", planner.WallBandwidth: "decode's memory bandwidth", planner.WallKV: "decode's KV cache", planner.WallSequences: "decode's sequence slots",
}

// wallSignal says what of a replica the demand fills first.
func wallSignal(r *planner.Record, role planner.Role, d *planner.RoleDecision) Signal {
	demand := &d.Demand
	rate := digits(demand.RequestsPerSecond, 3)
	s := &r.Input.Spec.Service
	// A role that has what it needs is bound by nothing yet.
	what := "First to fill up is "
	if d.Wanted > d.From || d.To > d.From || d.AfterMs == nil || *d.AfterMs > d.ObjectiveMs {
		what = "What binds is "
	}
	switch d.Wall {
	case planner.WallCompute:
		return Signal{Name: walls[d.Wall], Sentence: fmt.Sprintf("%s%s: %s requests/s bring %s prompt tokens/s to work through", what, walls[d.Wall], rate,
			about(demand.RequestsPerSecond*demand.InputTokens*(1-demand.CachedShare)))}
	case planner.WallBandwidth:
		return Signal{Name: walls[d.Wall], Sentence: fmt.Sprintf("%s%s: at %s output tokens/s, every step reads the weights and the contexts of all that run",
			what, walls[d.Wall], about(demand.RequestsPerSecond*demand.OutputTokens))}
	case planner.WallKV:
		return Signal{Name: walls[d.Wall], Sentence: fmt.Sprintf("%s%s: a replica holds %s tokens, and each of these requests takes up to %s of them",
			what, walls[d.Wall], about(s.Decode.KVCapacityTokens), about(demand.InputTokens+demand.OutputTokens))}
	case planner.WallSequences:
		return Signal{Name: walls[d.Wall], Sentence: fmt.Sprintf("%s%s: a replica runs %d at once", what, walls[d.Wall], s.MaxSequences)}
	}
	return Signal{Name: "demand on " + string(role), Sentence: fmt.Sprintf("What decides is the demand: %s requests/s", rate)}
}

// missing is the reading that the demand is not known without.
func missing(s *planner.Signals, now time.Time, maxAge planner.Seconds) (name string, reading planner.Reading) {
	for _, of := range []struct {
		name    string
		reading planner.Reading
	}{{"requests/s", s.RequestsPerSecond}, {"prompt tokens", s.InputTokens}, {"output tokens", s.OutputTokens}} {
		if fresh := of.reading.Fresh(now, maxAge); !fresh.Ok() {
			return of.name, fresh
		}
	}
	return "requests/s", s.RequestsPerSecond
}
