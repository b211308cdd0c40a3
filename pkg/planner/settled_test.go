package planner

import "time"

// have is how many replicas a role has, and how many it has needed of late.
type have struct{ count, needed int }

// settled is the input of a service that has run for an hour: all replicas
// ready, the windows full, the metrics fresh.
func settled(spec Spec, prefill, decode have, l load) Input {
	w := newWorld(spec, prefill.count, decode.count)
	w.now = epoch.Add(time.Hour)
	in := Input{Spec: spec, Snapshot: w.snapshot(l), Now: w.now}
	in.Memory = Memory{Version: RecordVersion, Since: epoch, LastAt: w.now.Add(-10 * time.Second)}
	for role, h := range map[Role]have{Prefill: prefill, Decode: decode} {
		for age := 400; age >= 10; age -= 10 {
			at := w.now.Add(-time.Duration(age) * time.Second)
			in.Memory.role(role).Needs = append(in.Memory.role(role).Needs, Need{From: at, To: at, Replicas: h.needed})
		}
	}
	return in
}

// before is a moment some seconds before the decision.
func (in *Input) before(seconds float64) time.Time {
	return in.Now.Add(-Seconds(seconds).Duration())
}

// fresh is a reading of this moment.
func (in *Input) fresh(value float64) Reading { return Known(value, in.Now, "test") }
