package signals

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// gauges gathers a gauge from the pods of one kind that answered in this
// collection: an older value of a pod may be that of a dead one.
// Those that only some versions export are added where they are.
func (v *view) gauges(kind Kind, what quantity, perhaps ...quantity) (values []float64, at time.Time, pods, missing int) {
	for _, p := range of(v.listed, kind) {
		got := []float64(nil)
		if p.spoke {
			got = p.gaugesOf(what)
		}
		switch {
		case len(got) > 0:
			pods++
			at = older(at, p.latest.at)
			values = append(values, got...)
			for _, q := range perhaps {
				values = append(values, p.gaugesOf(q)...)
			}
		case p.target.Ready:
			missing++
		}
	}
	return values, at, pods, missing
}

// sum adds a gauge over all pods of a kind. Where ready pods gave nothing the
// sum is at least that much: over zero it is still of use to whoever looks for
// trouble, and its source says so; a zero is not confirmed by those who did not answer.
func (v *view) sum(kind Kind, what quantity, perhaps ...quantity) planner.Reading {
	values, at, pods, missing := v.gauges(kind, what, perhaps...)
	total := 0.0
	for _, x := range values {
		total += x
	}
	switch {
	case pods == 0:
		return planner.Unknown(v.cause(kind, what))
	case missing == 0:
		return reading(total, at, count(pods, kind))
	case total == 0:
		return planner.Unknown(fmt.Sprintf("%d of %s gave no %s, and the others have none", missing, count(pods+missing, kind), what))
	}
	return planner.Known(total, at, atLeast(fmt.Sprintf("%d of %s", pods, count(pods+missing, kind))))
}

// atLeast marks the source of a sum that is too low.
func atLeast(source string) string { return "at least: " + strings.TrimPrefix(source, "at least: ") }

// prefillWaiting is how many requests wait for a prefill worker. With a NATS
// queue they wait there and nowhere else: a worker takes one at a time.
// Without, they wait in the prefill engines and in the router before them.
func (v *view) prefillWaiting() planner.Reading {
	if v.queue != nil {
		return v.queue.depth(v.queueErr)
	}
	return v.waiting(KindPrefill, prefillQueued)
}

// waiting is how many requests wait in a role's engines, and in the router
// before them where it has a queue of its own. A request that waits for room in
// the KV cache of decode waits for decode, whichever engine holds it; one that
// waits for that before it is computed (kvHandshake) is not counted again.
func (v *view) waiting(role Kind, queued quantity) planner.Reading {
	engines := v.sum(role, requestsWaiting, kvAllocating)
	if _, _, pods, _ := v.gauges(KindFrontend, queued); pods == 0 {
		return engines // the router has no queue of its own
	}
	router := v.sum(KindFrontend, queued)
	switch {
	case engines.Ok() && router.Ok():
		return reading(engines.Or(0)+router.Or(0), older(engines.At, router.At), engines.Source+" and "+router.Source)
	case engines.Or(0) > 0:
		return planner.Known(engines.Value, engines.At, atLeast(engines.Source))
	case router.Or(0) > 0:
		return planner.Known(router.Value, router.At, atLeast(router.Source))
	case engines.Ok():
		return router
	}
	return engines
}

// kvUse is the mean and the largest share of KV cache in use over the decode
// engines that answered: the mean hides the fullest.
func (v *view) kvUse() (average, fullest planner.Reading) {
	values, at, pods, missing := v.gauges(KindDecode, kvUse)
	if pods == 0 {
		none := planner.Unknown(v.cause(KindDecode, kvUse))
		return none, none
	}
	source := count(pods, KindDecode)
	if missing > 0 {
		source = fmt.Sprintf("%d of %s", pods, count(pods+missing, KindDecode))
	}
	return reading(mean(values), at, source), reading(slices.Max(values), at, source)
}
