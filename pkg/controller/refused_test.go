package controller

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// Whatever is wrong with the resource or its target: one clear sentence in a
// condition and in one event, and not one write to the workload.
func TestWhatIsWrongIsSaidAndNothingIsWritten(t *testing.T) {
	missingRole := func(s *fakeService) {
		s.pools[planner.Decode] = &planner.Pool{Missing: `RoleBasedGroup default/dynamo-pd has no role "decode"`}
	}
	for name, c := range map[string]struct {
		edit      func(*v1alpha1.PDAutoscaler)
		service   func(*fakeService)
		condition string
		status    metav1.ConditionStatus
		reason    planner.Reason
		says      []string // parts of the sentence
	}{
		"unknown model": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name = "Qwen9-1T" },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: ReasonModelUnknown,
			says: []string{"spec.model.name", `"Qwen9-1T"`, "Qwen3-32B"},
		},
		"neither model nor config": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name = "" },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: ReasonModelUnknown,
			says: []string{"exactly one of name and configMapRef"},
		},
		"config map missing": {
			edit: func(p *v1alpha1.PDAutoscaler) {
				p.Spec.Model = v1alpha1.Model{ConfigMapRef: &v1alpha1.ConfigMapKeyReference{Name: "gone", Key: "config.json"}}
			},
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: ReasonModelUnknown,
			says: []string{"ConfigMap default/gone does not exist"},
		},
		"unknown GPU": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.GPU = "X9000" },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: ReasonGPUUnknown,
			says: []string{"spec.gpu", `"X9000"`, "H200"},
		},
		"GPU neither given nor seen": {
			edit: func(p *v1alpha1.PDAutoscaler) { p.Spec.GPU = "" },
			service: func(s *fakeService) {
				s.pools[planner.Prefill].GPUType = ""
			},
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: ReasonGPUUnknown,
			says: []string{"role prefill", "set spec.gpu"},
		},
		"model does not fit": {
			edit: func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name, p.Spec.GPU = "Llama-3.1-70B", "A100-40GB" },
			service: func(s *fakeService) {
				s.pools[planner.Prefill].GPUType, s.pools[planner.Decode].GPUType = "", ""
			},
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: "",
		},
		"tensor parallelism is not the replica's": {
			edit: func(p *v1alpha1.PDAutoscaler) {
				p.Spec.Roles.Decode.Parallelism = &v1alpha1.Parallelism{Tensor: 4}
			},
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: planner.ReasonInvalidSpec,
			says: []string{"roles.decode.parallelism has tensor 4, data 1 and pipeline 1, which are 4 GPUs", "a replica takes 2"},
		},
		"GPUs of a replica not known": {
			service:   func(s *fakeService) { s.pools[planner.Prefill].GPUsPerReplica = 0 },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: planner.ReasonGPUsUnknown,
			says: []string{"set roles.prefill.parallelism.tensor"},
		},
		"min over max": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.Roles.Prefill.Min, p.Spec.Roles.Prefill.Max = 5, 3 },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: planner.ReasonInvalidSpec,
			says: []string{"roles.prefill", "min is 5", "max is 3"},
		},
		"budget of nothing": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = 0 },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: planner.ReasonInvalidSpec,
			says: []string{"spec.budget.gpus is 0"},
		},
		"unknown engine": {
			edit:      func(p *v1alpha1.PDAutoscaler) { p.Spec.Signals.Engine = "quantum" },
			condition: v1alpha1.ConditionReady, status: metav1.ConditionFalse, reason: planner.ReasonInvalidSpec,
			says: []string{"spec.signals", `"quantum"`},
		},
		"group missing": {
			service: func(s *fakeService) {
				s.observe = &workload.MissingError{What: "RoleBasedGroup default/dynamo-pd", Why: "does not exist"}
			},
			condition: v1alpha1.ConditionTargetFound, status: metav1.ConditionFalse, reason: ReasonTargetMissing,
			says: []string{"RoleBasedGroup default/dynamo-pd does not exist"},
		},
		"API server away": {
			service:   func(s *fakeService) { s.observe = errors.New("connection refused") },
			condition: v1alpha1.ConditionTargetFound, status: metav1.ConditionUnknown, reason: ReasonTargetUnread,
			says: []string{"dynamo-pd could not be read", "connection refused"},
		},
		"unknown role": {
			service:   missingRole,
			condition: v1alpha1.ConditionTargetFound, status: metav1.ConditionFalse, reason: planner.ReasonRoleMissing,
			says: []string{`has no role "decode"`},
		},
		"another autoscaler": {
			service: func(s *fakeService) {
				for _, p := range s.pools {
					p.Writer = "HorizontalPodAutoscaler default/theirs"
				}
			},
			condition: v1alpha1.ConditionActive, status: metav1.ConditionFalse, reason: planner.ReasonOtherWriter,
			says: []string{"HorizontalPodAutoscaler default/theirs"},
		},
		"all readings unknown": {
			service: func(s *fakeService) {
				s.signals = planner.Signals{RequestsPerSecond: planner.Unknown("no frontend pod answered")}
				s.reports = []signals.SourceReport{{Source: "frontend pod x", Kind: signals.KindFrontend, Error: "connection refused"}}
			},
			condition: v1alpha1.ConditionSignalsKnown, status: metav1.ConditionFalse, reason: planner.ReasonDemandUnknown,
			says: []string{"no frontend pod answered", "frontend pod x: connection refused"},
		},
		"not a number": {
			service:   func(s *fakeService) { s.signals.RequestsPerSecond.Value = math.NaN() },
			condition: v1alpha1.ConditionSignalsKnown, status: metav1.ConditionFalse, reason: planner.ReasonDemandUnknown,
			says: []string{"not a number"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pda := example()
			if c.edit != nil {
				c.edit(pda)
			}
			w := newWorld(t, pda)
			// A demand that would make a planner that knows it scale at once.
			w.service.traffic(40, 4000, 400)
			if c.service != nil {
				c.service(w.service)
			}
			w.rounds(8)
			for _, write := range w.log {
				if write != "status" {
					t.Errorf("the workload was written: %s", write)
				}
			}
			if c.reason == "" { // the catalogue may not have the GPU: any refusal will do
				if got := w.resource().Status.Reason; got != string(ReasonModelDoesNotFit) && got != string(ReasonGPUUnknown) {
					t.Errorf("status.reason is %q", got)
				}
				return
			}
			message := w.wantCondition(c.condition, c.status, c.reason)
			for _, part := range c.says {
				if !strings.Contains(message, part) {
					t.Errorf("the condition says %q; want %q in it", message, part)
				}
			}
			if n := w.countEvents("Warning " + string(c.reason)); n < 1 || n > 2 {
				t.Errorf("%d events of reason %s in 8 rounds, want one (a role): %q", n, c.reason, w.events)
			}
		})
	}
}

// A refusal ends when its cause does.
func TestRecoversFromARefusal(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name = "Qwen9-1T" }))
	w.decide = scaleTo(3, 1)
	w.rounds(2)
	w.wantLog("status")
	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Model.Name = "Qwen3-32B" })
	w.round()
	w.wantLog("prefill 2->3", "status")
	w.wantCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready")
}

// While the API server cannot be read the counts seen last stay in the status.
func TestUnreadTargetKeepsWhatWasSeen(t *testing.T) {
	w := newWorld(t, example())
	w.decide = scaleTo(2, 1)
	w.rounds(1)
	w.service.observe = errors.New("timeout")
	status := w.rounds(2).Status
	if got := status.Roles.Prefill; got.Ready != 2 || got.Current != 2 || got.Desired != 2 {
		t.Errorf("the prefill role is %+v; want the 2 replicas that were seen last", got)
	}
	if status.GPUs.Held != 6 {
		t.Errorf("%d GPUs held; want the 6 that were seen last", status.GPUs.Held)
	}
	w.service.observe = &workload.MissingError{What: "RoleBasedGroup default/dynamo-pd", Why: "does not exist"}
	status = w.rounds(1).Status
	if got := status.Roles.Prefill; got.Ready != 0 || got.Current != 0 || status.GPUs.Held != 0 {
		t.Errorf("the group is gone and the status says %+v, %d GPUs", got, status.GPUs.Held)
	}
}

// A budget under the minimums, or under what runs: nothing grows, and it is said.
func TestBudgetBelowWhatRuns(t *testing.T) {
	for name, c := range map[string]struct {
		budget int32
		reason planner.Reason
	}{
		"below the minimum":   {budget: 2, reason: planner.ReasonOverBudget},
		"below what runs now": {budget: 4, reason: planner.ReasonOverBudget},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Budget.GPUs = c.budget }))
			w.service.traffic(40, 4000, 400)
			for range 6 {
				w.round()
				w.service.settle()
				w.pass(10 * time.Second)
			}
			held := 0
			for _, p := range w.service.pools {
				held += p.HeldGPUs()
			}
			if held > 6 {
				t.Errorf("%d GPUs are held: more than before the budget was lowered", held)
			}
			if n := w.countEvents("Warning " + string(c.reason)); n != 1 {
				t.Errorf("%d events of reason %s: %q", n, c.reason, w.events)
			}
		})
	}
}
