package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// Counts are replicas of both roles.
type Counts struct {
	Prefill int `json:"prefill"`
	Decode  int `json:"decode"`
}

// Policy decides. It is for one run.
type Policy interface {
	// Interval is the time between two decisions.
	Interval() time.Duration
	// Decide returns the counts that the service should have, and why in a few words.
	Decide(in *Input) (Counts, string)
}

// Input is what a policy sees.
type Input struct {
	At  time.Duration // since the start
	Now time.Time
	// Snapshot is what the planner sees.
	Snapshot planner.Snapshot
	// Seen is the same service in the units of the peers' rules.
	Seen    Observed
	Desired Counts
	Ready   Counts
	// Unsettled is true while a replica of either role starts or drains.
	Unsettled bool
}

// Setup is what all policies of a scenario share.
type Setup struct {
	Spec  planner.Spec // limits, objectives and the model; the planner's behaviour
	Start Counts
	// Startup is the time that the oracle knows replicas to take, by role.
	PrefillStartup, DecodeStartup time.Duration
	// Traffic is for the oracle alone.
	Traffic *trace.Trace
	// Aggressiveness tunes each policy by its own knob: over 1 makes it hold more replicas, under 1 fewer. 0 is 1. See each file.
	Aggressiveness float64
}

func (s *Setup) knob() float64 {
	if s.Aggressiveness <= 0 {
		return 1
	}
	return s.Aggressiveness
}

// makers are the policies by name.
var makers = map[string]func(*Setup) Policy{
	"static":       newStatic,
	"pdautoscaler": newPlanner,
	"hpa-gpu":      newHPA,
	"keda-queue":   newKEDA,
	"dynamo":       newDynamo,
	"dynamo-load":  newDynamoLoad,
	"rbg-planner":  newRBGPlanner,
	"heteroscale":  newHeteroScale,
	"tokenscale":   newTokenScale,
	"dopd":         newDOPD,
	"blitzscale":   newBlitzScale,
	"wva":          newWVA,
	"kpa":          newKPA,
	"kthena":       newKthena,
	"aibrix-apa":   newAPA,
	"closed-form":  newClosedForm,
	"sageserve":    newSageServe,
	"oracle":       newOracle,
}

// Names lists the policies in alphabetical order.
func Names() []string {
	var names []string
	for name := range makers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New makes a policy by its name.
func New(name string, s *Setup) (Policy, error) {
	maker := makers[name]
	if maker == nil {
		return nil, fmt.Errorf("policy %q is unknown; allowed are %s", name, strings.Join(Names(), ", "))
	}
	if name == "oracle" && s.Traffic == nil {
		return nil, fmt.Errorf("policy %q needs the whole traffic beforehand", name)
	}
	return maker(s), nil
}

// limits are the bounds that every count is kept within.
type limits struct{ prefill, decode planner.RoleSpec }

func (l limits) clamp(c Counts) Counts {
	return Counts{
		Prefill: min(max(c.Prefill, l.prefill.Min), l.prefill.Max),
		Decode:  min(max(c.Decode, l.decode.Min), l.decode.Max),
	}
}

// static keeps what was there at the start. Its knob multiplies the counts.
type static struct {
	counts   Counts
	interval time.Duration
}

func newStatic(s *Setup) Policy {
	more := func(n int) int { return ceil(float64(n) * s.knob()) }
	return &static{Counts{more(s.Start.Prefill), more(s.Start.Decode)}, interval(s)}
}

func (p *static) Interval() time.Duration        { return p.interval }
func (p *static) Decide(*Input) (Counts, string) { return p.counts, "" }
func interval(s *Setup) time.Duration            { return s.Spec.Behavior.IntervalSeconds.Duration() }
func ceil(x float64) int                         { return int(math.Ceil(min(max(x, 0), 1e6) - 1e-9)) }
func ratio(a, b float64) float64                 { return a / max(b, 1e-9) }
func (p *profile) prefillTokensPerSecond(isl, hit float64) float64 {
	return 1000 * ratio(isl, p.prefillMs(isl, hit))
}

// profile is what a peer's profiler would have measured.
type profile struct {
	service    capacity.Service
	ttft, tpot float64 // objectives, ms
	startRatio float64 // prefill replicas per decode replica at the start
	limits     limits
	// margin multiplies the demand: the knob of the rules that reckon in rates.
	margin float64
}

func newProfile(s *Setup) profile {
	return profile{margin: s.knob(), service: s.Spec.Service, ttft: s.Spec.TTFT.Ms, tpot: s.Spec.TPOT.Ms,
		startRatio: ratio(float64(s.Start.Prefill), float64(max(1, s.Start.Decode))), limits: limits{s.Spec.Prefill, s.Spec.Decode}}
}

// prefillMs is the time of one prompt.
func (p *profile) prefillMs(isl, hit float64) float64 {
	return p.service.Prefill.Prefill.StepMs(isl*(1-hit), isl*hit)
}

// batch is the largest decode batch of mean context that keeps a step within itlMs, 1 at least.
func (p *profile) batch(context, itlMs float64) float64 {
	most := 256.0
	if p.service.MaxSequences > 0 {
		most = float64(p.service.MaxSequences)
	}
	most = min(most, math.Floor(p.service.Decode.KVCapacityTokens/max(context, 1)))
	low, high := 1.0, max(most, 1)
	for high-low >= 1 {
		middle := math.Ceil((low + high) / 2)
		if p.service.Decode.Decode.StepMs(middle, middle*context) <= itlMs {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// decodeTokensPerSecond is what one replica gives at the largest batch within itlMs.
func (p *profile) decodeTokensPerSecond(context, itlMs float64) float64 {
	b := p.batch(context, itlMs)
	return 1000 * b / p.service.Decode.Decode.StepMs(b, b*context)
}
