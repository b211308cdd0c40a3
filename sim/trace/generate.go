package trace

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/pdautoscaler/pdautoscaler/sim/load"
)

// Curve names how a generator's rate goes over time.
type Curve string

// The curves of a rate.
const (
	Constant Curve = "constant"
	// Sine is Rate + Amplitude*sin(2*pi*t/Period - pi/2): it starts at its lowest.
	Sine Curve = "sine"
	// Steps goes from one rate to the next at the times of Steps.
	Steps Curve = "steps"
	// Day is a working day: lowest at 4 h, a morning and an afternoon hump, between Rate-Amplitude and Rate+Amplitude.
	Day Curve = "day"
)

// Arrivals names the distribution of the steps between two arrivals.
type Arrivals string

// The families of arrivals.
const (
	Poisson Arrivals = "poisson"
	Gamma   Arrivals = "gamma"
	Weibull Arrivals = "weibull"
)

// Tokens is a distribution of lengths, lognormal around its mean.
type Tokens struct {
	Mean float64 // tokens
	// SCV is the squared coefficient of variation; 0 is a constant length.
	SCV float64
	// Max cuts longer lengths; 0 is no limit.
	Max int
}

// Shape is one kind of request.
type Shape struct {
	Input, Output Tokens
	// CachedShare of each prompt needs no prefill, 0 to below 1.
	CachedShare float64
}

// Step is a rate from a time on.
type Step struct {
	At                time.Duration
	RequestsPerSecond float64
}

// Generator describes synthetic traffic.
type Generator struct {
	Duration time.Duration
	Curve    Curve // Constant by default
	// RequestsPerSecond is the middle of the curve and AmplitudePerSecond how far it goes to either side.
	RequestsPerSecond  float64
	AmplitudePerSecond float64
	Period             time.Duration
	Steps              []Step

	Arrivals Arrivals // Poisson by default
	// ArrivalSCV is the squared coefficient of variation of the time between arrivals at a constant rate, for Gamma and Weibull.
	ArrivalSCV float64

	Shape
	// Other is the second kind of request of a swing; its share goes from 0 to 1 and back in SwingPeriod, as a sine.
	Other       *Shape
	SwingPeriod time.Duration
}

const (
	maxPerSecond = 1e5
	maxSCV       = 1e3
	gridPoints   = 20_000
)

// Validate returns one error for each field that cannot be played.
func (g *Generator) Validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("generator: "+format, args...)) }
	within := func(field string, v, least, most float64) {
		if !(v >= least && v <= most) {
			refuse("%s is %v; it must be from %v to %v", field, v, least, most)
		}
	}
	if g.Duration <= 0 || g.Duration > MaxDuration {
		refuse("duration is %v; it must be above 0 and at most %v", g.Duration, MaxDuration)
	}
	switch g.Curve {
	case "", Constant, Day:
	case Sine:
		if g.Period <= 0 {
			refuse("period is %v; a sine needs one above 0", g.Period)
		}
	case Steps:
		if len(g.Steps) == 0 || g.Steps[0].At != 0 {
			refuse("steps must begin with one at 0s")
		}
		for i, s := range g.Steps {
			within(fmt.Sprintf("steps[%d].rate", i), s.RequestsPerSecond, 0, maxPerSecond)
			if i > 0 && s.At <= g.Steps[i-1].At {
				refuse("steps[%d].at is %v; it must be after the step before", i, s.At)
			}
		}
	default:
		refuse("curve is %q; allowed are %q, %q, %q and %q", g.Curve, Constant, Sine, Steps, Day)
	}
	within("rate", g.RequestsPerSecond, 0, maxPerSecond)
	if g.RequestsPerSecond >= 0 { // what is wrong with the rate is said above
		within("amplitude", g.AmplitudePerSecond, 0, g.RequestsPerSecond)
	}
	switch g.Arrivals {
	case "", Poisson:
	case Gamma, Weibull:
		within("arrivalSCV", g.ArrivalSCV, 0.01, 100)
	default:
		refuse("arrivals is %q; allowed are %q, %q and %q", g.Arrivals, Poisson, Gamma, Weibull)
	}
	errs = append(errs, g.Shape.check("generator: ")...)
	if g.Other != nil {
		errs = append(errs, g.Other.check("generator: other.")...)
		if g.SwingPeriod <= 0 {
			refuse("swingPeriod is %v; a swing needs one above 0", g.SwingPeriod)
		}
	}
	if total := g.expected(); len(errs) == 0 && total > maxRequests {
		refuse("about %.0f requests; at most %d are allowed", total, maxRequests)
	}
	return errors.Join(errs...)
}

// Validate returns one error for each field that cannot be drawn.
func (s *Shape) Validate() error { return errors.Join(s.check("lengths: ")...) }

func (s *Shape) check(where string) (errs []error) {
	within := func(field string, v, least, most float64) {
		if !(v >= least && v <= most) {
			errs = append(errs, fmt.Errorf("%s%s is %v; it must be from %v to %v", where, field, v, least, most))
		}
	}
	for _, l := range []struct {
		name string
		Tokens
	}{{"input", s.Input}, {"output", s.Output}} {
		within(l.name+".mean", l.Mean, 1, MaxTokens)
		within(l.name+".scv", l.SCV, 0, maxSCV)
		within(l.name+".max", float64(l.Max), 0, MaxTokens)
	}
	within("cachedShare", s.CachedShare, 0, 0.999)
	return errs
}

func (g *Generator) expected() float64 {
	most := g.RequestsPerSecond + g.AmplitudePerSecond
	for _, s := range g.Steps {
		most = max(most, s.RequestsPerSecond)
	}
	return most * g.Duration.Seconds()
}

// rate is the rate at a time, in requests/s.
func (g *Generator) rate(at time.Duration) float64 {
	switch g.Curve {
	case Sine:
		return g.RequestsPerSecond + g.AmplitudePerSecond*math.Sin(2*math.Pi*float64(at)/float64(g.Period)-math.Pi/2)
	case Day:
		return g.RequestsPerSecond + g.AmplitudePerSecond*dayCurve(at.Hours())
	case Steps:
		now := 0.0
		for _, s := range g.Steps {
			if s.At <= at {
				now = s.RequestsPerSecond
			}
		}
		return now
	}
	return g.RequestsPerSecond
}

// dayCurve goes from -1 at night to 1: one hump at 11 h and a broader one at 16 h.
func dayCurve(hours float64) float64 {
	h := math.Mod(hours, 24)
	hump := func(middle, width float64) float64 {
		d := math.Abs(h - middle)
		d = min(d, 24-d)
		return math.Exp(-d * d / (2 * width * width))
	}
	return min(1, 2*(0.75*hump(11, 2)+0.9*hump(16, 3))/0.985-1)
}

// Generate draws a trace. Arrivals, inputs, outputs and kinds have random streams of their own; equal seeds give equal traces.
func Generate(g Generator, seed uint64) (*Trace, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	step := g.steps(stream(1))
	in, out, kind := stream(2), stream(3), stream(4)
	t := &Trace{length: g.Duration}
	t.rows = make([]row, 0, min(int(g.expected()*1.05)+16, 1<<24))
	grid := g.Duration / gridPoints
	if grid == 0 {
		grid = 1
	}
	u, next := 0.0, step()
	for from := time.Duration(0); from < g.Duration; from += grid {
		// The rate is taken as constant over a cell: with 20,000 of them it is the curve.
		width := min(grid, g.Duration-from)
		rate := g.rate(from + width/2)
		area := rate * width.Seconds()
		for next <= u+area {
			at := from + time.Duration((next-u)/rate*float64(time.Second))
			s := &g.Shape
			if g.Other != nil && kind.Float64() < 0.5-0.5*math.Cos(2*math.Pi*float64(at)/float64(g.SwingPeriod)) {
				s = g.Other
			}
			r := row{at: min(at, g.Duration), input: s.Input.draw(in), output: s.Output.draw(out)}
			r.cached = min(r.input-1, int32(s.CachedShare*float64(r.input)))
			t.rows = append(t.rows, r)
			next += step()
		}
		u += area
	}
	return t, nil
}

// steps returns a draw of the steps of operational time, of mean 1.
func (g *Generator) steps(random *rand.Rand) func() float64 {
	switch g.Arrivals {
	case Gamma:
		return distuv.Gamma{Alpha: 1 / g.ArrivalSCV, Beta: 1 / g.ArrivalSCV, Src: random}.Rand
	case Weibull:
		k := weibullShape(g.ArrivalSCV)
		return distuv.Weibull{K: k, Lambda: 1 / math.Gamma(1+1/k), Src: random}.Rand
	}
	return random.ExpFloat64
}

// weibullShape solves Gamma(1+2/k)/Gamma(1+1/k)^2 - 1 = scv for k, which falls with the SCV.
func weibullShape(scv float64) float64 {
	low, high := 0.1, 50.0
	for range 80 {
		k := (low + high) / 2
		a, _ := math.Lgamma(1 + 2/k)
		b, _ := math.Lgamma(1 + 1/k)
		if math.Exp(a-2*b)-1 > scv {
			low = k
		} else {
			high = k
		}
	}
	return (low + high) / 2
}

func (l *Tokens) draw(random *rand.Rand) int32 {
	v := l.Mean
	if l.SCV > 0 {
		variance := math.Log1p(l.SCV)
		v = l.Mean * math.Exp(math.Sqrt(variance)*random.NormFloat64()-variance/2)
	}
	n := max(1, int32(math.Round(min(v, MaxTokens))))
	if l.Max > 0 {
		n = min(n, int32(l.Max))
	}
	return n
}

// Phases plays a profile of package load into a trace.
func Phases(p *load.Profile, seed uint64) (*Trace, error) {
	stream, err := load.NewStream(p, seed)
	if err != nil {
		return nil, err
	}
	t := &Trace{length: p.Duration()}
	for r, ok := stream.Next(); ok; r, ok = stream.Next() {
		t.rows = append(t.rows, row{at: r.At, input: int32(r.InputTokens), output: int32(r.OutputTokens), cached: int32(r.CachedTokens)})
	}
	return t, nil
}
