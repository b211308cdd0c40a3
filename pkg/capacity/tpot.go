package capacity

import "math"

// TPOTQuantileMs is the time per output token, (end - first token)/(output - 1), that a share q of the requests stays
// within: +Inf when the pool is not stable or q is not below 1. It holds the handover when prefill emits the first token.
func (d DecodePool) TPOTQuantileMs(q float64) float64 {
	if !d.Stable || !(q < 1) {
		return math.Inf(1)
	}
	return d.quantile(q)
}

// FloorMs is TPOTQuantileMs of requests that are alone on their replicas: what no number of replicas improves on.
func (d DecodePool) FloorMs(q float64) float64 {
	if !(q < 1) {
		return math.Inf(1)
	}
	d.step.slow, d.perMs = 1, 0
	d.settle(0)
	return d.quantile(q)
}

// quantile is the step and the entry at their medians, and what a request of quantile q sees beyond: slower steps, and an
// entry that takes longer or is spread over fewer tokens. The two are independent: their excursions join as the root of their
// squares' sum.
func (d *DecodePool) quantile(q float64) float64 {
	q = min(max(q, 1e-9), 1-1e-9)
	z := normalQuantile(q)
	middle, step, entry := d.StepMs, d.stepExcursionMs(z), 0.0
	if !d.atDecode {
		e := d.entry()
		median := e.quantile(0.5)
		middle += median
		entry = e.quantile(q) - median
	}
	return max(middle+math.Copysign(math.Sqrt(step*step+entry*entry), z), d.step.ms(1))
}

// outputNodes part the outputs by probability, finer towards the short ones, over whose few tokens an entry is spread.
var outputNodes = [...]float64{0, 0.006, 0.02, 0.045, 0.08, 0.14, 0.24, 0.4, 0.65, 1}

// longestOutput stands for the longest of outputs that have no longest.
const longestOutput = 0.999

// entry is (join + W)/tokens, what a request's entry adds to its TPOT: W is zero but for a share waits of the requests, and
// exponential for those. With N the tokens,
//
//	P(entry > y) = P(N < join/y) + waits * E[exp(-(y*N - join)/meanWait) ; N >= join/y]
type entry struct {
	join, waits, meanWait float64
	output                Lengths
	tokens                [len(outputNodes)]float64 // at the nodes
}

func (d *DecodePool) entry() (e entry) {
	e.join, e.output = d.joinMs(), d.output
	if e.waits, e.meanWait = d.admission(); !e.late() {
		return e
	}
	if d.output.Histogram != nil {
		d.output.Histogram.quantiles(outputNodes[:], e.tokens[:])
	} else {
		inverse := d.output.inverseShape()
		scale := d.output.Mean / math.Gamma(1+inverse)
		for k, p := range outputNodes {
			e.tokens[k] = scale * math.Pow(-math.Log1p(-min(p, longestOutput)), inverse)
		}
	}
	for k, n := range e.tokens {
		e.tokens[k] = max(1, n-1)
	}
	return e
}

// late tells whether any wait is worth the name.
func (e *entry) late() bool { return e.waits > 1e-9 && e.meanWait > negligibleMs }

func (e *entry) quantile(q float64) float64 {
	soon := e.join / max(1, e.output.quantile(1-q)-1)
	if !e.late() {
		return soon
	}
	// All that wait are done a little after the longest wait of those with the fewest tokens.
	low, high := soon, soon+(e.join+e.meanWait*math.Log(max(1, e.waits/(1-q))+1e3))/e.tokens[0]
	for range 60 {
		y := (low + high) / 2
		if e.tail(y) > 1-q {
			low = y
		} else {
			high = y
		}
		if high-low <= 1e-11*high {
			break
		}
	}
	return high
}

// tail is P(entry > y).
func (e *entry) tail(y float64) float64 {
	border := e.join / y // outputs of fewer tokens are above y even when they do not wait
	sum := 0.0
	for k := range len(outputNodes) - 1 {
		few, many, weight := e.tokens[k], e.tokens[k+1], outputNodes[k+1]-outputNodes[k]
		if border >= many {
			sum += weight
			continue
		}
		above := 0.0
		if border > few {
			above = (border - few) / (many - few)
			few = border
		}
		n := math.Sqrt(few * many) // 1/tokens, not the tokens, is what counts over a wide node
		sum += weight * (above + (1-above)*e.waits*math.Exp(-(y*n-e.join)/e.meanWait))
	}
	return sum
}

// stepExcursionMs is how much slower than StepMs the steps are, averaged over a request's life, z standard deviations out.
func (d DecodePool) stepExcursionMs(z float64) float64 {
	if d.Sequences == 0 {
		return 0
	}
	steadiness, lives := d.fluctuation()
	batch := d.step.ms(max(1, d.Sequences+1+z*math.Sqrt(d.Sequences*d.burst/steadiness*lives))) - d.StepMs
	contexts := z * d.step.slow * d.step.kv * math.Sqrt(d.Sequences*d.context.variance*lives)
	return math.Sqrt(batch*batch + contexts*contexts)
}

// fluctuation is how the batch moves: steadiness is 1 - B*T'/T, the rate at which it comes back to its mean over the rate
// of a batch whose steps do not slow down; lives is the variance of its average over the life of a mean request, over the
// variance at a moment, 2*(y-1+exp(-y))/y^2 at y = steadiness, as a series.
func (d DecodePool) fluctuation() (steadiness, lives float64) {
	y := max(1e-3, 1-d.Sequences*d.step.msPerSequence(d.Sequences+1)/d.StepMs)
	return y, 1 - y/3*(1-y/4*(1-y/5*(1-y/6)))
}

// admission is the probability that a new request finds a wall, and the mean wait in ms of those that do: Halfin and
// Whitt's limit of many slots, with the spread of what is held in place of a Poisson's, and the wait of M/G/n, whose work at
// the wall of the KV cache is a request's tokens over time.
func (d *DecodePool) admission() (probability, meanMs float64) {
	load := max(d.KVLoad, d.SequenceLoad)
	if d.Sequences == 0 || load == 0 {
		return 0, 0
	}
	steadiness, _ := d.fluctuation()
	variance := d.Sequences * d.burst / steadiness
	spare, workSCV := (d.maxSeqs-d.Sequences)/math.Sqrt(variance), d.output.SCV
	if d.kvTokens > 0 && d.context.mean > 0 {
		spread := math.Sqrt(variance*d.context.mean*d.context.mean + d.Sequences*d.context.variance)
		spare = min(spare, d.kvTokens*(1-d.KVLoad)/spread)
		if d.KVLoad > d.SequenceLoad {
			workSCV = d.context.workSCV
		}
	}
	// While requests wait the batch is full, and its steps are the slowest: places come free at that pace.
	residenceMs := d.steps*d.step.ms(d.slots+1) + d.transfer
	full := min(max(load, d.perMs*residenceMs/d.slots), 1-1e-9)
	return delayProbability(spare), residenceMs / (d.slots * (1 - full)) * (2*d.burst - 1 + workSCV) / 2
}

// delayProbability is Halfin and Whitt's 1/(1 + b*Phi(b)/phi(b)), b the spare slots in standard deviations.
func delayProbability(b float64) float64 {
	if b > 30 {
		return 0
	}
	return 1 / (1 + b*(1-normalTail(b))*math.Sqrt(2*math.Pi)*math.Exp(b*b/2))
}
