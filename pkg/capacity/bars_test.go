package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// seedsEach simulations give a quantile with a confidence interval of its own.
const seedsEach = 12

// simulatedTTFT is the mean over the seeds of a quantile, and half of its 95 % confidence interval as a share of it.
func simulatedTTFT(s Service, replicas int, t Traffic, lengths sampler, requests int, quantiles []float64) (mean, uncertain []float64) {
	mean, square := make([]float64, len(quantiles)), make([]float64, len(quantiles))
	for seed := range seedsEach {
		var counts [4096]int // by 256ths of an octave of ms
		total := 0
		eachTTFT(s, replicas, t, lengths, requests, uint64(100+seed), func(ms float64) {
			counts[min(max(int(256*math.Log2(ms)), 0), len(counts)-1)]++
			total++
		})
		for i, q := range quantiles {
			k, below := 0, counts[0]
			for float64(below) < q*float64(total) {
				k++
				below += counts[k]
			}
			v := math.Exp2((float64(k) + 0.5) / 256)
			mean[i] += v / seedsEach
			square[i] += v * v / seedsEach
		}
	}
	const student = 2.201 // of 11 degrees of freedom
	for i, m := range mean {
		deviation := math.Sqrt(max(0, square[i]-m*m) * seedsEach / (seedsEach - 1))
		uncertain = append(uncertain, student*deviation/math.Sqrt(seedsEach)/m)
	}
	return mean, uncertain
}

// Poisson arrivals, loads of 0.3 to 0.9, 1 to 16 replicas. What the package is told is two moments for lengths that are
// Weibull, and a histogram of lengths that are not.
func TestTTFTWithinItsBars(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates tens of millions of requests")
	}
	s := qwenService(t, perfmodel.Options{TP: 2})
	quantiles := []float64{0.5, 0.95}
	for _, f := range []struct {
		name    string
		family  family
		scvs    []float64
		counted bool // by a histogram
	}{
		{"Weibull", weibull, []float64{0.25, 1, 2, 5}, false},
		{"lognormal, counted", lognormal, []float64{2}, true},
		{"hyperexponential, counted", hyperexponential, []float64{2}, true},
	} {
		for _, scv := range f.scvs {
			// p50 may be high at SCV 5, but not low.
			p50Low, p50High, p95 := 0.15, 0.15, 0.15
			if scv > 2 {
				p50Low, p50High, p95 = 0.10, math.Inf(1), 0.20
			}
			worst := [2]tally{}
			uncertain := 0.0
			traffic := conversation(scv, 1, 1)
			lengths := f.family(traffic.Input)
			if f.counted {
				random, values := rand.New(rand.NewPCG(5, 6)), make([]float64, 20_000)
				for i := range values {
					values[i] = lengths(random)
				}
				traffic.Input, lengths = Lengths{Histogram: NewHistogram(values)}, resample(values)
			}
			for _, replicas := range []int{1, 4, 16} {
				for _, load := range []float64{0.3, 0.6, 0.9} {
					traffic.RequestsPerSecond = load * s.MaxRatePrefill(replicas, traffic, Objective{Ms: 1e9})
					requests := int(40_000 * (1 + scv*scv/2))
					if load > 0.8 {
						requests = int(270_000 * (1 + scv))
					}
					if scv > 2 {
						requests += requests / 2
					}
					p := s.PrefillPool(replicas, traffic)
					simulated, off := simulatedTTFT(s, replicas, traffic, lengths, requests, quantiles)
					at := fmt.Sprintf("%d replicas, load %v", replicas, load)
					for i, q := range quantiles {
						worst[i].add(at, p.TTFTQuantileMs(q), simulated[i])
						uncertain = max(uncertain, off[i])
						r := p.TTFTQuantileMs(q)/simulated[i] - 1
						if i == 0 && (r < -p50Low || r > p50High) || i == 1 && math.Abs(r) > p95 {
							t.Errorf("%s, SCV %v, %s: p%g is off by %+.1f %%", f.name, scv, at, 100*q, 100*r)
						}
					}
				}
			}
			if uncertain > 0.03 {
				t.Errorf("%s, SCV %v: the simulation is only sure to +-%.1f %%", f.name, scv, 100*uncertain)
			}
			t.Logf("%s, SCV %v: p50 %v; p95 %v; confidence +-%.1f %%", f.name, scv, &worst[0], &worst[1], 100*uncertain)
		}
	}
}
