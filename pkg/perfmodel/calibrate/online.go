package calibrate

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// How far a running service may correct the model. The bounds of the belief (what physics explains) hold as well.
const (
	// LeastRatio is the least that a learnt step takes, as a share of the prior's: a step's time is homogeneous in its
	// coefficients and falls with none of them, so that a bound of each is a bound of all steps.
	LeastRatio = 0.7
	// MostRatio is the most.
	MostRatio = 4.0
)

const (
	// fewestObservations are needed before what was learnt is used, and after a rollout before that is given up.
	fewestObservations = 6
	// leastMove is the change of a step's time that is worth using, and worth writing down.
	leastMove = 0.02
	// surprises in a row on one side mean that the service is another one than before: throttled, upgraded, mended.
	surprises    = 5
	surprisingZ  = 2.0
	keptOfErrors = 0.9
)

// Online is what one role of one service has taught while it ran, and what of it is in use: plain data of a bounded size,
// which a Learner is given and returns. The zero Online has learnt nothing.
type Online struct {
	// Of is what it was learnt of: another model, GPU, parallelism, engine or prior starts over.
	Of string `json:"of,omitempty"`
	State
	// Used counts the intervals that taught something since then, Refused the others by reason.
	Used    int             `json:"used"`
	Refused map[Refusal]int `json:"refused,omitempty"`
	// Batches is set once prompts were seen to be computed together: from then on only quiet intervals teach.
	Batches bool `json:"batches,omitempty"`
	// Surprised counts observations in a row that were far off, below zero when they were faster than expected.
	Surprised int `json:"surprised,omitempty"`
	// Work is the work of the observations of late: a mean that forgets.
	Work Observation `json:"work,omitzero"`
	// PriorError and LearntError are mean absolute relative errors of late, each told before the reading was taken in.
	PriorError  float64 `json:"priorError"`
	LearntError float64 `json:"learntError"`
	// InUse is what the decision uses.
	InUse InUse `json:"inUse,omitzero"`
}

// InUse is what was learnt when it was last worth a change. It stands until the next: neither decisions nor status follow
// every reading.
type InUse struct {
	// Ratios are of the coefficients to their prior; none is the prior.
	Ratios []float64 `json:"ratios,omitempty"`
	// Observations, PriorError and LearntError are as of Online then.
	Observations int     `json:"observations,omitempty"`
	PriorError   float64 `json:"priorError,omitempty"`
	LearntError  float64 `json:"learntError,omitempty"`
	// StepRatio is a learnt step over the prior's at the work of then, and Uncertainty its relative standard deviation.
	StepRatio   float64 `json:"stepRatio,omitempty"`
	Uncertainty float64 `json:"uncertainty,omitempty"`
}

// Learner corrects one role's model by what its replicas show. It holds the prior and no state.
type Learner struct {
	// PadTokens is the multiple that the engine pads prompts up to, where that is known: no aggregate shows it. 0 and 1 are none.
	PadTokens int

	phase   phase
	of      string
	replica perfmodel.Replica
	prior   [][]float64 // precision
}

// NewLearner starts from what is believed of a replica. of tells apart what the belief does not: the engine, the model's name.
func NewLearner(kind Kind, b perfmodel.Belief, of string) (*Learner, error) {
	if kind != Prefill && kind != Decode {
		return nil, fmt.Errorf("kind is %q: allowed is %s or %s", kind, Prefill, Decode)
	}
	l := &Learner{phase: *phases(b)[kind], replica: b.Replica}
	s := &l.phase.spread
	s.Low, s.High = slices.Clone(s.Low), slices.Clone(s.High)
	for i := range s.Low {
		s.Low[i], s.High[i] = max(s.Low[i], LeastRatio), min(s.High[i], MostRatio)
	}
	var err error
	if l.prior, err = inverse(s.Covariance); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	hash := fnv.New64a()
	text, err := json.Marshal(struct {
		Of    string
		GPUs  int
		Prior []float64
	}{of, b.Replica.GPUs, l.phase.prior})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	hash.Write(text)
	l.of = hex.EncodeToString(hash.Sum(nil))
	return l, nil
}

// begin is o if it is of this learner's replicas, else the prior.
func (l *Learner) begin(o Online) Online {
	n := len(l.phase.prior)
	if o.Of == l.of && len(o.Ratios) == n && len(o.Shift) == n && len(o.Precision) == n {
		o.Refused = maps.Clone(o.Refused)
		return o
	}
	return Online{Of: l.of, State: State{regression: newRegression(l.prior), Ratios: ones(n), Residual: l.phase.interval, PadTokens: 1}}
}

// Learn takes one interval in and returns what is known then. It changes nothing that it is given. An interval that teaches
// nothing is counted with its reason, the second result, and forgets nothing: silence is no evidence.
func (l *Learner) Learn(o Online, i Interval) (Online, Refusal) {
	o = l.begin(o)
	o.Batches = o.Batches || i.MostRunning > 1
	i.Batches = i.Batches || o.Batches
	if i.HeldTokens == 0 {
		i.HeldTokens = i.HeldShares * l.replica.KVCapacityTokens
	}
	reading, why := i.observation(l.phase.kind)
	reading = padded([]Observation{reading}, l.PadTokens)[0]
	if why == "" {
		why = l.doubt(reading)
	}
	if why != "" {
		if o.Refused == nil {
			o.Refused = map[Refusal]int{}
		}
		o.Refused[why]++
		return o, why
	}
	l.judge(&o, reading)
	o.regression = o.clone()
	o.forget(l.prior, DefaultKeep)
	o.Weight *= DefaultKeep
	o.State = l.phase.update(o.State, reading)
	o.Used++
	o.Work = blend(o.Work, reading, 1/float64(min(o.Used, 20)))
	l.use(&o)
	return o, ""
}

// doubt refuses what the learner cannot follow within its bounds: half as much again outside of them is another thing.
func (l *Learner) doubt(reading Observation) Refusal {
	if why := reading.check(); why != "" {
		return RefusedNotNumbers
	}
	n := len(l.phase.prior)
	switch off := l.phase.at(ones(n), reading, make([]float64, n), make([]float64, n)); {
	case math.IsNaN(off):
		return RefusedNotNumbers
	case off < math.Log(LeastRatio/2) || off > math.Log(MostRatio*2):
		return RefusedImplausible
	}
	return ""
}

// judge notes how far the prior and what was learnt were off, before the reading is taken in. Where the learnt model is
// surprised on one side again and again, what it knows is only a guess from now on, as unsure as the prior.
func (l *Learner) judge(o *Online, reading Observation) {
	n := len(l.phase.prior)
	jacobian, theta := make([]float64, n), make([]float64, n)
	keep := keptOfErrors
	if o.Used == 0 {
		keep = 0
	}
	o.PriorError = keep*o.PriorError + (1-keep)*relative(l.phase.at(ones(n), reading, theta, jacobian))
	off := l.phase.at(o.Ratios, reading, theta, jacobian)
	o.LearntError = keep*o.LearntError + (1-keep)*relative(off)
	noise := l.phase.noise(reading)
	spread := noise * noise
	if covariance, err := o.covariance(); err == nil {
		spread += variance(jacobian, covariance)
	}
	switch z := off / math.Sqrt(spread); {
	case z > surprisingZ:
		o.Surprised = max(o.Surprised, 0) + 1
	case z < -surprisingZ:
		o.Surprised = min(o.Surprised, 0) - 1
	default:
		o.Surprised = 0
	}
	if o.Surprised >= surprises || o.Surprised <= -surprises {
		*o = l.Loosen(*o)
		o.Weight = surprises // so many have shown the same
	}
}

// relative is the absolute relative error of a prediction whose logarithm is off below the reading's.
func relative(off float64) float64 { return math.Abs(math.Exp(-off) - 1) }

// Loosen keeps what was learnt as the best guess and is as unsure of it as of the prior: after a rollout, whose new
// engine may be faster or slower.
func (l *Learner) Loosen(o Online) Online {
	o = l.begin(o)
	loose := newRegression(l.prior)
	for i, row := range l.prior {
		loose.Shift[i] = dot(row, o.Ratios)
	}
	o.regression, o.Surprised, o.Weight = loose, 0, 0
	return o
}

// use takes over what was learnt where a step's time has moved by more than it is uncertain of and more than leastMove, or
// where so much more was seen that the numbers beside it are old.
func (l *Learner) use(o *Online) {
	if o.Weight < fewestObservations-0.5 { // the first of them have faded a little
		return
	}
	covariance, err := o.covariance()
	if err != nil {
		return
	}
	now := l.inUse(o, covariance)
	before := o.InUse.Ratios
	if len(before) != len(o.Ratios) {
		before = ones(len(o.Ratios))
	}
	n := len(o.Ratios)
	jacobian, theta := make([]float64, n), make([]float64, n)
	moved := o.InUse.Observations == 0
	for _, work := range append(referenceWork(l.phase.kind), o.Work) {
		work.Ms = 1
		change := math.Abs(l.phase.at(o.Ratios, work, theta, jacobian) - l.phase.at(before, work, theta, make([]float64, n)))
		moved = moved || change > max(leastMove, math.Sqrt(variance(jacobian, covariance)))
	}
	const settled = 100 // what 100 intervals leave is as sure as it gets
	if moved || o.InUse.Observations < settled && o.Used >= 2*o.InUse.Observations {
		o.InUse = now
	}
}

func (l *Learner) inUse(o *Online, covariance [][]float64) InUse {
	n := len(o.Ratios)
	work, jacobian, theta := o.Work, make([]float64, n), make([]float64, n)
	work.Ms = 1
	prior := l.phase.at(ones(n), work, theta, make([]float64, n))
	learnt := l.phase.at(o.Ratios, work, theta, jacobian)
	return InUse{
		Ratios: slices.Clone(o.Ratios), Observations: o.Used, PriorError: o.PriorError, LearntError: o.LearntError,
		StepRatio: math.Exp(prior - learnt), Uncertainty: math.Sqrt(variance(jacobian, covariance)),
	}
}

// referenceWork is where a change of the parameters is looked for beside what the service does now.
func referenceWork(kind Kind) []Observation {
	if kind == Prefill {
		return []Observation{{Kind: Prefill, Tokens: 512}, {Kind: Prefill, Tokens: 2048}, {Kind: Prefill, Tokens: 8192}}
	}
	return []Observation{
		{Kind: Decode, Sequences: 1, ContextTokens: 512}, {Kind: Decode, Sequences: 16, ContextTokens: 16 << 10}, {Kind: Decode, Sequences: 64, ContextTokens: 128 << 10},
	}
}

// blend moves a mean work a share towards a new one, per prompt or per step.
func blend(mean, o Observation, share float64) Observation {
	prompts := max(o.Prompts, 1)
	mix := func(a *float64, b float64) { *a += share * (b - *a) }
	mean.Kind = o.Kind
	mix(&mean.Tokens, o.Tokens/prompts)
	mix(&mean.CachedTokens, o.CachedTokens/prompts)
	mix(&mean.LengthSCV, o.LengthSCV)
	mix(&mean.Sequences, o.Sequences)
	mix(&mean.ContextTokens, o.ContextTokens)
	return mean
}

// Replica is the replica with what is in use of o, and whether that is anything but the prior.
func (l *Learner) Replica(o Online) (r perfmodel.Replica, learnt bool) {
	r = l.replica
	if o.Of != l.of || len(o.InUse.Ratios) != len(l.phase.prior) {
		return r, false
	}
	theta := slices.Clone(l.phase.prior)
	for i, x := range o.InUse.Ratios {
		theta[i] *= min(max(x, l.phase.spread.Low[i]), l.phase.spread.High[i])
	}
	if l.phase.kind == Prefill {
		r.Prefill = r.Prefill.WithCoefficients(theta)
	} else {
		r.Decode = r.Decode.WithCoefficients(theta)
	}
	r.BusyActivity = l.replica.BusyActivity.At(l.replica, r)
	return r, true
}

// MostRefused is the reason that most refused intervals had, empty where none was; the first by name of several.
func (o Online) MostRefused() (most Refusal) {
	for _, why := range slices.Sorted(maps.Keys(o.Refused)) {
		if most == "" || o.Refused[why] > o.Refused[most] {
			most = why
		}
	}
	return most
}
