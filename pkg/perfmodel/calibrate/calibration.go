package calibrate

import (
	"fmt"
	"math"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// Calibration is what is known of one replica's coefficients: the prior, and what its service has shown since. Make one
// with New, feed it with Observe, and read Replica; Fit makes its file.
type Calibration struct {
	// States are by kind; plain data.
	States map[Kind]State
	// Counts are by kind: how many observations were used, and how many were not for which reason.
	Counts map[Kind]*Counts
	// Frozen keeps what was learnt as it is: nothing is taken in.
	Frozen bool
	// Image is the engine's image and version that the service ran, as its user writes it; empty where nobody said.
	Image string
	// Keep is what one call of Observe keeps of what was learnt before, f of the package comment.
	Keep float64

	model   perfmodel.Model
	gpu     perfmodel.GPU
	options perfmodel.Options
	belief  perfmodel.Belief
	phases  map[Kind]*phase
	prior   map[Kind][][]float64 // precision
}

// State is what is known of one phase.
type State struct {
	regression
	// Ratios are of the coefficients to their prior.
	Ratios []float64 `json:"ratios"`
	// Residual is the relative standard deviation of single readings around the formula.
	Residual float64 `json:"residual"`
	// Weight is how many readings are behind it, faded ones in part.
	Weight float64 `json:"weight"`
	// PadTokens is the multiple that prompts are padded up to; 1 is none.
	PadTokens int `json:"padTokens"`
}

// Counts are of observations.
type Counts struct {
	Used    int            `json:"used"`
	Ignored map[string]int `json:"ignored,omitempty"`
}

func (c *Counts) ignore(why string) { c.Ignore(why, 1) }

// Ignore counts n observations as not used for a reason.
func (c *Counts) Ignore(why string, n int) {
	if n == 0 {
		return
	}
	if c.Ignored == nil {
		c.Ignored = map[string]int{}
	}
	c.Ignored[why] += n
}

// Kinds lists all kinds, in the order of a request.
func Kinds() []Kind { return []Kind{Prefill, KVTransfer, Decode} }

// orOther counts what has no kind with prefill, so that nothing is lost.
func (k Kind) orOther() Kind {
	if k.valid() != nil {
		return Prefill
	}
	return k
}

// DefaultKeep fades a reading to a half in 69 intervals.
const DefaultKeep = 0.99

// New starts from the roofline alone.
func New(m perfmodel.Model, g perfmodel.GPU, o perfmodel.Options) (*Calibration, error) {
	belief, err := perfmodel.NewBelief(m, g, o)
	if err != nil {
		return nil, err
	}
	c := &Calibration{model: m, gpu: g, options: o, belief: belief, phases: phases(belief), prior: map[Kind][][]float64{}, Keep: DefaultKeep}
	for kind, p := range c.phases {
		if c.prior[kind], err = inverse(p.spread.Covariance); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
	}
	c.Reset()
	return c, nil
}

// Reset forgets all that was learnt, as after an upgrade of the engine.
func (c *Calibration) Reset() {
	c.States, c.Counts = map[Kind]State{}, map[Kind]*Counts{}
	for kind, p := range c.phases {
		c.Counts[kind] = new(Counts)
		c.States[kind] = State{regression: newRegression(c.prior[kind]), Ratios: ones(len(p.prior)), Residual: p.single, PadTokens: 1}
	}
}

// FitAll is a calibration by all observations at once, as from files. It fails where they cannot be of this model and GPU.
func FitAll(m perfmodel.Model, g perfmodel.GPU, o perfmodel.Options, observations []Observation) (*Calibration, error) {
	c, err := New(m, g, o)
	if err == nil {
		err = c.fit(observations)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Observe takes one interval's readings in. What cannot be used is counted and left out; a reading far from what is known
// moves it little. An interval without a usable reading of a kind forgets nothing of it: silence is no evidence.
func (c *Calibration) Observe(observations ...Observation) {
	fresh := map[Kind]bool{}
	for _, o := range observations {
		why := o.check()
		switch {
		case why == "" && c.Frozen:
			why = IgnoredWhileFrozen
		case why == "" && !c.plausible(o):
			why = IgnoredImplausible
		}
		if why != "" {
			c.Counts[o.Kind.orOther()].ignore(why)
			continue
		}
		p, s := c.phases[o.Kind], c.States[o.Kind]
		if !fresh[o.Kind] {
			s.forget(c.prior[o.Kind], c.Keep)
			s.Weight *= c.Keep
			fresh[o.Kind] = true
		}
		c.States[o.Kind] = p.update(s, padded([]Observation{o}, s.PadTokens)[0])
		c.Counts[o.Kind].Used++
	}
}

// plausible holds o against the prior, not against what was learnt: a throttled GPU must be able to come back.
func (c *Calibration) plausible(o Observation) bool {
	p := c.phases[o.Kind]
	n := len(p.prior)
	return math.Abs(p.at(ones(n), o, make([]float64, n), make([]float64, n))) < math.Log(implausible)
}

// update takes one reading in.
func (p *phase) update(s State, o Observation) State {
	n := len(p.prior)
	jacobian := make([]float64, n)
	residual := p.at(s.Ratios, o, make([]float64, n), jacobian)
	noise := max(p.noise(o), s.Residual)
	predicted := noise * noise
	if covariance, err := s.covariance(); err == nil {
		predicted += variance(jacobian, covariance)
	}
	s.regression = s.clone()
	s.add(jacobian, residual+dot(jacobian, s.Ratios), huber(residual/math.Sqrt(predicted))/(noise*noise))
	if next, err := s.solve(p.spread.Low, p.spread.High); err == nil {
		s.Ratios = next
	}
	s.Weight++
	return s
}

func (r *regression) clone() regression {
	out := regression{Shift: slices.Clone(r.Shift)}
	for _, row := range r.Precision {
		out.Precision = append(out.Precision, slices.Clone(row))
	}
	return out
}

// Replica is the replica with what was learnt.
func (c *Calibration) Replica() perfmodel.Replica {
	r := c.belief.Replica
	r.Prefill = r.Prefill.WithCoefficients(c.coefficients(Prefill))
	r.Decode = r.Decode.WithCoefficients(c.coefficients(Decode))
	r.Transfer = r.Transfer.WithCoefficients(c.coefficients(KVTransfer))
	r.BusyActivity = c.belief.Replica.BusyActivity.At(c.belief.Replica, r)
	return r
}

func (c *Calibration) coefficients(kind Kind) []float64 {
	theta := slices.Clone(c.phases[kind].prior)
	for i, x := range c.States[kind].Ratios {
		theta[i] *= x
	}
	return theta
}

// Uncertainty is the relative standard deviation of the prediction for the work of o, whose Ms is not read: what the
// coefficients leave open, and what single readings scatter by.
func (c *Calibration) Uncertainty(o Observation) float64 {
	if o.Ms = 1; o.check() != "" {
		return math.Inf(1)
	}
	p, s := c.phases[o.Kind], c.States[o.Kind]
	jacobian := make([]float64, len(p.prior))
	p.at(s.Ratios, padded([]Observation{o}, s.PadTokens)[0], make([]float64, len(p.prior)), jacobian)
	covariance, err := s.covariance()
	if err != nil {
		return math.Inf(1)
	}
	return math.Sqrt(variance(jacobian, covariance) + s.Residual*s.Residual)
}
