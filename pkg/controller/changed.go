package controller

import (
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// longestQuiet is how long a load or a latency that changed may wait until the
// status shows it.
const longestQuiet = 30 * time.Second

// quietTime is that time for one resource: three of its intervals, where they
// are shorter. With hundreds of resources it is longer, so that numbers alone
// are on average no more than writesPerSecond: a write costs the API server
// more than all that a round reads.
func (r *round) quietTime(resources int) time.Duration {
	return max(min(longestQuiet, 3*r.interval()), time.Duration(resources)*time.Second/writesPerSecond)
}

// writesPerSecond is how many statuses are written for their numbers alone, of
// all resources together and over time; mostWritesPerSecond is how many, after as
// many at one moment, where the quiet time of many ends at once, as it does after
// a start. The rest waits for a later round, and is apart from then on.
const (
	writesPerSecond     = 5
	mostWritesPerSecond = 2 * writesPerSecond
)

// mayWriteNumbers reports whether a status may be written for its numbers
// alone, which is then counted. Who asks has some to write. It is counted now
// and not when the round began: rounds end in another order than they began in,
// and the limiter, told of an earlier time, gives the time since then out again.
func (c *Reconciler) mayWriteNumbers(r *round) bool {
	return r.now.Sub(r.svc.writtenAt) >= r.quietTime(c.store.len()) && c.store.numbers.AllowN(c.clock.Now(), 1)
}

// heartbeat reports whether the status must be written for its time alone. In
// mode Metrics any replica of the controller answers from the status, and only
// its time says that the leader still decides. The other modes need none.
func (r *round) heartbeat() bool {
	last := r.base.Status.LastDecisionTime
	return r.pda.Spec.Mode == v1alpha1.ModeMetrics && (last == nil || r.now.Sub(last.Time)+r.interval() > r.pda.Spec.StaleAfter()/2)
}

// worthWriting reports whether a status differs from the one on record in
// something that a person or a restart needs now. Numbers that are never the
// same twice, and the sentences with such numbers in them, wait for the quiet
// time and are written only where they moved by a tenth or say something else.
func worthWriting(old, status *v1alpha1.PDAutoscalerStatus, mayWriteNumbers func() bool) bool {
	if !equality.Semantic.DeepEqual(firm(old), firm(status)) {
		return true
	}
	return moved(old, status) && mayWriteNumbers()
}

// firm returns a status without what changes all the time.
func firm(s *v1alpha1.PDAutoscalerStatus) *v1alpha1.PDAutoscalerStatus {
	f := s.DeepCopy()
	f.LastDecisionTime, f.Reason, f.Message, f.SLO = nil, "", "", v1alpha1.SLOStatus{}
	for _, role := range []*v1alpha1.RoleStatus{&f.Roles.Prefill, &f.Roles.Decode} {
		role.LoadPercent, role.DemandMilliRequestsPerSecond, role.QueueMilliseconds = nil, nil, nil
		role.StartupTime = v1alpha1.Duration{}
		role.Reason, role.Message, role.Wall, role.Tried = "", "", "", nil
	}
	// What the replicas teach changes every few intervals, of many services in
	// the same ones, as does whether it is used yet. A restart goes on from the
	// lessons of a little before.
	f.Model.Prefill.TokensPerSecond = 0
	f.Model.Decode.AlphaMicroseconds, f.Model.Decode.BetaNanosecondsPerSequence, f.Model.Decode.KappaPicosecondsPerToken = 0, 0, 0
	f.Model.Calibration = nil
	for i := range f.Signals.Sources {
		f.Signals.Sources[i].Message = ""
	}
	for i := range f.Conditions {
		f.Conditions[i].Message = ""
		f.Conditions[i].LastTransitionTime.Reset()
	}
	return f
}

// moved reports whether what firm leaves out says something new.
func moved(old, status *v1alpha1.PDAutoscalerStatus) bool {
	if old.Reason != status.Reason || old.SLO.State != status.SLO.State || shape(old.Message) != shape(status.Message) {
		return true
	}
	for _, pair := range [][2]*v1alpha1.RoleStatus{{&old.Roles.Prefill, &status.Roles.Prefill}, {&old.Roles.Decode, &status.Roles.Decode}} {
		was, is := pair[0], pair[1]
		if was.Reason != is.Reason || shape(was.Message) != shape(is.Message) ||
			stepped(was.LoadPercent, is.LoadPercent, 10) || stepped(was.DemandMilliRequestsPerSecond, is.DemandMilliRequestsPerSecond, 10) ||
			stepped(was.QueueMilliseconds, is.QueueMilliseconds, 100) {
			return true
		}
	}
	for _, pair := range [][2]*v1alpha1.LatencyStatus{{&old.SLO.TTFT, &status.SLO.TTFT}, {&old.SLO.TPOT, &status.SLO.TPOT}} {
		was, is := pair[0], pair[1]
		if was.ObjectiveMicroseconds != is.ObjectiveMicroseconds || stepped(was.ObservedMicroseconds, is.ObservedMicroseconds, 100) ||
			stepped(was.PredictedMicroseconds, is.PredictedMicroseconds, 100) {
			return true
		}
	}
	if !equality.Semantic.DeepEqual(old.Model, status.Model) {
		return true
	}
	messages := map[string]string{}
	for _, s := range old.Signals.Sources {
		messages[s.Kind] = shape(s.Message)
	}
	for _, s := range status.Signals.Sources {
		if messages[s.Kind] != shape(s.Message) {
			return true
		}
	}
	for _, c := range old.Conditions {
		messages[c.Type] = shape(c.Message)
	}
	for _, c := range status.Conditions {
		if messages[c.Type] != shape(c.Message) {
			return true
		}
	}
	return false
}

// stepped reports whether a number moved by a tenth and by the least that
// matters, or came or went.
func stepped[T int32 | int64](was, is *T, least float64) bool {
	if was == nil || is == nil {
		return was != is
	}
	a, b := float64(*was), float64(*is)
	return max(a-b, b-a) >= max(0.1*max(a, b), least)
}

// shape is a sentence without its numbers.
func shape(sentence string) string {
	var b strings.Builder
	number := false
	for _, c := range sentence {
		switch {
		case unicode.IsDigit(c) || number && (c == '.' || c == 'e' || c == '+'):
			if !number {
				b.WriteByte('#')
			}
			number = true
		default:
			number = false
			b.WriteRune(c)
		}
	}
	return b.String()
}
