package engine

import (
	"sort"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// stepRun is a number of decode steps of one unchanged batch, taken as a whole.
// Its steps are numbered from 1; step j ends at end(j).
type stepRun struct {
	start     time.Duration
	sequences int
	// context is what the KV cache holds of these sequences before the first step.
	context int
	// firstMs is the first step's time and growthMs what each step takes more
	// than the one before, because each sequence's context grew by a token.
	firstMs  float64
	growthMs float64
	steps    int
	// counted is how many steps have been put into the counters.
	counted int
}

// minStepMs keeps a model without any cost from stopping time.
const minStepMs = 1e-3

func newStepRun(start time.Duration, d perfmodel.Decode, sequences, context, steps int, factor float64) stepRun {
	b := float64(sequences)
	return stepRun{
		start:     start,
		sequences: sequences,
		context:   context,
		firstMs:   max(minStepMs, factor*d.StepMs(b, float64(context))),
		growthMs:  factor * d.KVMsPerToken * b,
		steps:     steps,
	}
}

// end is when step j ends; end(0) is the start of the run.
func (r *stepRun) end(j int) time.Duration {
	n := float64(j)
	return r.start + milliseconds(n*r.firstMs+r.growthMs*n*(n-1)/2)
}

// stopAtOrAfter is the first step, 1 or later, that ends at t or after.
func (r *stepRun) stopAtOrAfter(t time.Duration) int {
	return 1 + sort.Search(r.steps-1, func(i int) bool { return r.end(i+1) >= t })
}

// kvTokens is what the sequences hold while the step after the counted ones
// runs: each has the slot that this step fills.
func (r *stepRun) kvTokens() int {
	if r.sequences == 0 {
		return 0
	}
	return r.context + r.sequences*min(r.steps, r.counted+1)
}

func milliseconds(ms float64) time.Duration {
	return time.Duration(ms*float64(time.Millisecond) + 0.5)
}
