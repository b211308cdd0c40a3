package report

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// OfStatus explains the last decision as a resource's status holds it. The status has no input: a replay, and the reading
// behind each number, need a record.
func OfStatus(pda *v1alpha1.PDAutoscaler) Explanation {
	s := &pda.Status
	e := Explanation{Service: pda.Namespace + "/" + pda.Name, Summary: sentence(s.Message)}
	if s.LastDecisionTime != nil {
		e.At = s.LastDecisionTime.Time
		e.Roles = []RoleExplanation{
			roleOfStatus(planner.Prefill, &s.Roles.Prefill, s.SLO.TTFT, percentileText(float64(pda.Spec.SLO.TTFT.Percentile)/100)+" TTFT"),
			roleOfStatus(planner.Decode, &s.Roles.Decode, s.SLO.TPOT, percentileText(float64(pda.Spec.SLO.TPOT.Percentile)/100)+" TPOT"),
		}
	}
	e.GPUs = GPUs{Held: int(s.GPUs.Held)}
	if s.GPUs.Budget != nil {
		e.GPUs.Budget = int(*s.GPUs.Budget)
	}
	e.GPUs.Sentence = gpuSentence(e.GPUs)
	if m := s.Move; m != nil {
		e.Move = moveOf(&planner.Move{
			From: planner.Role(m.From), To: planner.Role(m.To), GPUs: int(m.GPUs), Phase: planner.MovePhase(m.Phase), Reason: m.Reason,
			DonorBefore: int(m.DonorBefore), DonorAfter: int(m.DonorAfter),
			ReceiverBefore: int(m.ReceiverBefore), ReceiverAfter: int(m.ReceiverAfter),
			StartedAt: m.StartedAt.Time, PhaseSince: m.PhaseSince.Time,
		}, e.At)
	}
	e.Notes = notesOfStatus(pda)
	e.Sources, e.Queries = sourcesOf(&s.Signals), s.Signals.Queries
	return e
}

// notesOfStatus are the conditions that are not well, and what makes the status less than current.
func notesOfStatus(pda *v1alpha1.PDAutoscaler) []Note {
	var notes []Note
	if reason, paused := pda.Annotations[v1alpha1.PausedAnnotation]; paused {
		notes = append(notes, Note{Reason: "Paused", Message: sentence(fmt.Sprintf("annotation %s is set, nothing is written: %s", v1alpha1.PausedAnnotation, reason))})
	}
	if pda.Spec.Mode == v1alpha1.ModeRecommend || pda.Spec.Mode == v1alpha1.ModeMetrics {
		notes = append(notes, Note{Reason: "Mode", Message: fmt.Sprintf("spec.mode is %s: replicas are not written by the autoscaler.", pda.Spec.Mode)})
	}
	switch {
	case pda.Status.LastDecisionTime == nil:
		notes = append(notes, Note{Reason: "NoStatus", Message: "no controller has written this status yet: does one run, and does it watch this namespace?"})
	case pda.Status.ObservedGeneration < pda.Generation:
		notes = append(notes, Note{Reason: "SpecChanged", Message: "the spec was changed after this decision."})
	}
	for _, c := range pda.Status.Conditions {
		if c.Status != metav1.ConditionTrue {
			notes = append(notes, Note{Reason: c.Type + " " + string(c.Status) + " (" + c.Reason + ")", Message: sentence(c.Message)})
		}
	}
	return notes
}

func roleOfStatus(role planner.Role, s *v1alpha1.RoleStatus, l v1alpha1.LatencyStatus, name string) RoleExplanation {
	e := RoleExplanation{
		Role: role, From: int(s.Current), To: int(s.Desired), Ready: int(s.Ready), Sentence: sentence(s.Message),
		Binding: planner.Reason(s.Reason),
		Latency: Latency{Name: name, ObjectiveMs: float64(l.ObjectiveMicroseconds) / 1000, ObservedMs: thousandth(l.ObservedMicroseconds),
			PredictedToMs: thousandth(l.PredictedMicroseconds)},
		DemandPerSecond: thousandth(s.DemandMilliRequestsPerSecond),
	}
	e.BindingMeans = Meaning(e.Binding)
	if e.Sentence == "" {
		e.Sentence = fmt.Sprintf("%s: nothing was decided; %d of %d replicas are ready.", role, e.Ready, e.From)
	}
	if s.LoadPercent != nil {
		load := float64(*s.LoadPercent) / 100
		e.Load = &load
	}
	for _, sentence := range s.Tried {
		e.Steps = append(e.Steps, Step{Sentence: sentence})
	}
	if wall := planner.Wall(s.Wall); walls[wall] != "" && e.DemandPerSecond != nil && *e.DemandPerSecond > 0 {
		e.Signal = &Signal{Name: walls[wall], Sentence: sentence(fmt.Sprintf("First to fill up is %s, at %s requests/s", walls[wall], digits(*e.DemandPerSecond, 3)))}
	}
	return e
}

// thousandth undoes the thousandfold integers in which a status writes its numbers.
func thousandth(n *int64) *float64 {
	if n == nil {
		return nil
	}
	x := float64(*n) / 1000
	return &x
}

// HistoryOfStatus are the last decisions that changed something, newest first.
func HistoryOfStatus(pda *v1alpha1.PDAutoscaler) []Change {
	changes := []Change{}
	for _, d := range pda.Status.Decisions {
		applied := d.Applied
		changes = append(changes, Change{
			At:      d.Time.Time.In(time.UTC),
			Prefill: CountChange{int(d.Prefill.From), int(d.Prefill.To), planner.Reason(d.Prefill.Reason)},
			Decode:  CountChange{int(d.Decode.From), int(d.Decode.To), planner.Reason(d.Decode.Reason)},
			Applied: &applied, Summary: sentence(d.Message),
		})
	}
	return changes
}
