package planner

import (
	"math"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/capacity"
)

// sight is what a decision on one role should rest on, worked out from the
// input without the planner's help: by trying every count, looking at every
// moment of the past, and from the demand that the decision says it is for.
type sight struct {
	in   *Input
	role Role
	spec *RoleSpec
	pool *Pool
	d    *RoleDecision

	traffic   capacity.Traffic
	need      int     // fewest replicas that hold the objective, at most the maximum
	keep      int     // the same with the tolerance on top
	holds     bool    // need does hold it
	limitMs   float64 // the objective, or what can be attained of it
	objective capacity.Objective

	needs  []Need // the past, this moment included
	since  time.Time
	past   RoleMemory
	ready  int
	stuck  int // replicas that could not start and would be the next to go
	missed bool
}

// look works out what there is to see for one role. Demand is the decision's.
func look(in *Input, d *Decision, after *Memory, role Role) sight {
	s := sight{in: in, role: role, spec: in.Spec.role(role), pool: in.Snapshot.pool(role), d: d.role(role), past: *in.Memory.role(role), since: in.Memory.Since}
	s.objective = in.Spec.TTFT
	if role == Decode {
		s.objective = in.Spec.TPOT
	}
	if in.Memory.Since.IsZero() || in.Now.Before(in.Memory.LastAt) { // a fresh start
		s.past.Needs, s.past.BreachSince, s.since = nil, time.Time{}, in.Now
		s.past.MissingSince = earlier(s.past.MissingSince, in.Now)
	}
	s.ready = s.pool.count(Ready)
	s.traffic = capacity.Traffic{RequestsPerSecond: s.d.Demand.RequestsPerSecond, CachedShare: s.d.Demand.CachedShare, ArrivalSCV: after.Traits.ArrivalSCV.Or(1),
		Input:  capacity.Lengths{Mean: s.d.Demand.InputTokens, SCV: after.Traits.InputSCV.Or(1)},
		Output: OutputLengths(s.d.Demand.OutputTokens, after.Traits.OutputSCV.Or(1))}
	s.limitMs = s.limit()
	if s.d.Demand.Known {
		s.need, s.holds = s.fewest(1)
		s.keep, _ = s.fewest(s.wider())
		s.keep = max(s.keep, s.need) // the model's hand-over need not grow with the load
		s.need, s.keep = max(s.need, s.leastByPrior(1)), max(s.keep, s.leastByPrior(1), s.leastByPrior(s.wider()))
		s.needs = append(s.needs, s.past.Needs...)
		s.needs = append(s.needs, Need{From: in.Now, To: in.Now, Replicas: s.keep})
	} else {
		s.needs = s.past.Needs
	}
	s.stuck = s.cannotStart()
	s.missed = s.misses()
	return s
}

// wider is the demand that fewer replicas must hold, as a share of the demand: tolerance on top, but not on top of what is held
// for a surge.
func (s *sight) wider() float64 {
	all, surge := s.traffic.RequestsPerSecond, s.d.Demand.SurgePerSecond
	if all == 0 {
		return 1
	}
	return max(1, (all-surge)*(1+s.in.Spec.Behavior.Tolerance)/all)
}

// latency is what n replicas give at the demand, and a traffic's share on top of it.
func (s *sight) latency(n int, share float64) float64 {
	if s.traffic.RequestsPerSecond == 0 {
		return 0
	}
	if n <= 0 {
		return math.Inf(1)
	}
	t := s.traffic
	t.RequestsPerSecond *= share
	if s.role == Decode {
		return s.in.Spec.Service.DecodePool(n, t).TPOTQuantileMs(s.objective.Quantile)
	}
	return s.in.Spec.Service.PrefillPool(n, t).TTFTQuantileMs(s.objective.Quantile) + s.handover(t)
}

// handover is what decode adds to a TTFT that ends there.
func (s *sight) handover(t capacity.Traffic) float64 {
	if s.in.Spec.Service.TTFTEndsAt != capacity.EndsAtDecode || s.role == Decode {
		return 0
	}
	pool := s.in.Spec.Service.DecodePool(max(1, s.in.Snapshot.Decode.Desired), t)
	if ms := pool.HandoverMs(); ms < s.objective.Ms {
		return ms
	}
	return pool.HandoverWorkMs()
}

// waitBeside is what decode takes of a TTFT beyond what prefill is sized beside, as far as it has a bound.
func (s *sight) waitBeside() float64 {
	if !s.decodeIsLate() {
		return 0
	}
	late := s.handoverOfArrivals()
	if late >= 1e6*s.objective.Ms {
		return 0
	}
	return max(0, late-s.handover(s.traffic))
}

// handoverOfArrivals is what decode takes of a TTFT, with the queue before prefill left there.
func (s *sight) handoverOfArrivals() float64 {
	t := s.traffic
	t.RequestsPerSecond -= s.d.Demand.BacklogPerSecond
	return s.in.Spec.Service.DecodePool(max(1, s.in.Snapshot.Decode.Desired), t).HandoverMs()
}

// decodeIsLate tells whether decode alone takes as long as the first token may.
func (s *sight) decodeIsLate() bool {
	if s.in.Spec.Service.TTFTEndsAt != capacity.EndsAtDecode || s.role == Decode || s.traffic.RequestsPerSecond == 0 {
		return false
	}
	return s.handoverOfArrivals() >= s.objective.Ms
}

func (s *sight) limit() float64 {
	return s.limitAt(1)
}

func (s *sight) limitAt(share float64) float64 {
	t, most := s.traffic, max(s.spec.Max, s.pool.Desired)+1
	t.RequestsPerSecond *= share
	var floor, handover float64
	if s.role == Decode {
		floor = s.in.Spec.Service.DecodePool(most, t).FloorMs(s.objective.Quantile)
	} else {
		floor = s.in.Spec.Service.PrefillPool(most, t).FloorMs(s.objective.Quantile)
		handover = s.handover(t)
	}
	if math.IsInf(floor, 0) || t.RequestsPerSecond == 0 {
		return s.objective.Ms
	}
	return max(s.objective.Ms, 1.1*floor+handover)
}

// leastByPrior is the share that is kept of what the model without the service's correction asks for.
func (s *sight) leastByPrior(share float64) int {
	if s.in.Spec.Prior == nil {
		return 0
	}
	in := *s.in
	in.Spec.Service = in.Spec.Prior.Service
	before := *s
	before.in = &in
	n, _ := before.fewest(share)
	least := 0
	for float64(least) < in.Spec.Prior.LeastShare*float64(n)-1e-9 {
		least++
	}
	return least
}

// fewest tries every count.
func (s *sight) fewest(share float64) (n int, holds bool) {
	if s.traffic.RequestsPerSecond == 0 {
		return 0, true
	}
	limit := s.limitAt(share)
	for n := 1; n <= s.spec.Max; n++ {
		if s.latency(n, share) <= limit*(1+1e-12) {
			return n, true
		}
	}
	return s.spec.Max, false
}

// ratio is latency over objective with n replicas, where the demand is known.
func (s *sight) ratio(n int) float64 {
	if s.traffic.RequestsPerSecond == 0 {
		return 0
	}
	return s.latency(n, 1) / s.limitMs
}

// neededOver is the most that was needed in a window, and whether all of it was seen.
func (s *sight) neededOver(window Seconds) (most int, all bool) {
	start := s.in.Now.Add(-window.Duration())
	gap := max(30, s.in.Spec.Behavior.DownWindowSeconds/10).Duration()
	all = len(s.needs) > 0 && !s.needs[0].From.After(start)
	for i, n := range s.needs {
		if !n.To.Before(start) {
			most = max(most, n.Replicas)
		}
		next := s.in.Now
		if i+1 < len(s.needs) {
			next = s.needs[i+1].From
		}
		if next.After(start) && next.Sub(n.To) > gap {
			all = false
		}
	}
	return most, all
}

// cannotStart counts the replicas that have had their time, are the next to go,
// and are asked for.
func (s *sight) cannotStart() int {
	timeout := s.in.Spec.Behavior.StartTimeoutSeconds.Duration()
	live, late, others := 0, 0, false
	for i := range s.pool.Replicas {
		r := s.pool.Replicas[len(s.pool.Replicas)-1-i]
		if r.State == Terminating {
			continue
		}
		live++
		if r.State == Ready || s.in.Now.Sub(r.Since) <= timeout {
			others = true
		} else if !others {
			late++
		}
	}
	switch {
	case live > s.pool.Desired:
		return 0
	case live < s.pool.Desired && !s.pool.Rollout && !s.past.MissingSince.IsZero() &&
		s.in.Now.Sub(s.past.MissingSince) > timeout && s.in.Now.Sub(s.past.LastUp) > timeout:
		return max(0, s.pool.Desired-len(s.pool.Replicas))
	case live < s.pool.Desired:
		return 0
	}
	return late
}

// misses tells whether the observed latency is above the objective for sure.
func (s *sight) misses() bool {
	above := func(q Quantile, ms float64) bool {
		usable := q.State == StateKnown && q.Value >= 0 && q.Value <= 1e7 && s.in.Now.Sub(q.At) <= time.Minute
		unbounded := q.LowMs == 0 && q.HighMs == 0
		return usable && q.Value > ms && (unbounded || q.LowMs >= ms || q.MeanMs > ms)
	}
	signals := &s.in.Snapshot.Signals
	if s.role == Prefill {
		return above(signals.TTFTMs, s.in.Spec.TTFT.Ms)
	}
	return above(signals.TPOTMs, s.in.Spec.TPOT.Ms) || s.decodeHoldsUp() && above(signals.TTFTMs, s.in.Spec.TTFT.Ms)
}

// usable is a reading's value, where it may be believed.
func (s *sight) usable(r Reading) (float64, bool) {
	switch old := s.in.Now.Sub(r.At) > time.Minute; {
	case r.State == StateZero && !old:
		return 0, true
	case r.State == StateKnown && !old && r.Value >= 0 && r.Value <= 1e7:
		return r.Value, true
	}
	return 0, false
}

// decodeHoldsUp tells whether requests wait in a decode whose cache is full of
// sequences that it runs.
func (s *sight) decodeHoldsUp() bool {
	signals := &s.in.Snapshot.Signals
	waiting, _ := s.usable(signals.DecodeWaiting)
	full, _ := s.usable(signals.DecodeKVUseMax)
	running, a := s.usable(signals.DecodeRunning)
	input, b := s.usable(signals.InputTokens)
	output, c := s.usable(signals.OutputTokens)
	held := running * (input + output/2)
	room := s.in.Spec.Service.Decode.KVCapacityTokens * float64(s.in.Snapshot.Decode.count(Ready))
	return waiting > 0 && full >= 0.9 && (!(a && b && c) || held >= room/2)
}

// busy tells whether the GPUs do more than the modelled load explains.
func (s *sight) busy() bool {
	signals, service := &s.in.Snapshot.Signals, &s.in.Spec.Service
	if s.role == Prefill {
		seen, ok := s.usable(signals.PrefillTensorActive)
		return ok && seen > min(s.d.Load, 1)*service.Prefill.BusyActivity.PrefillTensorActive+0.15
	}
	seen, ok := s.usable(signals.DecodeDRAMActive)
	expected := service.Decode.BusyActivity.DecodeDRAMActive
	if running, fresh := s.usable(signals.DecodeRunning); fresh && running == 0 && signals.DecodeRunning.State == StateZero {
		expected = 0
	}
	return ok && seen > expected+0.15
}

// breachLasts tells whether the objective has been missed for long enough, with
// all replicas ready and the model content, to add one against its opinion.
func (s *sight) breachLasts() bool {
	lasting := s.in.Spec.Behavior.BreachSeconds.Duration()
	return lasting > 0 && s.missed && !s.past.BreachSince.IsZero() && s.in.Now.Sub(s.past.BreachSince) >= lasting &&
		s.holds && s.limitMs == s.objective.Ms && s.ready >= s.pool.Desired && s.pool.Desired < s.spec.Max &&
		!(s.role == Prefill && s.decodeHoldsUp()) && !s.decodeIsLate() && !s.nothingToServe()
}

// nothingToServe tells whether no request comes and none waits for sure.
func (s *sight) nothingToServe() bool {
	rate, a := s.usable(s.in.Snapshot.Signals.RequestsPerSecond)
	prefill, b := s.usable(s.in.Snapshot.Signals.PrefillWaiting)
	decode, c := s.usable(s.in.Snapshot.Signals.DecodeWaiting)
	return a && b && c && rate+prefill+decode == 0
}

// horizon is the longer of the times until a new replica of each role serves.
func (s *sight) horizon() Seconds {
	longest := Seconds(0)
	for _, role := range []Role{Prefill, Decode} {
		startup := s.in.Spec.Behavior.StartupSeconds
		if r := s.in.Snapshot.pool(role).StartupSeconds; r.State == StateKnown {
			startup = Seconds(r.Value)
		}
		longest = max(longest, min(startup, s.in.Spec.Behavior.StartTimeoutSeconds))
	}
	return longest + s.in.Spec.Behavior.IntervalSeconds
}

// fixed tells whether a role must be left exactly as it is.
func (s *sight) fixed() bool {
	return s.in.Spec.Paused != "" || s.pool.Missing != "" || s.pool.Writer != ""
}

// alone is the count that the rules give a role without budget and move: what
// it wants, and what it may be set to now.
func (s *sight) alone() (wanted, to int) {
	now, from := s.in.Now, s.pool.Desired
	if s.fixed() {
		return from, from
	}
	wanted = from
	switch most, all := s.neededOver(s.in.Spec.Behavior.DownWindowSeconds); {
	case max(s.spec.Min, from-s.stuck) < from:
		wanted = max(s.spec.Min, from-s.stuck)
	case !s.d.Demand.Known:
	case s.need > from:
		wanted = s.need
	case s.breachLasts():
		wanted = from + 1
	default:
		enough := max(most, s.keep, s.spec.Min)
		seen := all && now.Sub(s.since) >= max(s.in.Spec.Behavior.DownWindowSeconds, 3*s.horizon()).Duration()
		content := !s.missed && !now.Before(s.past.QuietUntil) && !s.busy()
		if enough < from && seen && content && !s.pool.Rollout && s.ready >= enough {
			wanted = enough
		}
	}
	wanted = min(wanted, s.spec.Max)
	if now.Before(s.past.CappedUntil) {
		wanted = min(wanted, max(s.past.CappedAt, from))
	}
	wanted = max(wanted, s.spec.Min)
	return s.limits(wanted)
}

// limits is what a person and the target allow of a change.
func (s *sight) limits(wanted int) (int, int) {
	from, direction, last := s.pool.Desired, s.spec.Up, s.past.LastUp
	if wanted < from {
		direction, last = s.spec.Down, s.past.LastDown
	}
	soon := !last.IsZero() && s.in.Now.Sub(last) < direction.PeriodSeconds.Duration()
	held := s.pool.Held != "" || wanted > from && s.pool.HeldUp != ""
	if direction.Disabled || held || soon {
		if wanted > from {
			return from, from
		}
		return wanted, from
	}
	if step := direction.MaxStep; step > 0 {
		return wanted, min(max(wanted, from-step), from+step)
	}
	return wanted, wanted
}

// shortfall is the ratio with n replicas, or, where the demand is not known, the
// share of today's replicas that would be lost. A role that is overloaded has no
// latency; it is then as far from its objective as it is overloaded.
func (s *sight) shortfall(n int) float64 {
	most := max(s.spec.Max, s.pool.Desired, 1) + 1
	switch {
	case !s.d.Demand.Known && s.pool.Desired == 0:
		return 0
	case !s.d.Demand.Known && n == 0:
		return math.Inf(1)
	case !s.d.Demand.Known:
		return float64(s.pool.Desired) / float64(n)
	}
	r := s.ratio(n)
	if n <= 0 && s.traffic.RequestsPerSecond > 0 {
		return math.Inf(1)
	}
	if math.IsInf(r, 1) {
		load := s.in.Spec.Service.PrefillPool(most, s.traffic).Load
		if s.role == Decode {
			load = s.in.Spec.Service.DecodePool(most, s.traffic).LoadFor(s.objective)
		}
		return 1e6 * (1 + min(load, 1e3)*float64(most)/float64(n))
	}
	return min(r, 1e6)
}

// urgency orders the roles by who is to grow first.
func (s *sight) urgency() float64 {
	if s.pool.Desired < s.spec.Min {
		return 2e12
	}
	return min(s.shortfall(s.pool.Desired), 1e12)
}
