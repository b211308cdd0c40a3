package metricsapi

import (
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// plan is a resource whose last decision is a moment old.
func plan(edit ...func(*v1alpha1.PDAutoscaler)) *v1alpha1.PDAutoscaler {
	pda := &v1alpha1.PDAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "qwen", Generation: 3}}
	pda.Spec.Mode = v1alpha1.ModeMetrics
	pda.Default()
	role := v1alpha1.RoleStatus{
		Desired: 5, Ready: 3, Starting: 1, Terminating: 1, GPUsPerReplica: 2,
		LoadPercent: new(int32(83)), DemandMilliRequestsPerSecond: new(int64(4500)), QueueMilliseconds: new(int64(1250)),
	}
	pda.Status = v1alpha1.PDAutoscalerStatus{
		ObservedGeneration: 3, LastDecisionTime: new(metav1.NewMicroTime(now.Add(-10 * time.Second))),
		Roles:      v1alpha1.RolesStatus{Prefill: role, Decode: role},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionTargetFound, Status: metav1.ConditionTrue}},
	}
	pda.Status.SLO.TTFT.PredictedMicroseconds, pda.Status.SLO.TPOT.PredictedMicroseconds = new(int64(1_234_000)), new(int64(25_300))
	for _, e := range edit {
		e(pda)
	}
	return pda
}

func decidedAgo(age time.Duration) func(*v1alpha1.PDAutoscaler) {
	return func(p *v1alpha1.PDAutoscaler) { p.Status.LastDecisionTime = new(metav1.NewMicroTime(now.Add(-age))) }
}

// What makes a plan unknown, and what is answered then: an error, or under
// LastSafe the last count of what is a count.
func TestUnknown(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*v1alpha1.PDAutoscaler)
		why  string // empty: known
		// lost is true where not even the last count may be repeated.
		lost bool
	}{
		"fresh":                         {func(*v1alpha1.PDAutoscaler) {}, "", false},
		"at the limit of six intervals": {decidedAgo(time.Minute), "", false},
		"past it":                       {decidedAgo(61 * time.Second), "the last decision is 1m1s old and counts for 1m0s", false},
		"a clock somewhat ahead":        {decidedAgo(-5 * time.Second), "", false},
		"a clock far ahead":             {decidedAgo(-2 * time.Minute), "2m0s in the future", false},
		"never decided":                 {func(p *v1alpha1.PDAutoscaler) { p.Status.LastDecisionTime = nil }, "nothing was decided yet", true},
		"of an earlier spec":            {func(p *v1alpha1.PDAutoscaler) { p.Generation++ }, "the spec was changed", true},
		"a zero with an unknown demand": {func(p *v1alpha1.PDAutoscaler) { forget(p); p.Status.Roles.Prefill.Desired = 0 }, "the demand is not known", true},
		"a negative count":              {func(p *v1alpha1.PDAutoscaler) { p.Status.Roles.Prefill.Desired = -1 }, "nothing that is offered is negative", true},
		"unknown demand":                {forget, "the demand is not known", false},
		"unknown demand, with the reason": {func(p *v1alpha1.PDAutoscaler) {
			forget(p)
			condition(p, v1alpha1.ConditionSignalsKnown, "no pod answers")
		}, "the demand is not known: no pod answers", false},
		"no decision at all": {func(p *v1alpha1.PDAutoscaler) {
			forget(p)
			condition(p, v1alpha1.ConditionReady, "spec.gpu is unknown")
		}, ": spec.gpu is unknown", false},
		"a target that is gone": {func(p *v1alpha1.PDAutoscaler) {
			p.Status.Conditions[0].Status, p.Status.Conditions[0].Message = metav1.ConditionFalse, "it does not exist"
		}, "it does not exist", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, policy := range []v1alpha1.UnknownPolicy{v1alpha1.UnknownError, v1alpha1.UnknownLastSafe} {
				pda := plan(tc.edit, func(p *v1alpha1.PDAutoscaler) { p.Spec.Metrics.WhenUnknown = policy })
				a, err := Lookup(DesiredReplicas).answerOf(pda, RolePrefill, now)
				switch repeats := policy == v1alpha1.UnknownLastSafe && tc.why != "" && !tc.lost; {
				case tc.why == "" || repeats:
					if err != nil || a.value.Value() != 5 || a.repeated != repeats {
						t.Errorf("%s: %v (repeated: %t, %v), want 5", policy, a.value.String(), a.repeated, err)
					}
				case err == nil || !strings.Contains(err.Error(), tc.why):
					t.Errorf("%s: %v (%v), want an error with %q", policy, a.value.String(), err, tc.why)
				}
				if tc.why == "" || tc.lost {
					continue
				}
				// what is no count has no last value
				pda.Status.Roles.Prefill.LoadPercent = new(int32(150))
				if a, err := Lookup(PrefillComputeLoad).answerOf(pda, RolePrefill, now); err == nil {
					t.Errorf("%s: the load is %v, want an error", policy, a.value.String())
				}
			}
		})
	}
}

// forget makes the demand of prefill unknown.
func forget(p *v1alpha1.PDAutoscaler) { p.Status.Roles.Prefill.DemandMilliRequestsPerSecond = nil }

func condition(p *v1alpha1.PDAutoscaler, name, message string) {
	p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: name, Status: metav1.ConditionFalse, Message: message})
}

// One role's unknown demand takes nothing from the other.
func TestOtherRoleStaysKnown(t *testing.T) {
	pda := plan(forget)
	if _, err := Lookup(DesiredReplicas).answerOf(pda, RoleDecode, now); err != nil {
		t.Errorf("decode: %v", err)
	}
	if _, err := Lookup(PredictedTTFTSeconds).answerOf(pda, RoleNone, now); err == nil {
		t.Error("the whole service is known although prefill is not")
	}
	// What is held is seen whatever arrives.
	if a, err := Lookup(HeldGPUs).answerOf(pda, RolePrefill, now); err != nil || a.value.Value() != 10 {
		t.Errorf("held GPUs: %v (%v), want 10", a.value.String(), err)
	}
}

// Whatever stands in a status: an answer is a finite number of 0 or more, a
// count that is repeated is above 0, and without a known demand nothing that
// follows from it is new.
func TestAnswersAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n32, n64 := rapid.Int32(), rapid.Int64()
		maybe32, maybe64 := rapid.Ptr(n32, true), rapid.Ptr(n64, true)
		role := func(name string) v1alpha1.RoleStatus {
			return v1alpha1.RoleStatus{
				Desired: n32.Draw(t, name+" desired"), Ready: n32.Draw(t, "ready"), Starting: n32.Draw(t, "starting"), Terminating: n32.Draw(t, "terminating"),
				GPUsPerReplica: n32.Draw(t, "gpus"), LoadPercent: maybe32.Draw(t, "load"), DemandMilliRequestsPerSecond: maybe64.Draw(t, "demand"), QueueMilliseconds: maybe64.Draw(t, "queue"),
			}
		}
		pda := plan(decidedAgo(time.Duration(rapid.Int64Range(-100, 100).Draw(t, "age")) * time.Second))
		pda.Status.Roles = v1alpha1.RolesStatus{Prefill: role("prefill"), Decode: role("decode")}
		pda.Status.SLO.TTFT.PredictedMicroseconds, pda.Status.SLO.TPOT.PredictedMicroseconds = maybe64.Draw(t, "ttft"), maybe64.Draw(t, "tpot")
		pda.Spec.Metrics.WhenUnknown = rapid.SampledFrom([]v1alpha1.UnknownPolicy{v1alpha1.UnknownError, v1alpha1.UnknownLastSafe}).Draw(t, "policy")
		for i := range metrics {
			m := &metrics[i]
			for _, r := range m.Roles {
				a, err := m.answerOf(pda, r, now)
				if err != nil {
					continue
				}
				if v := a.value.AsApproximateFloat64(); math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
					t.Fatalf("%s of %q is %g", m.Name, r, v)
				}
				if a.repeated && (!m.Count || a.value.Sign() <= 0 || pda.Spec.Metrics.WhenUnknown != v1alpha1.UnknownLastSafe) {
					t.Fatalf("%s of %q repeats %s under %s", m.Name, r, a.value.String(), pda.Spec.Metrics.WhenUnknown)
				}
				if m.demand && !a.repeated && !demandKnown(pda, r) {
					t.Fatalf("%s of %q is %s and its demand is not known", m.Name, r, a.value.String())
				}
			}
		}
	})
}

// A selector means exactly one series or is refused.
func TestPick(t *testing.T) {
	mode := func(name string, m v1alpha1.Mode) *v1alpha1.PDAutoscaler {
		return plan(func(p *v1alpha1.PDAutoscaler) { p.Name, p.Spec.Mode = name, m })
	}
	one := []*v1alpha1.PDAutoscaler{mode("qwen", v1alpha1.ModeMetrics), mode("auto", v1alpha1.ModeAuto)}
	two := append(one, mode("llama", v1alpha1.ModeMetrics))
	for _, tc := range []struct {
		metric, selector string
		among            []*v1alpha1.PDAutoscaler
		want             string // "name role", or what the refusal says
	}{
		{DesiredReplicas, "pdautoscaler=qwen,role=decode", two, "qwen decode"},
		{DesiredReplicas, "role=decode", one, "qwen decode"},
		{DesiredReplicas, "role in (decode),pdautoscaler!=llama", two, "qwen decode"},
		{PrefillComputeLoad, "", one, "qwen prefill"},
		{PredictedTTFTSeconds, "pdautoscaler=llama", two, "llama "},
		{DesiredReplicas, "role=decode", two, "matches 2 series"},
		{DesiredReplicas, "", one, "matches 2 series"},
		{PrefillComputeLoad, "role=decode", one, "matches no series"},
		{PredictedTTFTSeconds, "role=prefill", one, "matches no series"},
		{DesiredReplicas, "pdautoscaler=auto,role=decode", two, "has the mode Auto"},
		{DesiredReplicas, "team=a", one, "matches no series"},
		{DesiredReplicas, "", nil, "matches no series"},
	} {
		selector, err := labels.Parse(tc.selector)
		if err != nil {
			t.Fatal(err)
		}
		s, err := pick(Lookup(tc.metric), tc.among, selector, "namespace default")
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = s.pda.Name + " " + s.role
		}
		if !strings.Contains(got, tc.want) || strings.Contains(got, "\n") {
			t.Errorf("%s with %q: %q, want %q", tc.metric, tc.selector, got, tc.want)
		}
	}
}

// The names follow Prometheus' convention and each metric says what it is.
func TestTable(t *testing.T) {
	for _, m := range Metrics() {
		if !strings.HasPrefix(m.Name, "pdautoscaler_") || m.Help == "" || m.Unit == "" || len(m.Roles) == 0 || strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%+v", m)
		}
		if strings.HasSuffix(m.Name, "_seconds") != (m.Unit == "seconds") {
			t.Errorf("%s has the unit %s", m.Name, m.Unit)
		}
	}
}
