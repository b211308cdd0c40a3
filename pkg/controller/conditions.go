package controller

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// verdict is what one condition says.
type verdict struct {
	status  metav1.ConditionStatus
	reason  planner.Reason
	message string
}

func well(reason planner.Reason, message string) verdict {
	return verdict{metav1.ConditionTrue, reason, message}
}

func unwell(reason planner.Reason, message string) verdict {
	return verdict{metav1.ConditionFalse, reason, message}
}

func unknown(reason planner.Reason, message string) verdict {
	return verdict{metav1.ConditionUnknown, reason, message}
}

// conditions judges the round. A condition's transition time changes only with
// its status.
func (r *round) conditions(was []metav1.Condition) []metav1.Condition {
	all := slices.Clone(was)
	verdicts := map[string]verdict{
		v1alpha1.ConditionReady:               r.ready(),
		v1alpha1.ConditionActive:              r.active(),
		v1alpha1.ConditionTargetFound:         r.targetFound(),
		v1alpha1.ConditionSignalsKnown:        r.signalsKnown(),
		v1alpha1.ConditionObjectivesReachable: r.objectivesReachable(),
		v1alpha1.ConditionWithinBudget:        r.withinBudget(),
	}
	if r.pda.Spec.Signals.DCGM != nil {
		verdicts[v1alpha1.ConditionGPUActivityKnown] = r.gpuActivityKnown()
	} else {
		meta.RemoveStatusCondition(&all, v1alpha1.ConditionGPUActivityKnown)
	}
	for name, v := range verdicts {
		meta.SetStatusCondition(&all, metav1.Condition{
			Type: name, Status: v.status, Reason: string(v.reason), Message: truncate(v.message, maxMessageRunes),
			ObservedGeneration: r.base.Generation, LastTransitionTime: metav1.NewTime(r.now),
		})
	}
	slices.SortFunc(all, func(a, b metav1.Condition) int { return strings.Compare(a.Type, b.Type) })
	return all
}

// note returns the first of the planner's notes with one of the reasons.
func (r *round) note(reasons ...planner.Reason) (planner.Note, bool) {
	if d := r.decision(); d != nil {
		for _, n := range d.Notes {
			if slices.Contains(reasons, n.Reason) {
				return n, true
			}
		}
	}
	return planner.Note{}, false
}

func (r *round) ready() verdict {
	if r.refused != nil {
		return unwell(r.refused.reason, r.refused.message)
	}
	if n, found := r.note(planner.ReasonInvalidSpec, planner.ReasonGPUsUnknown); found {
		return unwell(n.Reason, n.Message)
	}
	return well("Ready", "the resource, its model and its target are understood")
}

func (r *round) active() verdict {
	switch {
	case !r.auto():
		return unwell(ReasonNotAuto, fmt.Sprintf("the mode is %s: decisions are shown and not written", r.pda.Spec.Mode))
	case r.refused != nil:
		return unwell(r.refused.reason, r.refused.message)
	}
	if n, found := r.note(planner.ReasonInvalidSpec, planner.ReasonPaused, planner.ReasonOtherWriter); found {
		return unwell(n.Reason, n.Message)
	}
	for _, role := range roles {
		if err := r.writeErrors[role]; err != nil {
			return unwell(ReasonWriteFailed, err.Error())
		}
	}
	return well("Active", "decisions are written")
}

func (r *round) targetFound() verdict {
	if r.unseen != nil {
		if r.unseen.reason == ReasonTargetMissing {
			return unwell(r.unseen.reason, r.unseen.message)
		}
		return unknown(r.unseen.reason, r.unseen.message)
	}
	for _, role := range roles {
		if missing := pool(r.seen, role).Missing; missing != "" {
			return unwell(planner.ReasonRoleMissing, missing)
		}
	}
	if len(r.seen.Problems) > 0 {
		p := r.seen.Problems[0]
		return well(planner.Reason(p.Reason), p.Message)
	}
	return well("Found", "the target and both its roles are there")
}

func (r *round) signalsKnown() verdict {
	failed := failedSources(r.reports)
	switch n, found := r.note(planner.ReasonDemandUnknown); {
	case r.seen == nil:
		return unknown(r.unseen.reason, "nothing was read: "+r.unseen.message)
	case found:
		return unwell(n.Reason, n.Message+failed)
	case r.decision() == nil:
		return unknown(r.refused.reason, "there was no decision to read for"+failed)
	}
	if n, found := r.note(planner.ReasonSilentPods); found {
		return well(n.Reason, n.Message+failed)
	}
	return well("Known", "the demand is known from fresh readings"+failed)
}

// failedSources names the sources that gave nothing, a few of them.
func failedSources(reports []signals.SourceReport) string {
	const shown = 3
	var texts []string
	failed := 0
	for i := range reports {
		if reports[i].OK {
			continue
		}
		if failed++; failed <= shown {
			texts = append(texts, reports[i].Source+": "+reports[i].Error)
		}
	}
	switch {
	case failed == 0:
		return ""
	case failed > shown:
		texts = append(texts, fmt.Sprintf("and %d more sources", failed-shown))
	}
	return "; not read: " + strings.Join(texts, "; ")
}

func (r *round) objectivesReachable() verdict {
	if r.decision() == nil {
		return unknown(r.refused.reason, "there was no decision")
	}
	if n, found := r.note(planner.ReasonCannotMeet, planner.ReasonUnattainable); found {
		return unwell(n.Reason, n.Message)
	}
	if n, found := r.note(planner.ReasonDemandUnknown, planner.ReasonInvalidSpec); found {
		return unknown(n.Reason, n.Message)
	}
	return well("Reachable", "some count within the limits meets both objectives")
}

func (r *round) withinBudget() verdict {
	if n, found := r.note(planner.ReasonOverBudget, planner.ReasonBudgetBelowMin); found {
		return unwell(n.Reason, n.Message)
	}
	budget := r.pda.Spec.Budget
	switch {
	case r.seen == nil:
		return unknown(r.unseen.reason, "the GPUs that are held were not seen")
	case budget == nil && r.quota != "":
		return well(ReasonWithinQuota, "there is no budget; "+r.quota)
	case budget == nil:
		return well("NoBudget", "there is no budget: only the maximum of each role limits them")
	}
	if held := r.seen.Prefill.HeldGPUs() + r.seen.Decode.HeldGPUs(); r.decision() == nil && held > int(budget.GPUs) {
		return unwell(planner.ReasonOverBudget, fmt.Sprintf("%d GPUs are held and the budget is %d", held, budget.GPUs))
	}
	if r.quota != "" {
		return well(ReasonWithinQuota, "the GPUs held are at most the budget; "+r.quota)
	}
	return well("WithinBudget", "the GPUs held are at most the budget")
}
