package signals

import (
	"cmp"
	"fmt"
	"slices"
)

// nativeBucket is one bucket of a native histogram: how many observations lie between two bounds.
type nativeBucket struct{ low, high, count float64 }

// nativeBuckets turns a native histogram into cumulative buckets. It lists only
// the buckets that hold something, and so the bounds of two samples differ: what
// they have in common is worked out by buckets.minus and plus, which know that
// between the bounds of such a histogram there is nothing.
func nativeBuckets(all []nativeBucket, count, sum float64) (*buckets, string) {
	out := &buckets{count: count, sum: sum, native: true}
	slices.SortFunc(all, func(a, b nativeBucket) int { return cmp.Compare(a.high, b.high) })
	upTo, high := 0.0, -largest
	for _, b := range all {
		b.low = max(b.low, -largest)
		if !plausible(b.count) || b.low > b.high || b.low < high {
			return nil, fmt.Sprintf("has the bucket %v to %v with %v observations", b.low, b.high, b.count)
		}
		// An empty edge below a bucket: what lies under it is under its own bound.
		if b.low > high && b.low > -largest {
			out.bounds, out.upTo = append(out.bounds, b.low), append(out.upTo, upTo)
		}
		high = b.high
		if b.high > largest {
			break // above the last bound; the count has it
		}
		upTo += b.count
		out.bounds, out.upTo = append(out.bounds, b.high), append(out.upTo, upTo)
	}
	switch {
	case !plausible(sum):
		return nil, fmt.Sprintf("has the sum %v", sum)
	case !plausible(count) || upTo > count*(1+1e-9):
		return nil, fmt.Sprintf("has the count %v", count)
	}
	return out, ""
}

// onto returns a native histogram at other bounds: at a bound of its own what
// it counts there, between two what the lower one counts. That is exact where
// no bucket that holds something has the bound inside.
func (b *buckets) onto(bounds []float64) *buckets {
	out := &buckets{bounds: bounds, upTo: make([]float64, len(bounds)), count: b.count, sum: b.sum, native: true}
	upTo, j := 0.0, 0
	for i, bound := range bounds {
		for j < len(b.bounds) && b.bounds[j] <= bound {
			upTo = b.upTo[j]
			j++
		}
		out.upTo[i] = upTo
	}
	return out
}

// splits reports whether a bound lies inside a bucket that holds something.
func (b *buckets) splits(bound float64) bool {
	i, found := slices.BinarySearch(b.bounds, bound)
	if found {
		return false
	}
	switch {
	case len(b.bounds) == 0:
		return b.count > 0
	case i == 0:
		return b.upTo[0] > 0
	case i == len(b.bounds):
		return b.count > b.upTo[i-1]
	}
	return b.upTo[i] > b.upTo[i-1]
}

// common are the bounds at which both of two native histograms are exact. A
// histogram that grew coarser in between has only its new bounds in common with
// the finer one.
func common(a, b *buckets) []float64 {
	all := slices.Concat(a.bounds, b.bounds)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(bound float64) bool { return a.splits(bound) || b.splits(bound) })
}
