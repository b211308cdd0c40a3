package capacity

import (
	"math"
	"slices"
)

// Histogram is a distribution of token counts as counted: Count[i] lengths above UpTo[i-1] (0 for the first) and up to
// UpTo[i], spread evenly within. It is plain data; Lengths takes it in place of an assumed shape.
type Histogram struct {
	// UpTo rises, in tokens.
	UpTo []float64 `json:"upTo"`
	// Count is of anything that is not negative: requests, or shares of them.
	Count []float64 `json:"count"`
}

// histogramBins keep a bin's share below 2 %, denser towards the longest, which decide a TTFT's tail.
var histogramBins = func() (p []float64) {
	for k := 1; k < 50; k++ {
		p = append(p, float64(k)/50)
	}
	for rest := 0.02; rest > 1e-6; rest /= 1.5 {
		p = append(p, 1-rest/1.5)
	}
	return append(p, 1)
}()

// NewHistogram counts lengths, such as those of a trace. Those that are negative or not finite are left out. A gap that no
// length falls into is a bin of its own, so that lengths of a few sizes stay those sizes.
func NewHistogram(lengths []float64) *Histogram {
	sorted := slices.DeleteFunc(slices.Clone(lengths), func(n float64) bool { return !(n >= 0 && n <= largest) })
	slices.Sort(sorted)
	h := &Histogram{}
	counted, last := 0, 0.0
	for _, p := range histogramBins {
		upTo := int(math.Ceil(p * float64(len(sorted))))
		if upTo <= counted {
			continue
		}
		edge := sorted[upTo-1]
		for upTo < len(sorted) && sorted[upTo] == edge {
			upTo++
		}
		if edge <= 0 {
			continue
		}
		// Lengths of one size are a bin of hardly any width.
		if least := min(sorted[counted], edge*(1-1e-6)); least-last > emptyShare*(edge-last) {
			h.UpTo, h.Count = append(h.UpTo, least), append(h.Count, 0)
		}
		h.UpTo, h.Count = append(h.UpTo, edge), append(h.Count, float64(upTo-counted))
		counted, last = upTo, edge
	}
	return h
}

// emptyShare is the share of a bin that may be empty at its low end.
const emptyShare = 0.1

// lengths are h's mean and SCV, with h. It is not ok where h is no distribution.
func (h *Histogram) lengths() (l Lengths, ok bool) {
	if len(h.UpTo) == 0 || len(h.UpTo) != len(h.Count) {
		return l, false
	}
	total, first, second, below := 0.0, 0.0, 0.0, 0.0
	for i, upTo := range h.UpTo {
		n := h.Count[i]
		if !(upTo > below && upTo <= largest) || !(n >= 0 && n <= 1e15) {
			return l, false
		}
		total += n
		first += n * (below + upTo) / 2
		second += n * (below*below + below*upTo + upTo*upTo) / 3
		below = upTo
	}
	if total <= 0 {
		return l, false
	}
	mean := first / total
	return Lengths{Mean: mean, SCV: max(0, second/total/(mean*mean)-1), Histogram: h}, true
}

// quantiles are the token counts at rising probabilities, written to out.
func (h *Histogram) quantiles(probabilities, out []float64) {
	total := 0.0
	for _, n := range h.Count {
		total += n
	}
	i, counted, below := 0, 0.0, 0.0
	for k, p := range probabilities {
		want := p * total
		for i < len(h.UpTo)-1 && counted+h.Count[i] < want {
			counted, below = counted+h.Count[i], h.UpTo[i]
			i++
		}
		out[k] = h.UpTo[i]
		if h.Count[i] > 0 {
			out[k] = below + (h.UpTo[i]-below)*min(1, max(0, (want-counted)/h.Count[i]))
		}
	}
}
