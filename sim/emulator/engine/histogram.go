package engine

import "sort"

// Histogram counts values in buckets of fixed upper bounds.
type Histogram struct {
	// Bounds are the upper bounds, ascending; values above the last are in Count only.
	Bounds []float64
	// Counts holds, per bound, the values in that bucket alone.
	Counts []uint64
	Count  uint64
	Sum    float64
}

func newHistogram(bounds []float64) Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds))}
}

// Observe adds a value n times.
func (h *Histogram) Observe(value float64, n int) {
	if n <= 0 {
		return
	}
	if i := sort.SearchFloat64s(h.Bounds, value); i < len(h.Counts) {
		h.Counts[i] += uint64(n)
	}
	h.Count += uint64(n)
	h.Sum += value * float64(n)
}

// Cumulative returns, per bound, how many values are at most that bound.
func (h *Histogram) Cumulative() map[float64]uint64 {
	all := make(map[float64]uint64, len(h.Bounds))
	sum := uint64(0)
	for i, bound := range h.Bounds {
		sum += h.Counts[i]
		all[bound] = sum
	}
	return all
}

func (h *Histogram) clone() Histogram {
	c := *h
	c.Counts = append([]uint64(nil), h.Counts...)
	return c
}

// Buckets are the upper bounds of a worker's histograms.
type Buckets struct {
	TTFTSeconds, ITLSeconds, Tokens []float64
}

// The buckets that the services themselves use: a reader of our metrics meets
// the same coarseness. VLLMBuckets are those of vLLM's v1 engine, SGLangBuckets
// those of SGLang's collector.py, and the frontend's those of Dynamo in 2025.
var (
	VLLMBuckets = Buckets{
		TTFTSeconds: []float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560},
		ITLSeconds:  []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80},
		Tokens:      []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000},
	}
	SGLangBuckets = Buckets{
		TTFTSeconds: []float64{.1, .2, .4, .6, .8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400},
		ITLSeconds:  []float64{.002, .004, .006, .008, .01, .015, .02, .025, .03, .035, .04, .06, .08, .1, .2, .4, .6, .8, 1, 2, 4, 6, 8},
		Tokens: []float64{100, 300, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12000, 15000, 20000, 22000, 25000,
			30000, 35000, 40000, 66000, 99000, 132000, 300000, 600000, 900000, 1100000},
	}

	dynamoTTFTSeconds     = []float64{0, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 120, 240, 480}
	dynamoITLSeconds      = []float64{0, .001, .005, .01, .015, .02, .025, .05, .1, .25, .5, 1, 2}
	dynamoDurationSeconds = []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256}
	dynamoInputTokens     = []float64{0, 50, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000}
	dynamoOutputTokens    = []float64{0, 50, 100, 500, 1000, 2000, 4000, 8000, 16000, 32000}
)
