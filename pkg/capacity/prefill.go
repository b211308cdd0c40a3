package capacity

import "math"

// PrefillPool is what a number of prefill replicas does under a traffic: one queue, one prompt at a time per replica.
type PrefillPool struct {
	// Load is rho_p, the share of time that a replica is busy. At 1 and above the queue grows without end.
	Load   float64
	Stable bool
	// MeanServiceMs is the mean time that a prompt occupies a replica.
	MeanServiceMs float64
	// WaitProbability is the share of prompts that find all replicas busy.
	WaitProbability float64
	// MeanWaitMs is over all prompts; +Inf when not stable.
	MeanWaitMs float64

	work promptWork
	wait wait
}

// promptWork is the distribution of one prompt's work, by its strata.
type promptWork struct {
	// edges are the prefill times at the strata's edges, in ms; they rise.
	edges [strataCount + 1]float64
	// mean (ms), second (ms^2), third and fourth are the moments of the time that a prompt occupies a replica.
	mean, second, third, fourth float64
}

// PrefillPool evaluates replicas prefill replicas under t. No replicas hold no traffic but none.
func (s Service) PrefillPool(replicas int, t Traffic) PrefillPool {
	t = t.clean()
	return s.promptWork(t).pool(replicas, t)
}

// promptWork stratifies the prefill times of t's prompts. Padding up adds half a multiple on average.
func (s Service) promptWork(t Traffic) (w promptWork) {
	pad := float64(max(s.PadTokens, 1)-1) / 2
	tokens := t.Input.edges()
	occupied := tokens
	for k, n := range tokens {
		reused := t.CachedShare + t.OffloadedShare
		w.edges[k] = s.Prefill.Prefill.ChunkedMs(n*(1-reused)+pad, n*reused, float64(s.ChunkTokens))
		if t.OffloadedShare > 0 {
			w.edges[k] += s.Prefill.Reload.Ms(n * t.OffloadedShare)
		}
		occupied[k] = w.edges[k]
		if s.TransferBlocksPrefill {
			occupied[k] += s.transferMs(n)
		}
	}
	for k, weight := range strataWeights {
		a, b := occupied[k], occupied[k+1]
		w.mean += weight * (a + b) / 2
		w.second += weight * (a*a + a*b + b*b) / 3
		w.third += weight * (a + b) * (a*a + b*b) / 4
		w.fourth += weight * (a*a*a*a + a*b*(a*a+a*b+b*b) + b*b*b*b) / 5
	}
	return w
}

// pool queues the work at replicas replicas. t is clean.
func (w promptWork) pool(replicas int, t Traffic) PrefillPool {
	p := PrefillPool{MeanServiceMs: w.mean, work: w}
	perMs := t.RequestsPerSecond * (1 - t.LocalPrefillShare) / 1000
	offered := perMs * w.mean
	servers := min(max(replicas, 0), maxReplicas)
	if offered == 0 {
		p.Stable = servers > 0 || perMs == 0
		return p
	}
	p.Load = offered / float64(servers)
	if p.Stable = p.Load < 1; !p.Stable {
		p.WaitProbability, p.MeanWaitMs = 1, math.Inf(1)
		return p
	}
	serviceSCV := max(0, w.second/(w.mean*w.mean)-1)
	busy := erlangC(servers, offered)
	p.WaitProbability = min(1, busy*busyCorrection(p.Load, t.ArrivalSCV, serviceSCV))
	p.MeanWaitMs = busy * w.mean / (float64(servers) * (1 - p.Load)) *
		(t.ArrivalSCV + serviceSCV - (serviceSCV-1)*sharedCorrection(p.Load, float64(servers))) / 2 * arrivalCorrection(p.Load, t.ArrivalSCV, serviceSCV)
	p.wait = newWait(p.WaitProbability, p.MeanWaitMs, w.waitShape(p.Load))
	return p
}

// sharedCorrection is Cosmetatos's for M/D/c, which Page carries over to M/G/c: the spread of service matters less where
// several servers work on, the more so the lower the load. It is 0 for one server and 1 at most.
func sharedCorrection(load, servers float64) float64 {
	return min(1, (1-load)*(servers-1)*(math.Sqrt(4+5*servers)-2)/(16*load*servers))
}

func (w *promptWork) waitShape(load float64) waitShape {
	square := w.mean * w.mean
	return shapeOfWait(load, w.second/square, w.third/(square*w.mean), w.fourth/(square*square))
}

// arrivalCorrection is Kraemer and Langenbach-Belz's factor for arrivals that are not Poisson: their variance matters less
// the lower the load. It is 1 for Poisson arrivals.
func arrivalCorrection(load, arrivalSCV, serviceSCV float64) float64 {
	switch off := arrivalSCV - 1; {
	case off > 0:
		return math.Exp(-(1 - load) * off / (arrivalSCV + 4*serviceSCV))
	case off < 0:
		return math.Exp(-2 * (1 - load) / (3 * load) * off * off / (arrivalSCV + serviceSCV))
	}
	return 1
}

// erlangC is the probability that all of c servers are busy under offered = lambda*E[S] < c, by the recursion of Erlang B.
func erlangC(c int, offered float64) float64 {
	blocked := 1.0
	for k := 1; k <= c; k++ {
		blocked = offered * blocked / (float64(k) + offered*blocked)
		if blocked < 1e-18 {
			return 0
		}
	}
	load := offered / float64(c)
	return blocked / (1 - load*(1-blocked))
}

// TTFTQuantileMs is the time to first token that a share q of the requests stays within: +Inf when the pool is not stable
// or q is not below 1. It ends with prefill; a service whose first token comes from decode adds DecodePool.HandoverMs.
func (p PrefillPool) TTFTQuantileMs(q float64) float64 {
	if !p.Stable {
		return math.Inf(1)
	}
	return p.work.quantile(q, p.wait)
}

// FloorMs is TTFTQuantileMs when nothing waits: what no number of replicas improves on.
func (p PrefillPool) FloorMs(q float64) float64 { return p.work.quantile(q, wait{}) }
