package planner

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// outputCuts part the outputs by probability, finer at both ends; outputZ are the standard normal's quantiles there.
var (
	outputCuts = [...]float64{0.002, 0.01, 0.03, 0.08, 0.16, 0.27, 0.4, 0.55, 0.7, 0.82, 0.9, 0.95, 0.98, 0.995, 0.9995}
	outputZ    = func() (z [len(outputCuts)]float64) {
		for i, p := range outputCuts {
			z[i] = math.Sqrt2 * math.Erfinv(2*p-1)
		}
		return z
	}()
)

// OutputLengths is the distribution of outputs that is planned with: lognormal, of the mean and the variation that were read.
// Its short end decides, where the handover of a request is spread over few tokens. A Weibull of two moments makes one answer
// in fifty a single token long as soon as answers vary more than exponential ones do; the time per token of such an answer is
// the KV transfer, and replicas do not shorten that. Answers, and mixtures of short and of long ones, vary as much and are
// hardly ever a single token long.
func OutputLengths(mean, scv float64) capacity.Lengths {
	l := capacity.Lengths{Mean: mean, SCV: scv}
	if !(mean > 0 && scv > 1e-3) {
		return l
	}
	variance := math.Log1p(min(scv, 100))
	sigma, median := math.Sqrt(variance), mean*math.Exp(-variance/2)
	h := &capacity.Histogram{UpTo: make([]float64, len(outputZ)), Count: make([]float64, len(outputZ))}
	below, shorter, sum := 0.0, 0.0, 0.0
	for i, z := range outputZ {
		h.UpTo[i], h.Count[i] = median*math.Exp(sigma*z), outputCuts[i]-below
		sum += h.Count[i] * (shorter + h.UpTo[i]) / 2
		below, shorter = outputCuts[i], h.UpTo[i]
	}
	for i := range h.UpTo {
		h.UpTo[i] *= mean * below / sum // so that its mean is the one that was read
	}
	l.Histogram = h
	return l
}
