package capacity

import (
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// What limits a decode pool, the values of DecodePool.Bound.
const (
	BoundBandwidth = "bandwidth"
	BoundKV        = "kv"
	BoundSequences = "sequences"
)

// DecodePool is what a number of decode replicas does under a traffic. Each replica serves an equal share by itself.
type DecodePool struct {
	// Stable is false when requests arrive faster than any batch within the walls works them off.
	Stable bool
	// Sequences is B, the mean number of running sequences per replica; at the wall when not stable.
	Sequences float64
	// StepMs is the mean decode step that a running sequence sees; of a full batch when not stable.
	StepMs float64
	// BandwidthLoad is the rate over the rate that an endless batch would reach, whatever its latency.
	BandwidthLoad float64
	// KVLoad is the mean occupied share of the KV cache that can be used, above 1 when the sequences would not fit and
	// +Inf when they would be ever more.
	KVLoad float64
	// SequenceLoad is the mean occupied share of the sequence slots, above 1 when there are too few and +Inf
	// when there would be ever more sequences.
	SequenceLoad float64
	// Bound is which of the three loads is largest, BoundBandwidth, BoundKV or BoundSequences; bandwidth when no batch keeps up.
	Bound string

	step     stepCurve
	perMs    float64 // requests per ms and replica
	steps    float64 // decode steps of a mean request
	burst    float64 // variance of the arrivals over Poisson's
	output   Lengths
	transfer float64 // ms, of a mean prompt
	atDecode bool    // the first decode step ends TTFT
	context  contexts
	kvTokens float64 // that can be used
	slots    float64 // sequences that fit within both walls
	maxSeqs  float64
}

// contexts are the moments of a running sequence's context, in tokens, weighted by the steps it is seen in.
type contexts struct {
	mean, variance float64
	// workSCV is the squared coefficient of variation, over requests, of a request's context summed over its steps.
	workSCV float64
}

// contextsOf integrates over a request's output: ctx = E[in] + E[out^2]/(2 E[out]) and the second moment alike. The higher
// moments of the output, of which only two are known, are a gamma distribution's.
func contextsOf(t Traffic) contexts {
	in, out, v := t.Input.Mean, t.Output.Mean, t.Output.SCV
	mean := in + out*(1+v)/2
	second := in*in*(1+t.Input.SCV) + in*out*(1+v) + out*out*(1+v)*(1+2*v)/3
	// in*out + out^2/2, squared.
	work := in*in*(1+t.Input.SCV)*(1+v) + in*out*(1+v)*(1+2*v) + out*out*(1+v)*(1+2*v)*(1+3*v)/4
	c := contexts{mean: mean, variance: max(0, second-mean*mean)}
	if mean > 1e-100 { // below, its square is zero
		c.workSCV = max(0, work/(mean*mean)-1)
	}
	return c
}

// strandedTokens is the KV cache that stays free because the prompt at the head of the queue does not fit into it: half of
// that prompt on average, and a prompt that waits there is long in proportion to its length.
func strandedTokens(input Lengths) float64 { return input.Mean * (1 + input.SCV) / 2 }

// stepCurve is T(x), the step of x sequences of mean context: roofs(read(x), gemm*x) + slope*x + overhead(x), times slow.
type stepCurve struct {
	roof, gemm, slope, fixed float64
	experts, miss            float64 // of a mixture: ms to read all routed experts, share of them that a sequence does not touch
	growth, half             float64 // of the fixed part, as of perfmodel.Decode's exchange
	kv                       float64 // ms per token of context
	slow                     float64 // at least 1: the time that prefills done on the decode replica take
}

// bends tells whether read or overhead change with x.
func (c *stepCurve) bends() bool { return c.experts > 0 || c.growth > 0 }

// overhead is what a step of x sequences costs beside its work.
func (c *stepCurve) overhead(x float64) float64 {
	return c.fixed * perfmodel.Grown(c.growth, c.half, x)
}

// read is the time to read the weights that x sequences touch.
func (c *stepCurve) read(x float64) float64 {
	if c.experts == 0 {
		return c.roof
	}
	return c.roof + c.experts*(1-math.Pow(c.miss, x))
}

func (c *stepCurve) ms(x float64) float64 {
	return c.slow * (perfmodel.JoinRoofs(c.read(x), c.gemm*x) + c.slope*x + c.overhead(x))
}

// msPerSequence is T'(x).
func (c *stepCurve) msPerSequence(x float64) float64 {
	byRead, byGEMM := perfmodel.RoofShares(c.read(x), c.gemm*x)
	bend := byGEMM * c.gemm
	if c.experts > 0 && c.miss > 0 {
		bend -= byRead * c.experts * math.Log(c.miss) * math.Pow(c.miss, x)
	}
	if c.growth > 0 {
		square := c.half * c.half
		bend += c.fixed * c.growth * 2 * x * square / ((x*x + square) * (x*x + square))
	}
	return c.slow * (bend + c.slope)
}

// DecodePool evaluates replicas decode replicas under t. No replicas hold no traffic but none.
func (s Service) DecodePool(replicas int, t Traffic) DecodePool {
	t = t.clean()
	work := s.decodeWork(t)
	return work.at(replicas, t.RequestsPerSecond)
}

// decodeWork is all of a pool that does not depend on the rate or the replicas. t is clean.
func (s Service) decodeWork(t Traffic) decodeWork {
	c := contextsOf(t)
	w := decodeWork{arrivalSCV: t.ArrivalSCV}
	w.pool = DecodePool{
		output:   t.Output,
		atDecode: s.TTFTEndsAt == EndsAtDecode,
		transfer: s.transferMs(t.Input.Mean),
		context:  c,
		kvTokens: max(0, s.Decode.KVCapacityTokens-strandedTokens(t.Input)),
		maxSeqs:  s.maxSequences(),
		step: stepCurve{
			roof:    s.Decode.Decode.WeightReadMs,
			experts: s.Decode.Decode.ExpertReadMs,
			miss:    s.Decode.Decode.ExpertMissShare,
			gemm:    s.Decode.Decode.GEMMMsPerSequence,
			slope:   s.Decode.Decode.PerSequenceMs + s.Decode.Decode.KVMsPerToken*c.mean,
			fixed:   s.Decode.Decode.OverheadMs,
			growth:  s.Decode.Decode.ExchangeGrowth,
			half:    s.Decode.Decode.ExchangeTokens,
			kv:      s.Decode.Decode.KVMsPerToken,
			slow:    1,
		},
	}
	w.pool.steps = t.Output.Mean
	if !w.pool.atDecode {
		w.pool.steps = max(0, t.Output.Mean-1)
	}
	w.pool.slots = w.pool.maxSeqs
	if c.mean > 0 {
		w.pool.slots = min(w.pool.slots, w.pool.kvTokens/c.mean)
	}
	if t.LocalPrefillShare > 0 {
		local := s
		local.Prefill, local.TransferBlocksPrefill = s.Decode, false
		w.localPrefillMs = t.LocalPrefillShare * local.promptWork(t).mean
	}
	return w
}

type decodeWork struct {
	pool           DecodePool
	arrivalSCV     float64
	localPrefillMs float64 // prefill work per request
}

// at loads the pool with requestsPerSecond over replicas replicas.
func (w *decodeWork) at(replicas int, requestsPerSecond float64) DecodePool {
	d := w.pool
	n := float64(min(max(replicas, 0), maxReplicas))
	// Requests spread at random over n replicas look the more like Poisson the more replicas there are.
	d.burst = (1 + 1 + (w.arrivalSCV-1)/max(n, 1)) / 2
	d.Bound = BoundBandwidth
	if requestsPerSecond > 0 {
		d.perMs = requestsPerSecond / 1000 / n
	}
	prefilling := d.perMs * w.localPrefillMs
	d.step.slow = 1 / (1 - prefilling)
	d.BandwidthLoad = d.perMs*d.steps*(d.step.gemm+d.step.slope)*d.step.slow + prefilling
	if math.IsInf(d.perMs, 1) || prefilling >= 1 {
		d.BandwidthLoad, d.step.slow = math.Inf(1), 1
		return d.full()
	}
	rate := d.perMs * d.steps * d.step.slow // steps per ms of an unslowed replica
	if rate*(d.step.gemm+d.step.slope) >= 1 {
		return d.full()
	}
	d.settle(rate)
	d.Stable = d.KVLoad < 1 && d.SequenceLoad < 1
	switch {
	case d.KVLoad > d.BandwidthLoad && d.KVLoad >= d.SequenceLoad:
		d.Bound = BoundKV
	case d.SequenceLoad > d.BandwidthLoad:
		d.Bound = BoundSequences
	}
	if !d.Stable {
		d.Sequences = min(d.Sequences, d.slots)
		d.StepMs = d.step.ms(max(1, d.Sequences))
	}
	return d
}

// settle solves x = 1 + rate*T(x) for x = B+1: the joined roofs are K*x - M where K = 1/rate - slope and M = 1/rate +
// overhead, so that (K*x - M - read)*((K-gemm)*x - M) = overlap*read*gemm*x, of which the greater root is theirs. What bends,
// the read of the experts that x touches and the overhead, is filled in from below, which rises to the least x that fits.
func (d *DecodePool) settle(rate float64) {
	x := 1.0
	if rate > 1e-12 { // below, the batch is one request and 1/rate^2 would overflow
		k := 1/rate - d.step.slope
		for range settleRounds {
			before, read, m := x, d.step.read(x), 1/rate+d.step.overhead(x)
			x = greaterRoot((m+read)/k, m/(k-d.step.gemm), perfmodel.RoofOverlap*read*d.step.gemm/(k*(k-d.step.gemm)))
			if !d.step.bends() || x-before <= 1e-12*x {
				break
			}
		}
	}
	d.StepMs = d.step.ms(x)
	d.Sequences = d.perMs * d.steps * d.StepMs
	d.SequenceLoad = d.Sequences / d.maxSeqs
	// KV cache is held from the start of the transfer on.
	if held := (d.Sequences + d.perMs*d.transfer) * d.context.mean; held > 0 {
		d.KVLoad = held / d.kvTokens
	}
}

// greaterRoot is that of (x-a)*(x-b) = c*x, for c of 0 or more.
func greaterRoot(a, b, c float64) float64 {
	apart := (a - b) / 2
	return (a+b+c)/2 + math.Sqrt(apart*apart+c/2*(a+b+c/2))
}

// settleRounds ends the filling in of what bends, which stands still within a dozen rounds unless the load is extreme.
const settleRounds = 60

// full is a pool that no batch size would keep up: its batches are at the wall.
func (d DecodePool) full() DecodePool {
	d.Sequences = d.slots
	d.StepMs = d.step.ms(max(1, d.slots))
	d.KVLoad, d.SequenceLoad = math.Inf(1), math.Inf(1)
	return d
}

// LoadFor is the rate over the largest rate that keeps the mean step within o and the mean batch within the walls; at 1
// the pool is full. While no wall is near this is rho_d. It is +Inf when a request alone on its replica misses o already.
func (d DecodePool) LoadFor(o Objective) float64 {
	load, _ := d.fullest(o)
	return load
}

// BoundFor is what LoadFor is the load of: BoundBandwidth while it is the steps that must stay within o, else the wall that
// the batch meets first.
func (d DecodePool) BoundFor(o Objective) string {
	_, bound := d.fullest(o)
	return bound
}

func (d DecodePool) fullest(o Objective) (load float64, bound string) {
	bound = BoundBandwidth
	if d.perMs == 0 || d.steps == 0 {
		return 0, bound
	}
	x := d.step.sequencesAt(positive(o.Ms)) // the batch and the request itself
	if x <= 1 || math.IsInf(d.perMs, 1) || math.IsInf(d.BandwidthLoad, 1) || d.slots == 0 {
		return math.Inf(1), bound
	}
	if !math.IsInf(x, 1) {
		load = d.perMs * d.steps * positive(o.Ms) / (x - 1)
	}
	if slots := d.perMs * d.steps * d.step.ms(d.maxSeqs+1) / d.maxSeqs; slots > load {
		load, bound = slots, BoundSequences
	}
	if d.context.mean > 0 {
		held := min(d.kvTokens/d.context.mean, largest) // more would overflow a step's squares
		if kv := d.perMs * (d.steps*d.step.ms(held+1) + d.transfer) / held; kv > load {
			load, bound = kv, BoundKV
		}
	}
	return load, bound
}

// sequencesAt is the x at which T(x) = ms: 1 or less when a sequence alone takes longer, +Inf when no batch takes as long.
// Where something bends it lies between those with none and with all of the experts read and of the overhead grown.
func (c *stepCurve) sequencesAt(ms float64) float64 {
	if c.ms(1) >= ms {
		return 1
	}
	budget := ms / c.slow
	if !c.bends() {
		return c.sequencesWithin(budget-c.fixed, c.roof)
	}
	low := max(1, c.sequencesWithin(budget-c.fixed*(1+c.growth), c.roof+c.experts))
	high := min(c.sequencesWithin(budget-c.fixed, c.roof), 1e12)
	for range 60 {
		if middle := (low + high) / 2; c.ms(middle) < ms {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// sequencesWithin is the x whose roofs and slope take budget ms: (budget - roof - slope*x)*(budget - (slope+gemm)*x) =
// overlap*roof*gemm*x. The smaller root is the inverse of the greater one of 1/x, which stays sound when there is no slope.
func (c *stepCurve) sequencesWithin(budget, roof float64) float64 {
	free := budget - roof
	if free <= 0 {
		return 1
	}
	return 1 / greaterRoot(c.slope/free, (c.slope+c.gemm)/budget, perfmodel.RoofOverlap*roof*c.gemm/(free*budget))
}

// HandoverMs is the mean time from the end of prefill to the end of the first decode step: the wait for a place within
// the walls, the KV transfer, the rest of the step that is running, and the first step. +Inf when not stable.
func (d DecodePool) HandoverMs() float64 {
	if !d.Stable {
		return math.Inf(1)
	}
	probability, mean := d.admission()
	return probability*mean + d.HandoverWorkMs()
}

// HandoverWorkMs is HandoverMs of a request that is let in at once: without the wait for a place. When not stable it is at
// the steps of a full batch.
func (d DecodePool) HandoverWorkMs() float64 { return d.joinMs() + d.StepMs }

// joinMs is the KV transfer and the rest of the running step, half of it on average when there is one.
func (d DecodePool) joinMs() float64 {
	return d.transfer + d.StepMs/2*d.Sequences/(d.Sequences+1)
}
