package capacity

import "math"

// PrefillReplicas is the smallest number of prefill replicas, 1..limit, that keeps the TTFT quantile within o, or limit
// and false when none does. TTFT ends with prefill here; the caller takes a handover off o first.
func (s Service) PrefillReplicas(t Traffic, o Objective, limit int) (replicas int, ok bool) {
	t = t.clean()
	work := s.promptWork(t)
	return smallest(limit, func(n int) bool { return work.pool(n, t).holds(o) })
}

// DecodeReplicas is the smallest number of decode replicas, 1..limit, that keeps the TPOT quantile within o, or limit and
// false when none does.
func (s Service) DecodeReplicas(t Traffic, o Objective, limit int) (replicas int, ok bool) {
	t = t.clean()
	work := s.decodeWork(t)
	return smallest(limit, func(n int) bool { return work.at(n, t.RequestsPerSecond).holds(o) })
}

func (p PrefillPool) holds(o Objective) bool { return p.TTFTQuantileMs(o.quantile()) <= o.Ms }

func (d DecodePool) holds(o Objective) bool { return d.TPOTQuantileMs(o.quantile()) <= o.Ms }

// smallest finds the first n in 1..limit that holds, holds being false up to it and true from it on.
func smallest(limit int, holds func(n int) bool) (int, bool) {
	limit = min(limit, maxReplicas)
	if limit < 1 || !holds(limit) {
		return max(limit, 0), false
	}
	low, high := 0, limit // high holds, low does not
	for high-low > 1 {
		if middle := low + (high-low)/2; holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high, true
}

// MaxRatePrefill is the largest rate in requests/s, of t's shape, at which n prefill replicas keep TTFT within o: 0 when
// even one prompt alone misses it, +Inf when none of the requests is theirs.
func (s Service) MaxRatePrefill(n int, t Traffic, o Objective) float64 {
	t = t.clean()
	work := s.promptWork(t)
	perRequest := work.mean * (1 - t.LocalPrefillShare) / 1000 // seconds
	if n < 1 || work.quantile(o.quantile(), wait{}) > o.Ms {
		return 0
	}
	return largestRate(float64(min(n, maxReplicas))/perRequest, func(rate float64) bool {
		t.RequestsPerSecond = rate
		return work.pool(n, t).holds(o)
	})
}

// MaxRateDecode is the largest rate in requests/s, of t's shape, at which n decode replicas keep TPOT within o: 0 when
// even a request alone misses it, +Inf when requests need no decode step.
func (s Service) MaxRateDecode(n int, t Traffic, o Objective) float64 {
	t = t.clean()
	work := s.decodeWork(t)
	perRequest := (work.pool.steps*(work.pool.step.gemm+work.pool.step.slope) + work.localPrefillMs) / 1000 // seconds
	if n < 1 || work.pool.FloorMs(o.quantile()) > o.Ms {
		return 0
	}
	return largestRate(float64(min(n, maxReplicas))/perRequest, func(rate float64) bool {
		return work.at(n, rate).holds(o)
	})
}

// largestRate bisects below high, which does not hold, and returns a rate that does, within a millionth; 0 when none is found.
func largestRate(high float64, holds func(rate float64) bool) float64 {
	if math.IsInf(high, 1) || math.IsNaN(high) {
		return math.Inf(1)
	}
	low := 0.0
	for round := 0; round < 60 && high-low > 1e-6*high; round++ {
		if middle := (low + high) / 2; holds(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}
