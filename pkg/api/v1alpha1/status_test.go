package v1alpha1_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// fullStatus has a value in every field, so that none can be lost unseen.
func fullStatus() v1alpha1.PDAutoscalerStatus {
	at := func(micro int) metav1.MicroTime {
		return metav1.NewMicroTime(time.Date(2026, 5, 4, 3, 2, 1, micro*1000, time.UTC))
	}
	ptr := func(micro int) *metav1.MicroTime { return new(at(micro)) }
	role := func(name, replicas string) v1alpha1.RoleStatus {
		return v1alpha1.RoleStatus{
			Name: name, Replicas: replicas, Current: 2, Ready: 2, Starting: 1, Terminating: 1, Desired: 3, GPUsPerReplica: 2, GPUType: "NVIDIA-H200",
			StartupTime: v1alpha1.Every(95 * time.Second), LoadPercent: new(int32(0)), DemandMilliRequestsPerSecond: new(int64(1500)),
			Reason: "Objective", Message: "3 replicas hold TTFT",
		}
	}
	memory := v1alpha1.RoleMemoryStatus{
		LastUp: ptr(1), LastDown: ptr(2), CappedAt: new(int32(0)), CappedUntil: ptr(3), CapTime: v1alpha1.Every(10 * time.Minute), QuietUntil: ptr(4),
	}
	calibration := v1alpha1.RoleCalibration{State: v1alpha1.CalibrationInUse, Message: "most intervals teach nothing: Idle", Observations: 96, StepPermille: 1300,
		UncertaintyPermille: 7, PriorErrorPermille: 230, ErrorPermille: 9, Memory: "{}"}
	latency := v1alpha1.LatencyStatus{ObjectiveMicroseconds: 2e6, ObservedMicroseconds: new(int64(1)), PredictedMicroseconds: new(int64(0))}
	return v1alpha1.PDAutoscalerStatus{
		ObservedGeneration: 7,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Known", Message: "all is known", ObservedGeneration: 7,
			LastTransitionTime: metav1.NewTime(at(0).Time),
		}},
		Reason: "Objective", Message: "prefill grows from 2 to 3", LastDecisionTime: ptr(123456),
		Roles: v1alpha1.RolesStatus{Prefill: role("prefill", "2/3"), Decode: role("decode", "1/1")},
		GPUs:  v1alpha1.GPUsStatus{Held: 8, Budget: new(int32(12)), Summary: "8/12"},
		SLO:   v1alpha1.SLOStatus{State: v1alpha1.SLOMissed, TTFT: latency, TPOT: latency},
		Model: v1alpha1.ModelStatus{
			Name: "Qwen3-32B", Source: "catalogue",
			Prefill: v1alpha1.PrefillModelStatus{GPU: "H200", TensorParallel: 2, TokensPerSecond: 20000},
			Decode: v1alpha1.DecodeModelStatus{GPU: "H200", TensorParallel: 2, AlphaMicroseconds: 9000, BetaNanosecondsPerSequence: 30000,
				KappaPicosecondsPerToken: 34000, KVTokens: 700000, MaxSequences: 256},
			Calibration: &v1alpha1.CalibrationStatus{
				Prefill: v1alpha1.PrefillCalibration{RoleCalibration: calibration, PriorTokensPerSecond: 21000},
				Decode: v1alpha1.DecodeCalibration{RoleCalibration: calibration, PriorAlphaMicroseconds: 8000, PriorBetaNanosecondsPerSequence: 29000,
					PriorKappaPicosecondsPerToken: 33000},
			},
		},
		Move: &v1alpha1.MoveStatus{
			From: "prefill", To: "decode", DonorBefore: 4, DonorAfter: 3, ReceiverBefore: 2, ReceiverAfter: 3, GPUs: 2,
			Phase: "Draining", StartedAt: at(1), PhaseSince: at(999999), Reason: "decode misses its objective",
		},
		Memory: v1alpha1.MemoryStatus{MoveNotBefore: ptr(5), Prefill: memory, Decode: memory},
		Decisions: []v1alpha1.DecisionStatus{{
			Time: at(6), Prefill: v1alpha1.CountChange{From: 2, To: 3, Reason: "Objective"}, Decode: v1alpha1.CountChange{From: 1, To: 1, Reason: "Steady"},
			Applied: true, Message: "prefill grows from 2 to 3",
		}},
	}
}
