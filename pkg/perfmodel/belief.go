package perfmodel

import "math"

// Spread says how far the truth may lie from the coefficients of one phase, all as shares of them: 0.1 is 10 %.
type Spread struct {
	// Covariance is square, in the order of the phase's names.
	Covariance [][]float64
	// Low and High bound each coefficient's ratio to its mean: outside there is no physics that would explain it.
	Low, High []float64
}

// Belief is what is believed of a replica before it has shown anything: the roofline's view and how sure that is.
type Belief struct {
	Replica  Replica
	Prefill  Spread
	Decode   Spread
	Transfer Spread
}

// NewBelief is NewReplica with the uncertainty that the spread of the priors leaves.
func NewBelief(m Model, g GPU, o Options) (Belief, error) {
	p := defaultPriors()
	replica, err := newReplica(m, g, o, p)
	if err != nil {
		return Belief{}, err
	}
	o = o.withDefaults(m, p)
	m = newRoofline(m, g, o, p).m
	gemm, read, expertRead, kv := m.DenseWeights.gemm(p), m.DenseWeights.read(p), m.ExpertWeights.read(p), p.KVReadBf16
	gemmDeviation, expertReadDeviation := gemm.deviation(), math.Hypot(expertRead.deviation(), p.ExpertRead.deviation())
	if m.ExpertParameters() > m.DenseParameters() {
		gemmDeviation = math.Hypot(m.ExpertWeights.gemm(p).deviation(), p.ExpertGEMM.deviation())
	}
	if o.KVBytesPerElement == 1 {
		kv = p.KVReadFP8
	}
	// What kernels cost at the least, and what the engine may add, in ms: independent, and neither knows the step's size.
	overhead := math.Hypot(m.operations()*p.OperationMs.Mean*p.OperationMs.deviation(), (p.StepMs.High-p.StepMs.Low)/between10And90)
	power, engine := p.PowerLimit.deviation(), p.EngineSpread.deviation()
	compute := math.Hypot(power, engine) // slows both kinds of matrix products together

	prefill := newSpread([]float64{
		math.Hypot(read.deviation(), engine), math.Hypot(expertReadDeviation, engine), math.Hypot(gemmDeviation, compute), math.Hypot(p.Attention.deviation(), compute),
		perTokenDeviation, overhead / replica.Prefill.OverheadMs,
	})
	prefill.correlate(2, 3, compute*compute)
	gemmShare := m.DenseWeights.gemm(p).Mean * p.PowerLimit.Mean
	if m.ExpertParameters() > m.DenseParameters() {
		gemmShare = m.ExpertWeights.gemm(p).Mean * p.PowerLimit.Mean * p.ExpertGEMM.Mean
	}
	prefill.atLeast(0, read.Mean, expertRead.Mean*p.ExpertRead.Mean, gemmShare, p.Attention.Mean)
	decode := newSpread([]float64{
		math.Hypot(read.deviation(), engine), math.Hypot(expertReadDeviation, engine), math.Hypot(gemmDeviation, compute), perTokenDeviation,
		overhead / replica.Decode.OverheadMs, kv.deviation(),
	})
	decode.atLeast(0, read.Mean, expertRead.Mean*p.ExpertRead.Mean, gemmShare)
	decode.atLeast(len(decode.Low)-1, kv.Mean)
	for _, s := range []*Spread{&prefill, &decode} {
		i := len(s.Low) - 1 // the overhead is the last of prefill's and the last but one of decode's
		if s == &decode {
			i--
		}
		s.Low[i], s.High[i] = 0, 1+6*math.Sqrt(s.Covariance[i][i])
	}
	// Networks differ by more than any prior knows: TCP over one card or NVLink between two GPUs.
	transfer := newSpread([]float64{1, 1})
	transfer.Low[0] = 0
	return Belief{Replica: replica, Prefill: prefill, Decode: decode, Transfer: transfer}, nil
}

// perTokenDeviation is of the work between the matrix products, which depends on how an engine fuses its kernels.
const perTokenDeviation = 0.5

// newSpread has independent coefficients of the given relative standard deviations, bounded four of them away in ratio.
func newSpread(deviations []float64) Spread {
	var s Spread
	for i, d := range deviations {
		row := make([]float64, len(deviations))
		row[i] = d * d
		s.Covariance = append(s.Covariance, row)
		s.Low = append(s.Low, math.Exp(-4*d))
		s.High = append(s.High, math.Exp(4*d))
	}
	return s
}

// overPeak is how far beyond a peak a coefficient may lie: datasheets round, and a board's clock may beat them.
const overPeak = 1.15

// atLeast raises the lower bounds from coefficient i on, whose means are at these shares of a peak, to what the peaks allow.
func (s Spread) atLeast(i int, shares ...float64) {
	for k, share := range shares {
		s.Low[i+k] = max(s.Low[i+k], min(1, share/overPeak))
	}
}

func (s Spread) correlate(i, j int, covariance float64) {
	s.Covariance[i][j], s.Covariance[j][i] = covariance, covariance
}

// between10And90 is the distance of a normal distribution's p10 and p90 in standard deviations.
const between10And90 = 2.563

// deviation is the relative standard deviation of a prior whose low and high are its p10 and p90.
func (p prior) deviation() float64 { return math.Log(p.High/p.Low) / between10And90 }
