package planner

import "github.com/pdautoscaler/pdautoscaler/pkg/capacity"

// handover is what decode adds to a TTFT that ends there.
type handover struct {
	// ms is what prefill is sized beside.
	ms float64
	// lateMs is all that decode takes, where that is the whole objective or more: +Inf where it does not keep up, 0 where it
	// is in time.
	lateMs float64
	// waitMs is what of it prefill is not sized beside, 0 where it has no bound: it is part of what is predicted all the same.
	waitMs float64
}

// handover is the wait for a place in decode, the KV transfer and the first step. Where decode alone takes the whole
// objective no prefill replicas hold it, and the wait is decode's to mend: prefill is then sized for its own part, beside a
// decode that lets requests in at once. Judged by all of the wait it would seem lost, and give away what it needs as soon as
// decode has its replicas; without any handover it would need less than it does then.
func (p *round) handover(s *capacity.Service, t capacity.Traffic) handover {
	if s.TTFTEndsAt != capacity.EndsAtDecode {
		return handover{}
	}
	n := max(1, p.decode.pool.Desired)
	pool := s.DecodePool(n, t)
	if ms := pool.HandoverMs(); ms < p.spec.TTFT.Ms {
		return handover{ms: ms}
	}
	h := handover{ms: pool.HandoverWorkMs()}
	// What waits for prefill has not come to decode: that decode is late is said of what arrives.
	t.RequestsPerSecond -= p.prefill.d.Demand.BacklogPerSecond
	if ms := s.DecodePool(n, t).HandoverMs(); ms >= p.spec.TTFT.Ms {
		h.lateMs = ms
	}
	if !p.unbounded(h) {
		h.waitMs = max(0, h.lateMs-h.ms)
	}
	return h
}

// unbounded tells whether decode is so late that a number says nothing.
func (p *round) unbounded(h handover) bool { return h.lateMs/p.spec.TTFT.Ms >= worstRatio }

// decodesDoing says why a late first token is decode's doing and not prefill's, empty where it is not.
func (p *round) decodesDoing(r *roleRound) string {
	h, n := r.curve.handover, replicas(max(1, p.decode.pool.Desired))
	switch {
	case r.role != Prefill:
		return ""
	case p.backPressure != "" || h.lateMs == 0:
		return p.backPressure
	case p.unbounded(h):
		return sprintf("decode does not keep up with %s, and a first token waits there: more prefill replicas than its own work needs would not help", n)
	}
	return sprintf("decode takes %s ms for a first token with %s: more prefill replicas than its own work needs would not help", amount(h.lateMs), n)
}
