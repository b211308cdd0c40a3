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

// quantile adds to the median what a request of quantile q sees beyond it: slower steps, a handover that is spread over
// fewer tokens, and a longer wait at a wall. Their excursions are independent and join as the root of their squares' sum.
func (d DecodePool) quantile(q float64) float64 {
	q = min(max(q, 1e-9), 1-1e-9)
	z := normalQuantile(q)
	middle, step := d.StepMs, d.stepExcursionMs(z)
	handover, wait := 0.0, 0.0
	if !d.atDecode {
		probability, mean := d.admission()
		tokens, fewer := d.tokens(0.5), d.tokens(1-q)
		entry, waited := d.joinMs()+probability*mean, waitQuantile(0.5, probability, mean)
		middle += (d.joinMs() + waited) / tokens
		handover = entry/fewer - entry/tokens
		wait = (waitQuantile(q, probability, mean) - waited) / tokens
	}
	return max(middle+math.Copysign(math.Sqrt(step*step+handover*handover+wait*wait), z), d.step.ms(1))
}

// tokens is what a handover is spread over in TPOT, for an output at quantile p of the lengths: two tokens at least.
func (d DecodePool) tokens(p float64) float64 { return max(1, d.output.quantile(p)-1) }

// waitQuantile is of a wait that is zero but for a share probability, whose wait is exponential.
func waitQuantile(q, probability, meanMs float64) float64 {
	if probability <= 1-q {
		return 0
	}
	return meanMs * math.Log(probability/(1-q))
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
// Whitt's limit of many slots, with the spread of what is held in place of a Poisson's.
func (d DecodePool) admission() (probability, meanMs float64) {
	load := max(d.KVLoad, d.SequenceLoad)
	if d.Sequences == 0 || load == 0 {
		return 0, 0
	}
	steadiness, _ := d.fluctuation()
	variance := d.Sequences * d.burst / steadiness
	spare := (d.maxSeqs - d.Sequences) / math.Sqrt(variance)
	if d.kvTokens > 0 && d.context.mean > 0 {
		spread := math.Sqrt(variance*d.context.mean*d.context.mean + d.Sequences*d.context.variance)
		spare = min(spare, d.kvTokens*(1-d.KVLoad)/spread)
	}
	residenceMs := d.steps * d.StepMs
	return delayProbability(spare), residenceMs / (d.slots * (1 - load)) * (2*d.burst - 1 + d.output.SCV) / 2
}

// delayProbability is Halfin and Whitt's 1/(1 + b*Phi(b)/phi(b)), b the spare slots in standard deviations.
func delayProbability(b float64) float64 {
	if b > 30 {
		return 0
	}
	return 1 / (1 + b*(1-normalTail(b))*math.Sqrt(2*math.Pi)*math.Exp(b*b/2))
}
