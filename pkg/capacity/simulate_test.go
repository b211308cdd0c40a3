package capacity

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Small event simulations that share no formula with the package: they draw lengths and arrivals and move a clock.

// sampler draws one token count.
type sampler func(r *rand.Rand) float64

// family makes samplers of a distribution with l's moments: the Weibull that the package assumes, or one that it does not.
type family func(l Lengths) sampler

func weibull(l Lengths) sampler {
	if l.SCV == 0 {
		return func(*rand.Rand) float64 { return l.Mean }
	}
	inverse := weibullInverseShape(l.SCV)
	scale := l.Mean / math.Gamma(1+inverse)
	if l.SCV == 1 {
		return func(r *rand.Rand) float64 { return scale * r.ExpFloat64() }
	}
	return func(r *rand.Rand) float64 { return scale * math.Pow(r.ExpFloat64(), inverse) }
}

// weibullInverseShape inverts the SCV by bisection of its definition.
func weibullInverseShape(scv float64) float64 {
	low, high := 1e-3, 8.0
	for range 80 {
		x := (low + high) / 2
		first, second := math.Gamma(1+x), math.Gamma(1+2*x)
		if second/(first*first)-1 > scv {
			high = x
		} else {
			low = x
		}
	}
	return low
}

func lognormal(l Lengths) sampler {
	variance := math.Log1p(l.SCV)
	return func(r *rand.Rand) float64 { return l.Mean * math.Exp(math.Sqrt(variance)*r.NormFloat64()-variance/2) }
}

// arrivals draws the times between them, mean 1: hyperexponential with balanced means above SCV 1, a sum of exponentials below.
func arrivals(scv float64) sampler {
	switch {
	case scv > 1:
		p := (1 + math.Sqrt((scv-1)/(scv+1))) / 2
		return func(r *rand.Rand) float64 {
			if r.Float64() < p {
				return r.ExpFloat64() / (2 * p)
			}
			return r.ExpFloat64() / (2 * (1 - p))
		}
	case scv < 1:
		k := math.Round(1 / scv)
		return func(r *rand.Rand) float64 {
			sum := 0.0
			for range int(k) {
				sum += r.ExpFloat64()
			}
			return sum / k
		}
	}
	return func(r *rand.Rand) float64 { return r.ExpFloat64() }
}

// simulatePrefill returns the TTFT of requests prompts served first come first served by replicas, sorted, in ms.
func simulatePrefill(s Service, replicas int, t Traffic, lengths sampler, requests int, seed uint64) []float64 {
	ttft := make([]float64, 0, requests)
	eachTTFT(s, replicas, t, lengths, requests, seed, func(ms float64) { ttft = append(ttft, ms) })
	slices.Sort(ttft)
	return ttft
}

// eachTTFT is simulatePrefill for those who keep less than all; the empty system's start is left out.
func eachTTFT(s Service, replicas int, t Traffic, lengths sampler, requests int, seed uint64, take func(ms float64)) {
	r := rand.New(rand.NewPCG(1, seed))
	gap := arrivals(t.ArrivalSCV)
	free := make([]float64, replicas)
	now := 0.0
	for i := range requests {
		now += gap(r) * 1000 / t.RequestsPerSecond
		n := lengths(r)
		first := 0
		for i, at := range free {
			if at < free[first] {
				first = i
			}
		}
		end := max(now, free[first]) + s.Prefill.Prefill.StepMs(n*(1-t.CachedShare), n*t.CachedShare)
		free[first] = end
		if s.TransferBlocksPrefill {
			free[first] += s.transferMs(n)
		}
		if i >= requests/20 {
			take(end - now)
		}
	}
}

// simulateDecode returns the TPOT of requests served by one decode replica, sorted, in ms, and the mean batch while they
// arrive. Prefill emits the first token. KV cache is taken as it grows, the way paged engines do: a request joins when its
// context fits with 1 % to spare, and when the cache is full the youngest leaves, to be computed anew when it fits.
func simulateDecode(s Service, t Traffic, input, output sampler, requests int) (tpot []float64, batch float64) {
	type request struct{ ready, arrived, context, left, steps float64 }
	r := rand.New(rand.NewPCG(3, 4))
	gap := arrivals(t.ArrivalSCV)
	pending := make([]request, 0, requests)
	now := 0.0
	for range requests {
		now += gap(r) * 1000 / t.RequestsPerSecond
		in, steps := input(r), math.Round(max(2, output(r)))-1
		pending = append(pending, request{ready: now + s.transferMs(in), arrived: now, context: in, left: steps, steps: steps})
	}
	slices.SortFunc(pending, func(a, b request) int { return int(math.Copysign(1, a.ready-b.ready)) })
	var running, evicted []request
	clock, context, work, worked := 0.0, 0.0, 0.0, 1.0
	for len(pending)+len(running)+len(evicted) > 0 {
		fits := func(q request) bool {
			return float64(len(running)) < s.maxSequences() && (len(running) == 0 || context+q.context <= 0.99*s.Decode.KVCapacityTokens)
		}
		for len(evicted) > 0 && fits(evicted[len(evicted)-1]) {
			q := evicted[len(evicted)-1]
			evicted = evicted[:len(evicted)-1]
			clock += s.Decode.Prefill.StepMs(q.context, 0)
			running, context = append(running, q), context+q.context
		}
		for len(evicted) == 0 && len(pending) > 0 && pending[0].ready <= clock && fits(pending[0]) {
			running, context = append(running, pending[0]), context+pending[0].context
			pending = pending[1:]
		}
		if len(running) == 0 {
			clock = pending[0].ready
			continue
		}
		for len(running) > 1 && context+float64(len(running)) > s.Decode.KVCapacityTokens {
			youngest := running[len(running)-1]
			running, context = running[:len(running)-1], context-youngest.context
			evicted = append(evicted, youngest)
		}
		step := s.Decode.Decode.StepMs(float64(len(running)), context)
		clock += step
		if len(pending) > 0 {
			work += step * float64(len(running))
			worked = clock
		}
		context += float64(len(running))
		kept := running[:0]
		for _, q := range running {
			q.context++
			if q.left--; q.left > 0 {
				kept = append(kept, q)
				continue
			}
			context -= q.context
			tpot = append(tpot, (clock-q.arrived)/q.steps)
		}
		running = kept
	}
	slices.Sort(tpot)
	return tpot, work / worked
}

func quantileOf(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// hyperexponential has two kinds of lengths, short and long, with balanced means; from SCV 1 on.
func hyperexponential(l Lengths) sampler {
	unit := arrivals(l.SCV)
	return func(r *rand.Rand) float64 { return l.Mean * unit(r) }
}

// resample draws from recorded values.
func resample(values []float64) sampler {
	return func(r *rand.Rand) float64 { return values[r.IntN(len(values))] }
}
