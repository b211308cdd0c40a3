package capacity

import "math"

// strataCount is a compromise: 26 strata keep the discretisation's error near 1 % and an evaluation under a microsecond.
const strataCount = 26

// strataEdges are the strata's edges as quantiles of the unit exponential, from which a Weibull's follow by a power. They
// are denser where the tail of a TTFT is decided. What lies outside belongs to the outermost strata.
var strataEdges = [strataCount + 1]float64{
	0.001, 0.02, 0.06, 0.12, 0.2, 0.3, 0.42, 0.56, 0.72, 0.9, 1.1, 1.32, 1.56,
	1.82, 2.1, 2.4, 2.75, 3.15, 3.6, 4.1, 4.7, 5.4, 6.3, 7.5, 9.2, 11.2, 13.5,
}

var (
	// strataLogs are the logarithms of the edges.
	strataLogs [strataCount + 1]float64
	// strataProbabilities are the quantiles at the edges.
	strataProbabilities [strataCount + 1]float64
	// strataWeights are the probabilities of the strata; they sum to 1.
	strataWeights [strataCount]float64
)

func init() {
	below := 1.0
	for k := range strataWeights {
		above := math.Exp(-strataEdges[k+1])
		if k == strataCount-1 {
			above = 0
		}
		strataWeights[k] = below - above
		below = above
	}
	for k, e := range strataEdges {
		strataLogs[k] = math.Log(e)
		strataProbabilities[k] = -math.Expm1(-e)
	}
}

// edges are the token counts at the strata's edges: of l's histogram, or of a Weibull of l's SCV, scaled so that the
// stratified mean is l's.
func (l Lengths) edges() (tokens [strataCount + 1]float64) {
	if l.Histogram != nil {
		l.Histogram.quantiles(strataProbabilities[:], tokens[:])
	} else {
		inverse := l.inverseShape()
		for k, log := range strataLogs {
			tokens[k] = math.Exp(log * inverse)
		}
	}
	mean := 0.0
	for k, w := range strataWeights {
		mean += w * (tokens[k] + tokens[k+1]) / 2
	}
	scale := l.Mean / mean
	for k := range tokens {
		tokens[k] *= scale
	}
	return tokens
}

// quantile is the token count that a share p of the lengths stays within, 0 < p < 1.
func (l Lengths) quantile(p float64) float64 {
	if l.Histogram != nil {
		probability, tokens := [1]float64{p}, [1]float64{}
		l.Histogram.quantiles(probability[:], tokens[:])
		return tokens[0]
	}
	inverse := l.inverseShape()
	return l.Mean / math.Gamma(1+inverse) * math.Pow(-math.Log1p(-p), inverse)
}

// shapes tabulates a Weibull's shape k over the logarithm of its SCV = Gamma(1+2/k)/Gamma(1+1/k)^2 - 1, which has no
// inverse in closed form. Rows are {ln SCV, ln k}.
var shapes = [...][2]float64{
	{math.Log(0.01), math.Log(12.153434)}, {math.Log(0.05), math.Log(5.133399)}, {math.Log(0.1), math.Log(3.502839)},
	{math.Log(0.3), math.Log(1.898963)}, {math.Log(0.5), math.Log(1.435523)}, {0, 0},
	{math.Log(1.5), math.Log(0.821714)}, {math.Log(2), math.Log(0.720905)}, {math.Log(3), math.Log(0.607248)},
	{math.Log(5), math.Log(0.5)}, {math.Log(8), math.Log(0.426775)},
}

// inverseShape is 1/k: 0 for a constant length, 1 for an exponential one.
func (l Lengths) inverseShape() float64 {
	if l.SCV < 1e-6 {
		return 0
	}
	if l.SCV == 1 {
		return 1
	}
	x := math.Log(l.SCV)
	i := 1
	for i < len(shapes)-1 && x > shapes[i][0] {
		i++
	}
	low, high := shapes[i-1], shapes[i]
	return math.Exp(-(low[1] + (x-low[0])*(high[1]-low[1])/(high[0]-low[0])))
}
