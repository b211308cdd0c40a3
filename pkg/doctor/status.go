package doctor

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// resource looks at the resource itself.
func (e *examination) resource() {
	pda := e.Resource
	switch pda.Spec.Mode {
	case v1alpha1.ModeAuto:
		e.add(OK, "mode", "", "", "Auto: decisions are written")
	case v1alpha1.ModeMetrics:
		e.add(OK, "mode", "", "", "Metrics: the plan is offered as metrics, and an HPA or KEDA writes")
	default:
		e.add(Warning, "mode", "", "set spec.mode: Auto if decisions should be written", "%s: decisions are shown and not written", pda.Spec.Mode)
	}
	if why, paused := pda.Annotations[v1alpha1.PausedAnnotation]; paused {
		e.add(Warning, "paused", "", "remove the annotation "+v1alpha1.PausedAnnotation, "nothing is written: the annotation %s is %q", v1alpha1.PausedAnnotation, why)
	}
	if pda.DeletionTimestamp != nil {
		e.add(Warning, "deletion", "", "", "it is being deleted, and waits for %v", pda.Finalizers)
	}
	if pda.Status.ObservedGeneration < pda.Generation {
		e.add(Fault, "controller", "", "look whether the controller runs, is the leader and watches this namespace", "no controller has looked at generation %d of it yet", pda.Generation)
		return
	}
	e.add(OK, "controller", "", "", "it has looked at the newest spec")
}

// severity is what a condition that is not True means here. What the target's
// own checks say already is not said twice.
var severity = map[string]struct {
	state State
	fix   string
}{
	v1alpha1.ConditionReady:               {Fault, "see the reason in docs/reasons.md"},
	v1alpha1.ConditionSignalsKnown:        {Fault, "see which source fails; unknown demand lets nothing go down"},
	v1alpha1.ConditionObjectivesReachable: {Warning, "raise the maximum or the budget, or relax the objective"},
}

// conditions repeats what the controller says of itself.
func (e *examination) conditions() {
	for _, c := range e.Resource.Status.Conditions {
		if c.Type == v1alpha1.ConditionActive && c.Reason == "WriteFailed" {
			e.add(Fault, c.Type, "", "see the message: permissions, or an adapter that is not bound", "%s", c.Message)
		}
		s, ok := severity[c.Type]
		switch {
		case !ok:
		case c.Status == metav1.ConditionTrue:
			e.add(OK, c.Type, "", "", "%s", c.Message)
		case c.Status == metav1.ConditionFalse:
			e.add(s.state, c.Type, "", s.fix, "%s: %s", c.Reason, c.Message)
		default:
			e.add(Unknown, c.Type, "", "", "%s: %s", c.Reason, c.Message)
		}
	}
}

// metrics compares what the controller reads with what pods answer here.
func (e *examination) metrics() {
	for _, s := range e.Resource.Status.Signals.Sources {
		switch {
		case s.Failed == 0 && s.Read > 0:
			e.add(OK, "metrics", "", "", "the controller reads %s of kind %s%s", count(int(s.Read), "source"), s.Kind, engine(s.Engine))
		case s.Failed > 0 && s.Read == 0:
			e.add(Warning, "metrics", "", "look at the message: an address, a port, a credential or a network policy", "the controller reads none of %s of kind %s: %s", count(int(s.Failed), "source"), s.Kind, s.Message)
		case s.Failed > 0:
			e.add(Warning, "metrics", "", "look at the pods that are named", "the controller does not read %d of %d sources of kind %s: %s", s.Failed, s.Failed+s.Read, s.Kind, s.Message)
		}
	}
	if e.NotProbed != "" {
		e.add(Unknown, "pods' metrics", "", "", "%s", e.NotProbed)
	}
	if denied := slices.IndexFunc(e.Probes, func(p Probe) bool { return p.Denied }); denied >= 0 {
		e.add(Unknown, "pods' metrics", "", "", "this account may not ask pods through the API server (get pods/proxy): what the controller's status says is all that is known")
		return
	}
	for _, p := range e.Probes {
		where := fmt.Sprintf("pod %s, port %d", p.Pod, p.Port)
		fix := fmt.Sprintf("correct signals.direct.ports.%s or signals.direct.path, or let the engine serve metrics there", p.Role)
		switch {
		case p.Error != "":
			e.add(Warning, "pods' metrics", p.Role, fix, "%s gave no page: %s", where, p.Error)
		case p.Samples == 0:
			e.add(Warning, "pods' metrics", p.Role, fix, "the page of %s is empty", where)
		default:
			e.add(OK, "pods' metrics", p.Role, "", "%s answers with %s", where, count(p.Samples, "sample"))
		}
	}
}

func engine(name string) string {
	if name == "" {
		return ""
	}
	return " as " + name
}
