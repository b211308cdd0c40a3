package load

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Profile is a whole load: phases one after the other.
type Profile struct {
	Name string `json:"name,omitempty"`
	// Lengths is the family of the length distributions; empty is lognormal.
	Lengths Family `json:"lengths,omitempty"`
	// ArrivalSCV is the squared coefficient of variation of the time between
	// arrivals at a constant rate; 0 is taken as 1, the Poisson process.
	ArrivalSCV float64 `json:"arrivalSCV,omitempty"`
	// MaxInputTokens and MaxOutputTokens cut longer lengths; 0 is no limit. A
	// cut lowers the mean that is really offered.
	MaxInputTokens  int     `json:"maxInputTokens,omitempty"`
	MaxOutputTokens int     `json:"maxOutputTokens,omitempty"`
	Phases          []Phase `json:"phases"`
}

// Family names a family of length distributions.
type Family string

// The families of length distributions.
const (
	Lognormal Family = "lognormal"
	Gamma     Family = "gamma"
)

// Phase is a stretch of one kind of traffic.
type Phase struct {
	Name            string  `json:"name"`
	DurationSeconds float64 `json:"durationSeconds"`
	// RampSeconds is how long, from its start, the phase takes to go from the
	// phase before to its own rate and lengths; the first phase ramps from rate 0.
	RampSeconds       float64 `json:"rampSeconds,omitempty"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	// InputTokens and OutputTokens are means per request, the SCVs their
	// squared coefficients of variation.
	InputTokens  float64 `json:"inputTokens"`
	InputSCV     float64 `json:"inputSCV,omitempty"`
	OutputTokens float64 `json:"outputTokens"`
	OutputSCV    float64 `json:"outputSCV,omitempty"`
	// CachedShare is the share of each prompt that is found in the prefix cache, 0 to below 1.
	CachedShare float64 `json:"cachedShare,omitempty"`
}

// Request is one request as a client sends it.
type Request struct {
	// At is the arrival, from the start of the load.
	At time.Duration `json:"at"`
	// Phase is the index of the profile's phase it arrived in.
	Phase int `json:"phase"`
	// InputTokens is the prompt, CachedTokens the part of it that needs no
	// prefill, OutputTokens what will be generated.
	InputTokens  int `json:"inputTokens"`
	CachedTokens int `json:"cachedTokens,omitempty"`
	OutputTokens int `json:"outputTokens"`
}

// Limits of what a profile may ask for, so that a slip of a unit is refused
// instead of filling the memory.
const (
	maxRequestsPerSecond = 1e5
	maxTokens            = 1e7
	maxSeconds           = 366 * 24 * 3600
	maxSCV               = 1e3
)

// Duration returns the length of all phases together.
func (p *Profile) Duration() time.Duration {
	seconds := 0.0
	for i := range p.Phases {
		seconds += p.Phases[i].DurationSeconds
	}
	return toDuration(seconds)
}

// Bounds returns where a phase begins and ends, from the start of the load.
func (p *Profile) Bounds(phase int) (from, to time.Duration) {
	seconds := 0.0
	for i := range phase {
		seconds += p.Phases[i].DurationSeconds
	}
	return toDuration(seconds), toDuration(seconds + p.Phases[phase].DurationSeconds)
}

// PhaseAt returns the index of the phase that holds the given offset; before
// the start it is the first and after the end the last.
func (p *Profile) PhaseAt(at time.Duration) int {
	for i := range p.Phases {
		if _, to := p.Bounds(i); at < to {
			return i
		}
	}
	return max(0, len(p.Phases)-1)
}

// Validate returns one error for each field that cannot be played.
func (p *Profile) Validate() error {
	var errs []error
	if len(p.Phases) == 0 {
		errs = append(errs, errors.New("load: phases is empty; at least one phase is needed"))
	}
	if p.Lengths != "" && p.Lengths != Lognormal && p.Lengths != Gamma {
		errs = append(errs, fmt.Errorf("load: lengths is %q; allowed are %q and %q", p.Lengths, Lognormal, Gamma))
	}
	if !within(p.ArrivalSCV, 0, maxSCV) {
		errs = append(errs, fmt.Errorf("load: arrivalSCV is %v; it must be from 0 (taken as 1, Poisson) to %v", p.ArrivalSCV, float64(maxSCV)))
	}
	if p.MaxInputTokens < 0 || p.MaxOutputTokens < 0 {
		errs = append(errs, errors.New("load: maxInputTokens and maxOutputTokens must be 0 (no limit) or more"))
	}
	for i := range p.Phases {
		errs = append(errs, p.Phases[i].validate(fmt.Sprintf("phases[%d] (%s)", i, p.Phases[i].Name)))
	}
	return errors.Join(errs...)
}

func (p *Phase) validate(where string) error {
	var errs []error
	check := func(field string, value, least, most float64) {
		if !within(value, least, most) {
			errs = append(errs, fmt.Errorf("load: %s.%s is %v; it must be from %v to %v", where, field, value, least, most))
		}
	}
	if !(p.DurationSeconds > 0 && p.DurationSeconds <= maxSeconds) {
		errs = append(errs, fmt.Errorf("load: %s.durationSeconds is %v; it must be above 0 and at most %v", where, p.DurationSeconds, float64(maxSeconds)))
	} else {
		check("rampSeconds", p.RampSeconds, 0, p.DurationSeconds)
	}
	check("requestsPerSecond", p.RequestsPerSecond, 0, maxRequestsPerSecond)
	check("inputTokens", p.InputTokens, 1, maxTokens)
	check("outputTokens", p.OutputTokens, 1, maxTokens)
	check("inputSCV", p.InputSCV, 0, maxSCV)
	check("outputSCV", p.OutputSCV, 0, maxSCV)
	check("cachedShare", p.CachedShare, 0, 0.999)
	return errors.Join(errs...)
}

// within is false for NaN.
func within(v, least, most float64) bool { return v >= least && v <= most && !math.IsNaN(v) }

func toDuration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

// Names returns the names of the phases in their order.
func (p *Profile) Names() []string {
	names := make([]string, len(p.Phases))
	for i := range p.Phases {
		names[i] = p.Phases[i].Name
	}
	return names
}
