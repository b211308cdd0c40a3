package planner

import "slices"

// A move of GPUs is a transaction: its intent is in the memory before the first
// write; the donor goes down; when its pods are gone (not only its status) the
// receiver goes up; each phase has a timeout and a way back.

// grows returns the role whose growth the move is waiting for.
func (m *Move) grows() Role {
	if m.Phase == Returning {
		return m.From
	}
	return m.To
}

// inMove reports whether a role takes part in the running move.
func (p *round) inMove(r *roleRound) bool { return p.mem.Move != nil && r.fixed == "" }

// waitsForDonor reports whether the role's growth must wait until the other
// role's pods have let go of their GPUs.
func (p *round) waitsForDonor(r *roleRound) bool {
	m := p.mem.Move
	if m == nil {
		return false
	}
	switch m.Phase {
	case Draining:
		return r.role == m.To
	case Returning:
		return r.role == m.From && !gone(p.of(m.To), m.ReceiverBefore)
	}
	return false
}

// waitsForReceiver reports whether the role's growth must wait until the other
// role has asked for the GPUs that it gave up for it.
func (p *round) waitsForReceiver(r *roleRound) bool {
	m := p.mem.Move
	return m != nil && m.Phase == StartingUp && r.role == m.From && p.of(m.To).d.From < m.ReceiverAfter
}

// gone reports whether no more than n replicas of the role exist, terminating
// ones included, and no more are asked for.
func gone(r *roleRound, n int) bool { return r.d.From <= n && len(r.pool.Replicas) <= n }

// advanceMove takes the running move to its next phase by what is seen.
func (p *round) advanceMove() {
	m := p.mem.Move
	if m == nil || p.spec.Paused != "" {
		return
	}
	donor, receiver := p.of(m.From), p.of(m.To)
	if kept := donor.keptGPUs() + receiver.keptGPUs(); p.spec.BudgetGPUs > 0 && kept > p.spec.BudgetGPUs {
		p.endMove(MoveGivenUp, sprintf("the budget is %d GPUs now and %d are held", p.spec.BudgetGPUs, kept))
		return
	}
	m.ReceiverAfter = min(m.ReceiverAfter, receiver.spec.Max)
	if fits, known := p.holdsOfReceiver(donor, receiver); known && fits < m.ReceiverAfter && m.Phase != Returning {
		if m.ReceiverAfter = max(fits, m.ReceiverBefore); fits <= m.ReceiverBefore {
			p.endMove(MoveGivenUp, sprintf("the budget of %d GPUs has no room for more replicas of %s any more", p.spec.BudgetGPUs, m.To))
			return
		}
	}
	inPhase := p.now.Sub(m.PhaseSince)
	switch m.Phase {
	case Draining:
		switch {
		case donor.fixed == "" && gone(donor, m.DonorAfter):
			m.Phase, m.PhaseSince = StartingUp, p.now
		case inPhase > p.spec.Rebalance.DrainTimeoutSeconds.Duration():
			p.endMove(MoveGivenUp, sprintf("the pods of %s still hold their GPUs after %s", m.From, span(p.spec.Rebalance.DrainTimeoutSeconds)))
		}
	case StartingUp:
		switch {
		case receiver.fixed == "" && receiver.ready >= m.ReceiverAfter:
			p.endMove(MoveDone, "")
		case inPhase > p.spec.Rebalance.StartTimeoutSeconds.Duration():
			p.turnBack(donor, receiver)
		}
	case Returning:
		switch {
		// A receiver that still asks for replicas which could not start would keep
		// their GPUs until each is given up by itself.
		case donor.d.From >= donor.returnsTo(m) && receiver.d.From <= m.ReceiverBefore:
			p.endMove(MoveReturned, sprintf("the new replicas of %s did not become ready", m.To))
		case inPhase > (p.spec.Rebalance.DrainTimeoutSeconds + p.spec.Rebalance.StartTimeoutSeconds).Duration():
			p.endMove(MoveGivenUp, sprintf("the GPUs could not be given back to %s", m.From))
		}
	default:
		p.endMove(MoveGivenUp, sprintf("its phase %q is not known", m.Phase))
	}
}

// holdsOfReceiver returns how many replicas of the receiver the budget holds
// beside the donor once its pods are gone, so that a budget that was lowered, or
// a donor that somebody else raised, ends a move at once and not at its timeout.
// It is not known where there is no budget or a role is out of reach.
func (p *round) holdsOfReceiver(donor, receiver *roleRound) (replicas int, known bool) {
	if p.spec.BudgetGPUs == 0 || donor.fixed != "" || receiver.fixed != "" {
		return 0, false
	}
	left := donor.d.From
	if p.mem.Move.Phase == Draining {
		left = min(left, p.mem.Move.DonorAfter)
	}
	return max(0, p.spec.BudgetGPUs-left*donor.gpus) / receiver.gpus, true
}

// turnBack gives the GPUs of replicas that did not become ready back to the
// donor; those that did stay.
func (p *round) turnBack(donor, receiver *roleRound) {
	m := p.mem.Move
	if receiver.d.From <= m.ReceiverBefore {
		p.endMove(MoveGivenUp, sprintf("%s could not be asked for its new replicas in time", m.To))
		return
	}
	keep := min(max(m.ReceiverBefore, receiver.ready), m.ReceiverAfter)
	if keep == m.ReceiverAfter || donor.gpus <= 0 {
		p.endMove(MoveGivenUp, sprintf("the new replicas of %s did not become ready", m.To))
		return
	}
	back := (m.ReceiverAfter - keep) * receiver.gpus / donor.gpus
	m.ReceiverBefore, m.DonorBefore = keep, min(m.DonorBefore, m.DonorAfter+back)
	m.Phase, m.PhaseSince = Returning, p.now
	m.Reason = sprintf("%s did not become ready within %s", m.To, span(p.spec.Rebalance.StartTimeoutSeconds))
	receiver.mem.CappedAt = keep
	receiver.mem.CapSeconds = min(max(2*receiver.mem.CapSeconds, p.spec.Rebalance.CooldownSeconds, p.spec.Rebalance.StartTimeoutSeconds), 3600)
	receiver.mem.CappedUntil = p.now.Add(receiver.mem.CapSeconds.Duration())
}

// endMove closes the running move. One that did not succeed holds back the next.
func (p *round) endMove(as MovePhase, why string) {
	m := *p.mem.Move
	m.Phase, m.PhaseSince = as, p.now
	if why != "" {
		m.Reason = why
	}
	p.d.Ended, p.mem.Move = &m, nil
	if as != MoveDone {
		p.mem.MoveNotBefore = p.now.Add(p.spec.Rebalance.CooldownSeconds.Duration())
		p.note(ReasonMoveBack, m.To, sprintf("the move of %d GPUs from %s to %s ended without success: %s", m.GPUs, m.From, m.To, why))
	}
}

// followMove makes a role want what the running move has planned for it.
func (p *round) followMove(r *roleRound) {
	m := p.mem.Move
	if r.known && r.need > r.d.From {
		r.bind(ReasonObjective, r.need, p.needDetail(r))
	}
	want, detail := r.d.Wanted, sprintf("%d GPUs go from %s to %s", m.GPUs, m.From, m.To)
	switch {
	case m.Phase == Returning && r.role == m.To:
		want = m.ReceiverBefore
	case m.Phase == Returning:
		want = max(want, r.returnsTo(m))
	case r.role == m.To:
		want = max(want, m.ReceiverAfter)
	case m.Phase == Draining:
		want = m.DonorAfter
	}
	if want != r.d.Wanted || want != r.d.From {
		r.bind(ReasonMove, want, detail)
	}
	r.justified = min(r.justified, want)
}

// returnsTo is the count that a donor goes back to when its move is turned
// round: what it had, as far as it still needs it.
func (r *roleRound) returnsTo(m *Move) int {
	if !r.known {
		return m.DonorBefore
	}
	return min(m.DonorBefore, max(r.need, m.DonorAfter))
}

// proposeMove starts a move if one role's growth needs the GPUs that the other
// gives up, and the freed GPUs can hold the receiver. Where they cannot, the
// donor keeps what it has.
func (p *round) proposeMove() {
	for _, donor := range p.roles() {
		receiver := p.other(donor)
		if donor.d.Wanted >= donor.d.From || receiver.d.Wanted <= receiver.d.From || donor.fixed != "" || receiver.fixed != "" {
			continue
		}
		if (receiver.d.Wanted-receiver.d.From)*receiver.gpus <= p.freeGPUs {
			continue // it can grow without the donor
		}
		if why := p.beginMove(donor, receiver); why != "" {
			p.note(ReasonMoveHeld, donor.role, sprintf("no GPUs move from %s to %s: %s", donor.role, receiver.role, why))
			if donor.justified > donor.d.Wanted {
				donor.bind(ReasonMoveHeld, donor.justified, why)
			}
		}
	}
}

// beginMove records the intent of a move, or returns why it cannot be made.
func (p *round) beginMove(donor, receiver *roleRound) string {
	switch {
	case !p.spec.Rebalance.Enabled:
		return "rebalancing is off"
	case p.now.Before(p.mem.MoveNotBefore):
		return "the last move failed and its cool-down is not over"
	case receiver.pool.Held != "":
		return receiver.pool.Held
	case receiver.pool.HeldUp != "":
		return receiver.pool.HeldUp
	case donor.pool.Held != "":
		return donor.pool.Held
	case donor.pool.Rollout || receiver.pool.Rollout:
		return "a rollout is in progress"
	case donor.spec.Down.Disabled:
		return sprintf("scaling %s down is disabled", donor.role)
	case receiver.spec.Up.Disabled:
		return sprintf("scaling %s up is disabled", receiver.role)
	case tooSoon(donor.mem.LastDown, donor.spec.Down.PeriodSeconds, p):
		return sprintf("%s went down less than %s ago", donor.role, span(donor.spec.Down.PeriodSeconds))
	case tooSoon(receiver.mem.LastUp, receiver.spec.Up.PeriodSeconds, p):
		return sprintf("%s went up less than %s ago", receiver.role, span(receiver.spec.Up.PeriodSeconds))
	case donor.pool.GPUType != "" && receiver.pool.GPUType != "" && donor.pool.GPUType != receiver.pool.GPUType:
		return sprintf("%s runs on %s and %s on %s", donor.role, donor.pool.GPUType, receiver.role, receiver.pool.GPUType)
	}
	give := donor.d.From - donor.d.Wanted
	if donor.spec.Down.MaxStep > 0 {
		give = min(give, donor.spec.Down.MaxStep)
	}
	get := min(receiver.d.Wanted-receiver.d.From, (p.freeGPUs+give*donor.gpus)/receiver.gpus)
	if receiver.spec.Up.MaxStep > 0 {
		get = min(get, receiver.spec.Up.MaxStep)
	}
	if get < 1 {
		return sprintf("%s of %s would free %d GPUs and a replica of %s takes %d", replicas(give), donor.role, give*donor.gpus, receiver.role, receiver.gpus)
	}
	// No more is taken from the donor than the receiver's whole replicas need.
	give = min(give, (max(0, get*receiver.gpus-p.freeGPUs)+donor.gpus-1)/donor.gpus)
	if give < 1 {
		return "the receiver can grow without it"
	}
	if fits, known := p.fitsOnNodes(donor, receiver, give); known && fits < get {
		return sprintf("the GPUs that %s of %s would free lie on different nodes: a replica of %s needs %d on one", replicas(give), donor.role, receiver.role, receiver.gpus)
	}
	to := min(donor.d.From-give, donor.justified) // it may go further down on its own account
	if donor.spec.Down.MaxStep > 0 {
		to = max(to, donor.d.From-donor.spec.Down.MaxStep)
	}
	p.mem.Move = &Move{From: donor.role, To: receiver.role, DonorBefore: donor.d.From, DonorAfter: to,
		ReceiverBefore: receiver.d.From, ReceiverAfter: receiver.d.From + get, GPUs: get * receiver.gpus,
		Phase: Draining, StartedAt: p.now, PhaseSince: p.now,
		Reason: sprintf("%s needs %s for %s and the budget of %d GPUs is spent", receiver.role, replicas(max(receiver.need, receiver.d.Wanted)), receiver.objectiveText(p.spec), p.spec.BudgetGPUs)}
	donor.bind(ReasonMove, to, sprintf("%d GPUs go to %s", get*receiver.gpus, receiver.role))
	receiver.d.Binding = ReasonMove
	return ""
}

// fitsOnNodes returns how many replicas of the receiver fit on the nodes once
// the donor's last replicas are gone. It is not known where nodes or the places
// of the donor's replicas are not.
func (p *round) fitsOnNodes(donor, receiver *roleRound, give int) (replicas int, known bool) {
	if p.snap.FreeGPUsByNode == nil || receiver.gpus <= 0 {
		return 0, false
	}
	freed := map[string]int{}
	for i := len(donor.pool.Replicas) - 1; i >= 0 && give > 0; i-- {
		replica := &donor.pool.Replicas[i]
		if replica.State == Terminating {
			continue
		}
		give--
		if replica.Node == "" && replica.State == Ready {
			return 0, false
		}
		if !slices.Contains(receiver.pool.NotOn, replica.Node) {
			freed[replica.Node] += replica.GPUs
		}
	}
	for node, free := range p.snap.FreeGPUsByNode {
		if slices.Contains(receiver.pool.NotOn, node) {
			continue
		}
		replicas += (max(0, free) + freed[node]) / receiver.gpus
		delete(freed, node)
	}
	for node, free := range freed {
		if node != "" {
			replicas += free / receiver.gpus
		}
	}
	return replicas, true
}
