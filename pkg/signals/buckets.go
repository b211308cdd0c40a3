package signals

import (
	"math"
	"slices"
)

// buckets is one histogram: how many observations were at most each bound.
type buckets struct {
	bounds []float64 // ascending and finite
	upTo   []float64 // cumulative, one per bound
	count  float64
	sum    float64
	// native marks a histogram that lists only buckets with something in them.
	native bool
}

// minus returns what was observed since an earlier state of the same
// histogram. ok is false where it cannot be one: something fell or the bounds changed.
func (b *buckets) minus(earlier *buckets) (since *buckets, ok bool) {
	if b.native && earlier.native && !slices.Equal(b.bounds, earlier.bounds) {
		bounds := common(b, earlier)
		b, earlier = b.onto(bounds), earlier.onto(bounds)
	}
	if b.count < earlier.count || b.sum < earlier.sum || !slices.Equal(b.bounds, earlier.bounds) {
		return nil, false
	}
	since = &buckets{bounds: b.bounds, upTo: make([]float64, len(b.upTo)), count: b.count - earlier.count, sum: b.sum - earlier.sum, native: b.native}
	for i := range b.upTo {
		if b.upTo[i] < earlier.upTo[i] {
			return nil, false
		}
		since.upTo[i] = b.upTo[i] - earlier.upTo[i]
	}
	return since, true
}

// plus returns the sum of two histograms, either of which may be none. Only the bounds that both have are
// kept: there, and only there, the sum of the cumulative counts is exact.
func (b *buckets) plus(other *buckets) *buckets {
	switch {
	case b == nil:
		return other
	case other == nil, other.count == 0 && other.sum == 0 && other.native == b.native && slices.Equal(b.bounds, other.bounds):
		return b
	}
	if b.native && other.native {
		bounds := common(b, other)
		b, other = b.onto(bounds), other.onto(bounds)
	}
	both := &buckets{count: b.count + other.count, sum: b.sum + other.sum, native: b.native && other.native}
	if slices.Equal(b.bounds, other.bounds) {
		// Nearly always. The bounds are then those of the first, which histories share.
		both.bounds, both.upTo = b.bounds, make([]float64, len(b.upTo))
		for i := range b.upTo {
			both.upTo[i] = b.upTo[i] + other.upTo[i]
		}
		return both
	}
	for i, j := 0, 0; i < len(b.bounds) && j < len(other.bounds); {
		switch {
		case b.bounds[i] < other.bounds[j]:
			i++
		case b.bounds[i] > other.bounds[j]:
			j++
		default:
			both.bounds = append(both.bounds, b.bounds[i])
			both.upTo = append(both.upTo, b.upTo[i]+other.upTo[j])
			i, j = i+1, j+1
		}
	}
	return both
}

// at returns the histogram at fewer bounds, which must all be its own.
func (b *buckets) at(bounds []float64) *buckets {
	if slices.Equal(b.bounds, bounds) {
		return b
	}
	if b.native {
		return b.onto(bounds)
	}
	fewer := &buckets{bounds: bounds, count: b.count, sum: b.sum}
	for _, bound := range bounds {
		upTo := b.count
		if i, found := slices.BinarySearch(b.bounds, bound); found {
			upTo = b.upTo[i]
		}
		fewer.upTo = append(fewer.upTo, upTo)
	}
	return fewer
}

// mean is exact: the sum over the count. It is NaN where nothing was observed.
func (b *buckets) mean() float64 { return b.sum / b.count }

// estimate is a quantile as a histogram can tell it: the true value lies in
// low..high, high 0 is no bound.
type estimate struct{ value, low, high float64 }

// quantile returns where the given share of the observations lies. Inside a
// bucket with two known edges the value is interpolated on a straight line. Below the first
// bound and above the last the place inside the bucket is not known at all:
// there the value is the mean where it lies in the same range, else the bound
// itself. A bound of 0 or less is an edge of values that cannot be negative,
// and makes the bucket above it one with two known edges.
func (b *buckets) quantile(share float64) estimate {
	rank := share * b.count
	for i, bound := range b.bounds {
		if b.upTo[i] < rank {
			continue
		}
		if i == 0 {
			if bound <= 0 {
				return estimate{} // all were zero
			}
			if m := b.mean(); m <= bound {
				return estimate{value: m, high: bound}
			}
			return estimate{value: bound, high: bound}
		}
		below, low := b.upTo[i-1], max(b.bounds[i-1], 0)
		return estimate{value: low + (bound-low)*(rank-below)/(b.upTo[i]-below), low: low, high: bound}
	}
	last := 0.0
	if n := len(b.bounds); n > 0 {
		last = max(b.bounds[n-1], 0)
	}
	return estimate{value: max(last, b.mean()), low: last}
}

// maxSCV bounds an estimated squared coefficient of variation: the heaviest
// published trace of prompt lengths is far below it.
const maxSCV = 20

// scv estimates the squared coefficient of variation. Each bucket is taken as
// uniform: its mid-point, and width²/12 within it. Above the last bound the
// place is what the exact sum leaves. The variance is divided by the square of
// the mean of these places, not of the exact mean: errors of place then cancel in part. On 240-request
// windows of the Azure conversation trace and of Mooncake's, the root mean
// square of the relative error is 13..36 % with Dynamo's bounds and 13..21 % with vLLM's
// (TestSCVOnTraces); mid-points over the exact mean were up to 96 % off.
func (b *buckets) scv() float64 {
	if b.count < 2 {
		return math.NaN()
	}
	var sum, square, before, low float64
	for i, bound := range b.bounds {
		n, place, width := b.upTo[i]-before, (low+max(bound, 0))/2, max(bound, 0)-low
		sum += n * place
		square += n * (place*place + width*width/12)
		before, low = b.upTo[i], max(bound, 0)
	}
	if over := b.count - before; over > 0 {
		place := max(low, (b.sum-sum)/over)
		sum += over * place
		square += over * place * place
	}
	mean := sum / b.count
	if mean <= 0 {
		return math.NaN()
	}
	return min(max(square/b.count/(mean*mean)-1, 0), maxSCV)
}
