package scenario

import (
	"errors"
	"fmt"
	"time"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// traffic reads or draws what arrives.
func (b *builder) traffic() error {
	t := b.file.Traffic
	if b.options.Trace != "" {
		t.Trace, t.Generator, t.With, t.Then = b.options.Trace, nil, nil, nil
	}
	if n := len(t.With) + len(t.Then); n > trace.MaxApart {
		return fmt.Errorf("traffic: with and then have %d parts; allowed are up to %d", n, trace.MaxApart)
	}
	tr, err := b.joined(&t)
	if err != nil {
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

// parts are all traces and generators: the first, those that play with it, and those that follow.
func (t *Traffic) parts() []*Part {
	all := []*Part{&t.Part}
	for i := range t.With {
		all = append(all, &t.With[i])
	}
	for i := range t.Then {
		all = append(all, &t.Then[i])
	}
	return all
}

// joined plays the parts together. Prefix blocks are in common within one file only.
func (b *builder) joined(t *Traffic) (*trace.Trace, error) {
	all, err := b.part(&t.Part, 0)
	apart := map[string]int{t.Trace: 0}
	for i, p := range t.parts()[1:] {
		if err != nil {
			return nil, err
		}
		where, add := fmt.Sprintf("with[%d]", i), all.Merge
		if i >= len(t.With) {
			where, add = fmt.Sprintf("then[%d]", i-len(t.With)), all.Splice
		}
		var next *trace.Trace
		if next, err = b.part(p, i+1); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if _, known := apart[p.Trace]; !known {
			apart[p.Trace] = i + 1
		}
		if n := apart[p.Trace]; n > 0 {
			next = next.Apart(n)
		}
		if all, err = add(next); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	return all, err
}

// part reads or draws one of them, the n-th from 0.
func (b *builder) part(t *Part, n int) (tr *trace.Trace, err error) {
	part := *t
	if part.Trace != "" && part.Trace != "-" && b.options.Trace == "" {
		part.Trace = b.path(part.Trace)
	}
	seed := b.seed() + uint64(n)*0x9e3779b97f4a7c15 // parts alike must not draw alike
	switch {
	case (part.Trace == "") == (part.Generator == nil):
		return nil, errors.New("allowed is one of trace and generator")
	case part.Generator != nil:
		tr, err = trace.Generate(part.Generator.generator(), seed)
	case part.isRates():
		tr, err = part.rates(seed)
	case part.Lengths != nil:
		err = errors.New("lengths are for rates without them: allowed with format servegen alone")
	default:
		tr, err = trace.Open(part.Trace, trace.Format(part.Format), b.options.Stdin)
	}
	if err != nil {
		return nil, err
	}
	return part.change(tr, seed)
}

// isRates says whether the trace is rates instead of requests.
func (t *Part) isRates() bool {
	format := trace.Format(t.Format)
	return format == trace.ServeGen || (format == "" || format == trace.Auto) && t.Trace != "-" && trace.LooksLikeRates(t.Trace)
}

// rates draws requests from a file of rates. The cut and the scale are then done already, on the rates.
func (t *Part) rates(seed uint64) (*trace.Trace, error) {
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
func (t *Part) change(tr *trace.Trace, seed uint64) (*trace.Trace, error) {
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
