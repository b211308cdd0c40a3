package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// What a person or a restart needs is written at once; what is never the same twice waits until numbers may be written.
func TestWorthWriting(t *testing.T) {
	status := func(change func(*v1alpha1.PDAutoscalerStatus)) *v1alpha1.PDAutoscalerStatus {
		s := &v1alpha1.PDAutoscalerStatus{
			Message:    "Nothing changes: load 0.61.",
			Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", Message: "All 3 replicas are ready."}},
			Model: v1alpha1.ModelStatus{
				Decode: v1alpha1.DecodeModelStatus{GPU: "H200", AlphaMicroseconds: 9000},
				Calibration: &v1alpha1.CalibrationStatus{Decode: v1alpha1.DecodeCalibration{
					RoleCalibration: v1alpha1.RoleCalibration{State: v1alpha1.CalibrationInUse, Observations: 12, StepPermille: 1100, Memory: "twelve"},
				}},
			},
		}
		s.Roles.Decode.Current, s.Roles.Decode.LoadPercent = 2, new(int32(61))
		if change != nil {
			change(s)
		}
		return s
	}
	const never, quiet, atOnce = "never", "when numbers may be written", "at once"
	for name, tc := range map[string]struct {
		want   string
		change func(*v1alpha1.PDAutoscalerStatus)
	}{
		"nothing":                      {never, nil},
		"a load that moved a little":   {never, func(s *v1alpha1.PDAutoscalerStatus) { s.Roles.Decode.LoadPercent = new(int32(63)) }},
		"the numbers of a sentence":    {never, func(s *v1alpha1.PDAutoscalerStatus) { s.Message = "Nothing changes: load 0.63." }},
		"a load that moved much":       {quiet, func(s *v1alpha1.PDAutoscalerStatus) { s.Roles.Decode.LoadPercent = new(int32(80)) }},
		"another sentence":             {quiet, func(s *v1alpha1.PDAutoscalerStatus) { s.Message = "Decode waits for its start." }},
		"another sentence of a reason": {quiet, func(s *v1alpha1.PDAutoscalerStatus) { s.Conditions[0].Message = "Both roles are ready." }},
		"lessons": {quiet, func(s *v1alpha1.PDAutoscalerStatus) {
			s.Model.Decode.AlphaMicroseconds = 9050
			s.Model.Calibration.Decode.Observations, s.Model.Calibration.Decode.Memory = 18, "eighteen"
		}},
		"the first lessons": {quiet, func(s *v1alpha1.PDAutoscalerStatus) { s.Model.Calibration.Prefill.State = v1alpha1.CalibrationInUse }},
		"another GPU":       {atOnce, func(s *v1alpha1.PDAutoscalerStatus) { s.Model.Decode.GPU = "H100" }},
		"a replica":         {atOnce, func(s *v1alpha1.PDAutoscalerStatus) { s.Roles.Decode.Current = 3 }},
		"a reason":          {atOnce, func(s *v1alpha1.PDAutoscalerStatus) { s.Conditions[0].Reason = "Stale" }},
		"a move":            {atOnce, func(s *v1alpha1.PDAutoscalerStatus) { s.Move = &v1alpha1.MoveStatus{} }},
	} {
		t.Run(name, func(t *testing.T) {
			got := never
			switch old, is := status(nil), status(tc.change); {
			case worthWriting(old, is, func() bool { return false }):
				got = atOnce
			case worthWriting(old, is, func() bool { return true }):
				got = quiet
			}
			if got != tc.want {
				t.Errorf("it is written %s, want %s", got, tc.want)
			}
		})
	}
	asked := 0
	worthWriting(status(nil), status(nil), func() bool { asked++; return true })
	if asked > 0 {
		t.Error("a status that says nothing new was counted among those written for their numbers")
	}
}

// Rounds that took long began long ago. They are counted among the writes of now, and do not make room for others.
func TestSlowRoundsAreCountedAmongTheWrites(t *testing.T) {
	c := &Reconciler{store: newStore(), clock: clocktesting.NewFakePassiveClock(start)}
	written := 0
	for i := range 40 {
		began := start
		if i%4 == 3 {
			began = start.Add(-longestDeadline)
		}
		if c.mayWriteNumbers(&round{pda: example(), svc: &service{}, now: began}) {
			written++
		}
	}
	if written != mostWritesPerSecond {
		t.Errorf("%d statuses were written for their numbers at one moment, want %d", written, mostWritesPerSecond)
	}
}
