package policy

import (
	"math"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// LowerBound is a number of GPU-hours that no policy can be below while a share of the requests attains its objectives.
//
// A request that attains must end, so its prompt must be computed and its tokens decoded. Its prompt takes at least the time
// beyond a step's fixed part: q*n^2 of attention and the roofs at a price per token that no batch is below, GEMM or, where
// steps are never that long, more. A token is a B-th of a step of B sequences: f(B)/B is at least its least value over all B
// up to the limit of sequences, and its own context is read at kappa. Those are GPU times of one replica, whatever else it
// does; the replicas of the minimum are held all the time besides, which the work may fill. The requests that may miss are
// taken to be the dearest of each role, and a request that could attain and still end after the traffic, where no GPU-hours are
// counted, costs nothing. A sequence is not preempted. Starting, draining, idle times and the shape of the traffic are left out, so the
// bound is not sharp.
//
// Cached tokens count as free, prefix blocks as all cached but one token.
func LowerBound(t *trace.Trace, spec *planner.Spec, attainment float64, duration time.Duration) float64 {
	s := &spec.Service
	sequences := s.MaxSequences
	if sequences <= 0 {
		sequences = 256
	}
	perToken := math.Inf(1)
	for b := 1; b <= sequences; b++ {
		perToken = min(perToken, s.Decode.Decode.BaseMs(float64(b))/float64(b))
	}
	p := s.Prefill.Prefill
	prefill, decode := make([]float64, t.Len()), make([]float64, t.Len())
	for i := range t.Len() {
		r := t.At(i)
		steps := float64(r.OutputTokens - 1)
		if latest := time.Duration((spec.TTFT.Ms + steps*spec.TPOT.Ms) * float64(time.Millisecond)); r.At+latest > duration {
			continue
		}
		cached := float64(r.CachedTokens)
		if len(r.Blocks) > 0 {
			cached = float64(min(int(r.InputTokens)-1, len(r.Blocks)*trace.BlockTokens))
		}
		n := float64(r.InputTokens) - cached
		// smoothmax(W, g*n) >= g*n: the price of a token in a step of any size.
		prefill[i] = (p.GEMMMsPerToken+p.PerTokenMs)*n + p.AttentionMsPerTokenSquared*n*n
		context := steps*float64(r.InputTokens) + steps*(steps-1)/2
		decode[i] = steps*perToken + s.Decode.Decode.KVMsPerToken*context
	}
	least := func(work []float64, spec planner.RoleSpec) float64 {
		slices.Sort(work)
		sum := 0.0
		for _, ms := range work[:int(math.Ceil(attainment*float64(len(work))))] {
			sum += ms
		}
		held := float64(spec.Min) * duration.Hours()
		return max(sum/3.6e6, held) * float64(spec.GPUsPerReplica)
	}
	return least(prefill, spec.Prefill) + least(decode, spec.Decode)
}
