package calibrate

import (
	"fmt"
	"math"
	"slices"
)

const (
	// likeRows is how much rows of like work count together at most, in single rows.
	likeRows = 16
	// rounds is far beyond where the linearisation stands still.
	rounds = 40
	// fewRows say nothing of how much single ones scatter.
	fewRows = 8
	// robust is a normal distribution's standard deviation over its median absolute value.
	robust = 1.4826
	// mostResidual is no scatter any more, but another thing than what was fitted.
	mostResidual = 0.5
	// leastNoise keeps repetitions of one exact number from looking like certainty.
	leastNoise = 0.005
)

// padCandidates are the multiples that engines pad prompts up to.
var padCandidates = []int{1, 16, 32, 64, 128, 256, 512}

// Fit learns from all observations at once. It fails where what they say cannot be of this model and GPU at all.
func (c *Calibration) fit(observations []Observation) error {
	byKind := map[Kind][]Observation{}
	for _, o := range observations {
		if why := o.check(); why != "" {
			c.Counts[o.Kind.orOther()].ignore(why)
			continue
		}
		byKind[o.Kind] = append(byKind[o.Kind], o)
	}
	for kind, p := range c.phases {
		kept, err := p.plausible(byKind[kind], c.Counts[kind])
		if err != nil {
			return err
		}
		pad := 1
		if kind == Prefill {
			pad = p.padding(kept)
			kept = padded(kept, pad)
		}
		s, err := p.fit(kept, c.Counts[kind])
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if len(kept) >= fewRows && s.Residual >= mostResidual {
			return fmt.Errorf("%s: whatever the coefficients within physics, half of the %d readings stay more than %.0f %% off: are they of another model or GPU, in another unit than the column says, or were tokens reused that it does not count?",
				kind, len(kept), 100*mostResidual/robust)
		}
		s.PadTokens = pad
		c.States[kind] = s
	}
	return nil
}

// plausible leaves rows out that are far from all belief, and refuses them when they are most: then it is a unit.
func (p *phase) plausible(rows []Observation, counts *Counts) ([]Observation, error) {
	var kept []Observation
	var ratios []float64
	ones, g, theta := ones(len(p.prior)), make([]float64, len(p.prior)), make([]float64, len(p.prior))
	for _, o := range rows {
		off := p.at(ones, o, theta, g)
		ratios = append(ratios, off)
		if math.Abs(off) < math.Log(implausible) {
			kept = append(kept, o)
		}
	}
	if len(ratios) > 0 {
		if middle := math.Exp(median(ratios)); middle > implausible || middle < 1/implausible {
			return nil, fmt.Errorf("%s: half of the %d readings are more than %.3g times what the model expects: are they of another model or GPU, or in another unit than the column says?",
				p.kind, len(ratios), middle)
		}
	}
	counts.Ignore(IgnoredImplausible, len(rows)-len(kept))
	return kept, nil
}

// padding finds the multiple that the engine pads prompts up to: 1 unless another explains the times far better.
func (p *phase) padding(rows []Observation) int {
	uneven := 0
	for _, o := range rows {
		if o.Prompts <= 1 && math.Mod(o.Tokens, float64(padCandidates[1])) != 0 {
			uneven++
		}
	}
	if uneven < 12 {
		return 1
	}
	best, least := 1, math.Inf(1)
	for _, pad := range padCandidates {
		s, err := p.fit(padded(rows, pad), new(Counts))
		if err != nil {
			continue
		}
		if pad == 1 {
			least = 0.7 * s.Residual // any other must be clearly better
			continue
		}
		if s.Residual < 0.98*least {
			best, least = pad, s.Residual
		}
	}
	return best
}

// padded rounds single prompts up to a multiple of pad, and gives those of an interval half a multiple more.
func padded(rows []Observation, pad int) []Observation {
	if pad <= 1 {
		return rows
	}
	out := slices.Clone(rows)
	for i, o := range out {
		if o.Prompts <= 1 {
			out[i].Tokens = PadTokens(o.Tokens, pad)
		} else {
			out[i].Tokens += o.Prompts * float64(pad-1) / 2
		}
	}
	return out
}

// PadTokens rounds tokens up to a multiple of pad.
func PadTokens(tokens float64, pad int) float64 {
	if pad <= 1 {
		return tokens
	}
	return math.Ceil(tokens/float64(pad)) * float64(pad)
}

// fit finds the ratios that the rows and the prior together make most likely.
func (p *phase) fit(rows []Observation, counts *Counts) (State, error) {
	n := len(p.prior)
	prior, err := inverse(p.spread.Covariance)
	if err != nil {
		return State{}, err
	}
	s := State{regression: newRegression(prior), Ratios: ones(n), Residual: p.single}
	share := likeness(rows)
	residuals, kept := make([]float64, len(rows)), make([]float64, len(rows))
	jacobian, theta := make([]float64, n), make([]float64, n)
	outliers := 0
	for round := range rounds {
		for k, o := range rows {
			residuals[k] = p.at(s.Ratios, o, theta, jacobian)
			kept[k] = math.Abs(residuals[k])
		}
		if len(rows) >= fewRows {
			s.Residual = min(max(robust*median(kept), leastNoise), mostResidual)
		}
		s.regression = newRegression(prior)
		outliers = 0
		for k, o := range rows {
			noise := max(p.noise(o), s.Residual)
			z := residuals[k] / noise
			// The first rounds are still far off: what contradicts the others shows only later.
			if round > 3 && math.Abs(z) > contradicts {
				outliers++
				continue
			}
			p.at(s.Ratios, o, theta, jacobian)
			s.add(jacobian, residuals[k]+dot(jacobian, s.Ratios), share[k]*huber(z)/(noise*noise))
		}
		next, err := s.solve(p.spread.Low, p.spread.High)
		if err != nil {
			return State{}, err
		}
		moved := 0.0
		for i := range next {
			moved = max(moved, math.Abs(next[i]-s.Ratios[i]))
		}
		s.Ratios = next
		if round > 4 && moved < 1e-7 {
			break
		}
	}
	counts.Used += len(rows) - outliers
	counts.Ignore(IgnoredContradicts, outliers)
	s.Weight = float64(len(rows) - outliers)
	return s, nil
}

// likeness gives each row its share of what rows of like work count together.
func likeness(rows []Observation) []float64 {
	type cell struct{ a, b, c int }
	at := func(o Observation) cell {
		prompts := max(o.Prompts, 1)
		if o.Kind == Decode {
			return cell{octave(o.Sequences), octave(o.ContextTokens / o.Sequences), 0}
		}
		return cell{octave(o.Tokens / prompts), octave(o.CachedTokens / prompts), 0}
	}
	count := map[cell]int{}
	for _, o := range rows {
		count[at(o)]++
	}
	share := make([]float64, len(rows))
	for k, o := range rows {
		share[k] = min(1, likeRows/float64(count[at(o)]))
	}
	return share
}

func octave(x float64) int {
	if x < 1 {
		return 0
	}
	return 1 + int(math.Log2(x))
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

func ones(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
