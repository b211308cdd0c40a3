package perfmodel

import "math"

// The coefficients of a step as vectors, in the order of these names: what calibration learns.
var (
	PrefillNames  = [...]string{"weightReadMs", "expertReadMs", "gemmMsPerToken", "attentionMsPerTokenSquared", "perTokenMs", "overheadMs"}
	DecodeNames   = [...]string{"weightReadMs", "expertReadMs", "gemmMsPerSequence", "perSequenceMs", "overheadMs", "kvMsPerToken"}
	TransferNames = [...]string{"latencyMs", "msPerToken"}
)

// Coefficients are p's in the order of PrefillNames.
func (p Prefill) Coefficients() []float64 {
	return []float64{p.WeightReadMs, p.ExpertReadMs, p.GEMMMsPerToken, p.AttentionMsPerTokenSquared, p.PerTokenMs, p.OverheadMs}
}

// WithCoefficients is p with the coefficients c, in the order of PrefillNames.
func (p Prefill) WithCoefficients(c []float64) Prefill {
	p.WeightReadMs, p.ExpertReadMs, p.GEMMMsPerToken = c[0], c[1], c[2]
	p.AttentionMsPerTokenSquared, p.PerTokenMs, p.OverheadMs = c[3], c[4], c[5]
	return p
}

// Gradient writes how BatchMs(newTokens, attention) changes with each coefficient to g, in the order of PrefillNames, and
// returns the step's ms. A step is homogeneous in its coefficients: ms is the sum of each times its gradient.
func (p Prefill) Gradient(newTokens, attention float64, g []float64) float64 {
	n := clean(newTokens)
	experts := touched(p.ExpertMissShare, n)
	rows := n + p.ExpertTileTokens*experts
	byRead, byGEMM := RoofShares(p.WeightReadMs+p.ExpertReadMs*experts, p.GEMMMsPerToken*rows)
	g[0], g[1], g[2], g[3], g[4], g[5] = byRead, byRead*experts, byGEMM*rows, clean(attention), n, Grown(p.ExchangeGrowth, p.ExchangeTokens, n)
	return p.BatchMs(newTokens, attention)
}

// Coefficients are d's in the order of DecodeNames.
func (d Decode) Coefficients() []float64 {
	return []float64{d.WeightReadMs, d.ExpertReadMs, d.GEMMMsPerSequence, d.PerSequenceMs, d.OverheadMs, d.KVMsPerToken}
}

// WithCoefficients is d with the coefficients c, in the order of DecodeNames.
func (d Decode) WithCoefficients(c []float64) Decode {
	d.WeightReadMs, d.ExpertReadMs, d.GEMMMsPerSequence = c[0], c[1], c[2]
	d.PerSequenceMs, d.OverheadMs, d.KVMsPerToken = c[3], c[4], c[5]
	return d
}

// Gradient is as of Prefill, for StepMs and DecodeNames.
func (d Decode) Gradient(sequences, contextTokens float64, g []float64) float64 {
	b := clean(sequences)
	byRead, byGEMM := RoofShares(d.ReadMs(b), d.GEMMMsPerSequence*b)
	g[0], g[1], g[2], g[3], g[4], g[5] = byRead, byRead*touched(d.ExpertMissShare, b), byGEMM*b, b, Grown(d.ExchangeGrowth, d.ExchangeTokens, b), clean(contextTokens)
	return d.StepMs(sequences, contextTokens)
}

// Coefficients are t's in the order of TransferNames.
func (t Transfer) Coefficients() []float64 { return []float64{t.LatencyMs, t.MsPerToken} }

// WithCoefficients is t with the coefficients c, in the order of TransferNames.
func (t Transfer) WithCoefficients(c []float64) Transfer {
	t.LatencyMs, t.MsPerToken = c[0], c[1]
	return t
}

// Gradient is as of Prefill, for Ms and TransferNames.
func (t Transfer) Gradient(tokens float64, g []float64) float64 {
	g[0], g[1] = 1, clean(tokens)
	return t.Ms(tokens)
}

// RoofShares are the derivatives of JoinRoofs(a, b) to a and b.
func RoofShares(a, b float64) (byA, byB float64) {
	d := roofDistance(a, b)
	if d == 0 {
		both := (1 + math.Sqrt(RoofOverlap)) / 2
		return both, both
	}
	return (1 + (a-b+2*RoofOverlap*b)/d) / 2, (1 + (b-a+2*RoofOverlap*a)/d) / 2
}
