package scenario

import (
	"errors"
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// traffic reads or draws what arrives.
func (b *builder) traffic() (err error) {
	t := b.file.Traffic
	if b.options.Trace != "" {
		t.Trace, t.Generator = b.options.Trace, nil
	} else if t.Trace != "" && t.Trace != "-" {
		t.Trace = b.path(t.Trace)
	}
	var tr *trace.Trace
	switch {
	case (t.Trace == "") == (t.Generator == nil):
		return errors.New("traffic: allowed is one of trace and generator")
	case t.Generator != nil:
		tr, err = trace.Generate(t.Generator.generator(), b.seed())
	case t.isRates():
		tr, err = t.rates(b.seed())
	case t.Lengths != nil:
		err = errors.New("lengths are for rates without them: allowed with format servegen alone")
	default:
		tr, err = trace.Open(t.Trace, trace.Format(t.Format), b.options.Stdin)
	}
	if err != nil {
		return fmt.Errorf("traffic: %w", err)
	}
	if tr, err = t.change(tr, b.seed()); err != nil {
		return fmt.Errorf("traffic: %w", err)
	}
	if tr.Duration() > trace.MaxDuration {
		return fmt.Errorf("traffic: it covers %v; allowed is up to %v: cut it by traffic.start and traffic.duration", tr.Duration().Round(time.Second), trace.MaxDuration)
	}
	if tr.Len() == 0 || tr.Duration() <= 0 {
		return fmt.Errorf("traffic: %d requests in %v; at least two at different times are needed", tr.Len(), tr.Duration())
	}
	b.out.Traffic, b.out.Setup.Traffic = tr, tr
	return nil
}

// isRates says whether the trace is rates instead of requests.
func (t *Traffic) isRates() bool {
	format := trace.Format(t.Format)
	return format == trace.ServeGen || (format == "" || format == trace.Auto) && t.Trace != "-" && trace.LooksLikeRates(t.Trace)
}

// rates draws requests from a file of rates. The cut and the scale are then done already, on the rates.
func (t *Traffic) rates(seed uint64) (*trace.Trace, error) {
	r := trace.Rates{From: t.Start.Duration, Scale: or(t.RateScale, 1), Seed: seed}
	if t.Duration.Duration > 0 {
		r.To = r.From + t.Duration.Duration
	}
	if t.RateScale != nil && *t.RateScale == 0 {
		return nil, errors.New("rateScale is 0; allowed is above 0")
	}
	if t.Lengths != nil {
		shape := t.Lengths.shape()
		if err := shape.Validate(); err != nil {
			return nil, err
		}
		r.Lengths = &shape
	}
	t.Start, t.Duration, t.RateScale = Duration{}, Duration{}, nil
	return trace.OpenRates(t.Trace, r)
}

// change cuts, repeats, speeds up and scales a trace, in this order.
func (t *Traffic) change(tr *trace.Trace, seed uint64) (*trace.Trace, error) {
	var err error
	if t.Start.Duration > 0 || t.Duration.Duration > 0 {
		end := time.Duration(0)
		if t.Duration.Duration > 0 {
			end = t.Start.Duration + t.Duration.Duration
		}
		if tr, err = tr.Cut(t.Start.Duration, end); err != nil {
			return nil, err
		}
	}
	if t.Repeat != nil {
		if tr, err = tr.Repeat(*t.Repeat); err != nil {
			return nil, err
		}
	}
	if t.Speed != nil {
		if tr, err = tr.Speed(*t.Speed); err != nil {
			return nil, err
		}
	}
	return tr.Scale(or(t.RateScale, 1), seed)
}

func (g *Generator) generator() trace.Generator {
	out := trace.Generator{
		Duration: g.Duration.Duration, Curve: trace.Curve(g.Curve), RequestsPerSecond: g.Rate, AmplitudePerSecond: g.Amplitude,
		Period: g.Period.Duration, Arrivals: trace.Arrivals(g.Arrivals), ArrivalSCV: g.ArrivalSCV, Shape: g.shape(), SwingPeriod: g.SwingPeriod.Duration,
	}
	for _, s := range g.Steps {
		out.Steps = append(out.Steps, trace.Step{At: s.At.Duration, RequestsPerSecond: s.Rate})
	}
	if g.Other != nil {
		other := g.Other.shape()
		out.Other = &other
	}
	return out
}

func (s *Shape) shape() trace.Shape {
	return trace.Shape{Input: trace.Tokens(s.Input), Output: trace.Tokens(s.Output), CachedShare: s.CachedShare}
}
