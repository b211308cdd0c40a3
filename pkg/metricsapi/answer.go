package metricsapi

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// answer is one value of one series.
type answer struct {
	value resource.Quantity
	// at is when the decision was made that the value is of.
	at time.Time
	// repeated is true where the plan is unknown and a count stands in that was decided before.
	repeated bool
}

// unknownError says why a plan is not known now. It may be known a moment later.
type unknownError struct{ why string }

func (e *unknownError) Error() string { return e.why }

// refusedError says what is wrong with a request, which stays wrong until
// someone changes the request or the resource.
type refusedError struct {
	missing bool // what was asked for does not exist
	why     string
}

func (e *refusedError) Error() string { return e.why }

// answerOf returns the metric's value of one role. Its error is an
// *unknownError; the resource is offered, which plans.pick has seen to.
func (m *Metric) answerOf(pda *v1alpha1.PDAutoscaler, role string, now time.Time) (answer, error) {
	v, set := m.value(pda, role)
	a := answer{value: v.quantity()}
	if t := pda.Status.LastDecisionTime; t != nil {
		a.at = t.Time
	}
	why := m.whyUnknown(pda, role, now)
	switch {
	case why != "":
	case !set:
		why = "the status of the resource does not have it"
	case v.n < 0:
		why = fmt.Sprintf("the status of the resource gives %s, and nothing that is offered is negative", a.value.String())
	default:
		return a, nil
	}
	if m.mayRepeat(pda, v, set) {
		a.repeated = true
		return a, nil
	}
	return answer{}, &unknownError{fmt.Sprintf("%s of %s is not known: %s", m.Name, describe(pda, role), why)}
}

// mayRepeat reports whether a count that was decided before may stand in.
func (m *Metric) mayRepeat(pda *v1alpha1.PDAutoscaler, v value, set bool) bool {
	return pda.Spec.Metrics.WhenUnknown == v1alpha1.UnknownLastSafe && m.Count && set && v.n > 0 &&
		pda.Status.LastDecisionTime != nil && pda.Status.ObservedGeneration == pda.Generation
}

// whyUnknown says why nothing in the status counts, empty where it does.
func (m *Metric) whyUnknown(pda *v1alpha1.PDAutoscaler, role string, now time.Time) string {
	status := &pda.Status
	last := status.LastDecisionTime
	if last == nil {
		return "nothing was decided yet"
	}
	limit := pda.Spec.StaleAfter()
	switch age := now.Sub(last.Time); {
	case age > limit:
		return fmt.Sprintf("the last decision is %s old and counts for %s: no replica of the controller decides, or this one does not hear of it", age.Round(time.Second), limit)
	case age < -limit:
		return fmt.Sprintf("the last decision is %s in the future: the clocks of the nodes disagree", (-age).Round(time.Second))
	case status.ObservedGeneration != pda.Generation:
		return "the spec was changed and not looked at yet"
	}
	if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionTargetFound); c != nil && c.Status != metav1.ConditionTrue {
		return c.Message
	}
	if m.demand && !demandKnown(pda, role) {
		return "the demand is not known" + because(pda)
	}
	return ""
}

// demandKnown reports whether the role's demand is known, of a whole service that of both.
func demandKnown(pda *v1alpha1.PDAutoscaler, role string) bool {
	if role == RoleNone {
		return demandKnown(pda, RolePrefill) && demandKnown(pda, RoleDecode)
	}
	return roleStatus(pda, role).DemandMilliRequestsPerSecond != nil
}

// because is what the conditions say about it.
func because(pda *v1alpha1.PDAutoscaler) string {
	for _, name := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionSignalsKnown} {
		if c := meta.FindStatusCondition(pda.Status.Conditions, name); c != nil && c.Status != metav1.ConditionTrue {
			return ": " + c.Message
		}
	}
	return ""
}

// describe names a series for people.
func describe(pda *v1alpha1.PDAutoscaler, role string) string {
	name := "PDAutoscaler " + pda.Namespace + "/" + pda.Name
	if role == RoleNone {
		return name
	}
	return name + ", role " + role
}
