package planner

import (
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/forecast"
	"pgregory.net/rapid"
)

// drawMemory draws the memory of a planner that has run for a while: windows
// that are full or have a hole, a spike of need at their very edge, periods,
// caps and breaches that have just begun or are just over.
func drawMemory(t *rapid.T, now time.Time, spec *Spec, aim map[Role]int, l load, calm bool) Memory {
	window := int(spec.Behavior.DownWindowSeconds)
	m := Memory{Version: RecordVersion, Since: ago(t, now, 1800, 1800, 1800, 1800, 1800, window+1, window, window-1, 30), LastAt: now.Add(-10 * time.Second)}
	if oneIn(t, 32) {
		m.LastAt = now.Add(time.Minute) // the clock was put back
	}
	for _, role := range []Role{Prefill, Decode} {
		r := m.role(role)
		r.Needs = drawNeeds(t, now, window, aim[role])
		if !calm {
			drawRoleMemory(t, now, r, aim[role])
		}
		if oneIn(t, 3) {
			r.BreachSince = ago(t, now, 120, 61, 60, 59)
		}
		if oneIn(t, 3) {
			r.Rises = drawRises(t, now, l.rate*lengths{l.input, l.output}.of(role))
		}
	}
	if !oneIn(t, 4) {
		slope := pick(t, 0, 0, 0, 0.01, -0.01) // of the rate, per interval
		for i := 12; i >= 1; i-- {
			at, rate := now.Add(-time.Duration(10*i)*time.Second), l.rate*(1-float64(i)*slope)
			m.Requests = append(m.Requests, forecast.Sample{At: at, Value: rate})
			m.Input = append(m.Input, forecast.Sample{At: at, Value: rate * l.input})
			m.Output = append(m.Output, forecast.Sample{At: at, Value: rate * l.output})
		}
	}
	if coin.Draw(t, "") {
		m.Traits = Traits{InputSCV: Known(1, now.Add(-time.Hour), "test"), OutputSCV: Known(1, now.Add(-time.Hour), "test"), CachedShare: Zero(now.Add(-time.Hour), "test")}
	}
	if oneIn(t, 8) {
		m.MoveNotBefore = ago(t, now, -60, -1, 0, 1)
	}
	if !oneIn(t, 3) {
		m.BetterSince = ago(t, now, 10, 39, 40, 60)
	}
	return m
}

// drawNeeds draws what a role has needed every 10 s over a bit more than its
// window: about the aimed count, with a spike or without, with a hole or without.
func drawNeeds(t *rapid.T, now time.Time, window, aim int) []Need {
	level := max(0, aim+pick(t, 0, 0, 0, 1, -1))
	spike, spikeAt := 0, 0
	if oneIn(t, 3) {
		spike, spikeAt = aim+1+die(t, 3), pick(t, 10, 30, 40, 50, window-10, window, window+10)
	}
	holeFrom, holeTo := 0, 0
	if oneIn(t, 5) {
		holeFrom = pick(t, 1, 20, 50)
		holeTo = holeFrom + pick(t, 20, 30, 40, 90)
	}
	first := window + pick(t, 20, 20, 20, 10, 0, -10)
	var needs []Need
	for age := first; age >= 10; age -= 10 {
		if age >= holeFrom && age < holeTo {
			continue
		}
		n := level
		if age == spikeAt {
			n = max(n, spike)
		}
		at := now.Add(-time.Duration(age) * time.Second)
		needs = append(needs, Need{From: at, To: at, Replicas: n})
	}
	return needs
}

// drawRises draws by how much a demand rose within each of some horizons: mostly not at all, sometimes to twice of what it is.
func drawRises(t *rapid.T, now time.Time, tokens float64) (rises []forecast.Rise) {
	n := pick(t, 20, 64, 3, 1)
	for i := range n {
		share := pick(t, 0, 0, 0, 0.1, 0.4, 1)
		rises = append(rises, forecast.Rise{From: now.Add(-time.Duration(50*(n-i)) * time.Second), Amount: share * tokens * pick(t, 1, 0.5, 2), Share: share})
	}
	return rises
}

func drawRoleMemory(t *rapid.T, now time.Time, r *RoleMemory, aim int) {
	if !oneIn(t, 3) {
		r.LastUp = ago(t, now, 600, 29, 30, 31, 59, 60, 299, 300, 301)
	}
	if !oneIn(t, 3) {
		r.LastDown = ago(t, now, 600, 29, 30, 31, 59, 60)
	}
	if oneIn(t, 10) {
		r.CapSeconds = pick(t, Seconds(300), 600, 3000)
		r.CappedAt, r.CappedUntil = max(0, aim-pick(t, 0, 1, 2)), ago(t, now, -60, -1, 0, 60)
	}
	if oneIn(t, 8) {
		r.QuietSeconds, r.QuietUntil = pick(t, Seconds(120), 240, 21600), ago(t, now, -60, -1, 0, 60, 600)
	}
}

// drawMove puts a running move into the input, at one of the edges between its
// phases: what was written, what is gone and what has started, and how long ago.
func drawMove(t *rapid.T, in *Input) {
	now := in.Now
	m := &Move{From: Prefill, To: Decode}
	if coin.Draw(t, "") {
		m.From, m.To = Decode, Prefill
	}
	give, get := 1+die(t, 2), 1+die(t, 2)
	m.DonorAfter, m.ReceiverBefore = 1+die(t, 4), 1+die(t, 4)
	m.DonorBefore, m.ReceiverAfter = m.DonorAfter+give, m.ReceiverBefore+get
	m.GPUs = get * in.Spec.role(m.To).GPUsPerReplica
	donor, receiver := in.Snapshot.pool(m.From), in.Snapshot.pool(m.To)
	donorGPUs, receiverGPUs := in.Spec.role(m.From).GPUsPerReplica, in.Spec.role(m.To).GPUsPerReplica
	fill := func(p *Pool, gpus, desired, ready, starting, terminating int) {
		p.Desired, p.Replicas = desired, nil
		states := slices.Concat(slices.Repeat([]ReplicaState{Ready}, ready), slices.Repeat([]ReplicaState{Starting}, starting), slices.Repeat([]ReplicaState{Terminating}, terminating))
		for _, state := range states {
			p.Replicas = append(p.Replicas, Replica{State: state, Since: now.Add(-20 * time.Second), GPUs: gpus})
		}
	}
	inPhase := func(limit Seconds) {
		m.PhaseSince = ago(t, now, 10, 20, int(limit)-1, int(limit), int(limit)+1, int(limit)+60)
		m.StartedAt = m.PhaseSince.Add(-time.Minute)
	}
	r := in.Spec.Rebalance
	switch die(t, 10) {
	case 0: // recorded, nothing written
		m.Phase = Draining
		fill(donor, donorGPUs, m.DonorBefore, m.DonorBefore, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, 0)
	case 1: // the donor's pods still hold their GPUs
		m.Phase = Draining
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, give)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, 0)
	case 2: // they are gone
		m.Phase = Draining
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, 0)
	case 3: // the receiver was not asked yet
		m.Phase = StartingUp
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, 0)
	case 4: // it starts, all of it or some
		m.Phase = StartingUp
		ready := die(t, get)
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverAfter, m.ReceiverBefore+ready, get-ready, 0)
	case 5: // it is ready
		m.Phase = StartingUp
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverAfter, m.ReceiverAfter, 0, 0)
	case 6: // it could not start and is still asked for
		m.Phase = Returning
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverAfter, m.ReceiverBefore, get, 0)
	case 7: // its pods leave, or have left
		m.Phase = Returning
		fill(donor, donorGPUs, m.DonorAfter, m.DonorAfter, 0, 0)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, pick(t, get, 0))
	case 8: // the donor was asked for its own again
		m.Phase = Returning
		fill(donor, donorGPUs, m.DonorBefore, m.DonorAfter, give, 0)
		fill(receiver, receiverGPUs, m.ReceiverBefore, m.ReceiverBefore, 0, 0)
	case 9: // a phase of another version, or pools that changed under the move
		m.Phase = pick(t, MovePhase("Nonsense"), Draining, StartingUp, Returning)
	}
	switch m.Phase {
	case Draining:
		inPhase(r.DrainTimeoutSeconds)
	case StartingUp:
		inPhase(r.StartTimeoutSeconds)
	default:
		inPhase(r.DrainTimeoutSeconds + r.StartTimeoutSeconds)
	}
	in.Memory.Move = m
}
