package controller

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// maxMessageRunes is the length that the CRD allows a message.
const maxMessageRunes = 2048

// status is the resource's status after this round. What the round could not
// see stays as it was; the conditions say that it was not seen.
func (r *round) status() v1alpha1.PDAutoscalerStatus {
	s := *r.base.Status.DeepCopy()
	d := r.decision()
	s.ObservedGeneration = r.base.Generation
	s.Reason, s.Message = r.headline()
	s.LastDecisionTime = new(metav1.NewMicroTime(r.now))
	s.Roles.Prefill = r.roleStatus(planner.Prefill, s.Roles.Prefill)
	s.Roles.Decode = r.roleStatus(planner.Decode, s.Roles.Decode)
	s.GPUs = r.gpusStatus(s.GPUs)
	s.SLO = r.sloStatus(s.SLO)
	s.Signals = r.signalsStatus(s.Signals)
	if d != nil {
		s.Model = r.modelStatus()
	}
	if r.foreign == "" {
		s.Move = moveStatus(r.svc.memory.Move)
		s.Memory = r.memoryStatus(&r.svc.memory)
	}
	s.Drains = drainsStatus(r.svc.drains)
	s.Decisions = r.decisions(s.Decisions)
	s.Conditions = r.conditions(s.Conditions)
	return s
}

// headline is the round in one word and one sentence.
func (r *round) headline() (reason, message string) {
	d := r.decision()
	if d == nil {
		return string(r.refused.reason), truncate(r.refused.message, maxMessageRunes)
	}
	message = truncate(d.Summary, maxMessageRunes)
	for _, role := range roles {
		if err := r.writeErrors[role]; err != nil {
			return string(ReasonWriteFailed), truncate(err.Error(), maxMessageRunes)
		}
	}
	for _, role := range roles {
		if rd := roleDecision(d, role); rd.To != rd.From {
			return string(rd.Binding), message
		}
	}
	switch {
	case r.svc.memory.Move != nil:
		return string(planner.ReasonMove), message
	case len(d.Notes) > 0:
		return string(d.Notes[0].Reason), message
	}
	for _, role := range roles {
		if rd := roleDecision(d, role); rd.Binding != planner.ReasonSteady {
			return string(rd.Binding), message
		}
	}
	return string(planner.ReasonSteady), message
}

func (r *round) roleStatus(role planner.Role, was v1alpha1.RoleStatus) v1alpha1.RoleStatus {
	s := was
	s.Name = r.target.Roles[role]
	d := r.decision()
	if d == nil {
		s.LoadPercent, s.DemandMilliRequestsPerSecond, s.QueueMilliseconds = nil, nil, nil
		s.Reason, s.Message, s.Wall, s.Tried = string(r.refused.reason), "", "", nil
	}
	switch {
	case r.seen == nil && r.unseen.reason == ReasonTargetMissing:
		s = v1alpha1.RoleStatus{Name: s.Name, Reason: s.Reason}
	case r.seen == nil: // not read: what was seen last stays
	default:
		p := pool(r.seen, role)
		s.Current = int32(p.Desired)
		s.Ready, s.Starting, s.Terminating = 0, 0, 0
		for i := range p.Replicas {
			switch p.Replicas[i].State {
			case planner.Ready:
				s.Ready++
			case planner.Starting:
				s.Starting++
			case planner.Terminating:
				s.Terminating++
			}
		}
		s.GPUsPerReplica, s.GPUType = int32(p.GPUsPerReplica), p.GPUType
		s.StartupTime = v1alpha1.Duration{}
		if p.StartupSeconds.Ok() {
			s.StartupTime = v1alpha1.Every(planner.Seconds(p.StartupSeconds.Or(0)).Duration().Round(time.Second))
		}
		s.Startup, s.Waiting = startupStatus(r.seen.Startup[role]), waitingFor(p)
		s.Desired = s.Current
	}
	if d != nil {
		rd := roleDecision(d, role)
		s.Desired = int32(rd.To)
		if r.did.roles[role] {
			s.Current = int32(rd.To)
		}
		s.Reason, s.Message = string(rd.Binding), truncate(rd.Because, maxMessageRunes)
		if why, waits := r.waiting[role]; waits {
			s.Reason, s.Message = string(ReasonDraining), truncate(why, maxMessageRunes)
		}
		s.Wall, s.Tried = string(rd.Wall), tried(rd)
		s.LoadPercent, s.DemandMilliRequestsPerSecond = nil, nil
		if load := knownLoad(rd); load != nil {
			s.LoadPercent = new(int32(math.Round(min(*load*100, math.MaxInt32))))
		}
		if rd.Demand.Known {
			s.DemandMilliRequestsPerSecond = new(rounded(rd.Demand.RequestsPerSecond * 1000))
		}
		s.QueueMilliseconds = r.queueMilliseconds(role)
	}
	s.Replicas = fmt.Sprintf("%d/%d", s.Ready, s.Desired)
	return s
}

// knownLoad is the share of a role's ready replicas that the demand takes, nil
// where it is not known. Of none there is no share: zero would say that the role
// is idle while nothing serves, and an HPA on it would go down.
func knownLoad(rd *planner.RoleDecision) *float64 {
	if !rd.Demand.Known || rd.Ready <= 0 {
		return nil
	}
	return &rd.Load
}

// Limits that the CRD sets to what was tried.
const (
	maxTried        = 8
	maxTriedMessage = 1024
)

func tried(d *planner.RoleDecision) []string {
	var out []string
	for _, s := range d.Steps[:min(len(d.Steps), maxTried)] {
		out = append(out, truncate(report.StepOf(s, d.From).Sentence, maxTriedMessage))
	}
	return out
}

// queueMilliseconds is how long the ready replicas need for the requests that
// wait for the role, nil where that is not known.
func (r *round) queueMilliseconds(role planner.Role) *int64 {
	waiting := r.signals.PrefillWaiting
	if role == planner.Decode {
		waiting = r.signals.DecodeWaiting
	}
	waiting = waiting.Fresh(r.now, seconds(r.pda.Spec.Behavior.MaxAge))
	rd := roleDecision(r.decision(), role)
	servesPerSecond := rd.ServesPerSecond * float64(rd.Ready)
	switch {
	case !waiting.Ok():
		return nil
	case waiting.Or(0) == 0:
		return new(int64(0))
	case !(servesPerSecond > 0):
		return nil
	}
	return new(rounded(waiting.Or(0) / servesPerSecond * 1000))
}

func (r *round) gpusStatus(was v1alpha1.GPUsStatus) v1alpha1.GPUsStatus {
	s := v1alpha1.GPUsStatus{Held: was.Held}
	switch {
	case r.decision() != nil:
		s.Held = int32(r.decision().GPUs.Held)
	case r.seen != nil:
		s.Held = int32(r.seen.Prefill.HeldGPUs() + r.seen.Decode.HeldGPUs())
	case r.unseen.reason == ReasonTargetMissing:
		s.Held = 0
	}
	s.Summary = fmt.Sprint(s.Held)
	if b := r.pda.Spec.Budget; b != nil {
		s.Budget = new(b.GPUs)
		s.Summary = fmt.Sprintf("%d/%d", s.Held, b.GPUs)
	}
	return s
}

func (r *round) sloStatus(was v1alpha1.SLOStatus) v1alpha1.SLOStatus {
	s := v1alpha1.SLOStatus{State: v1alpha1.SLOUnknown}
	slo := &r.pda.Spec.SLO
	s.TTFT.ObjectiveMicroseconds = slo.TTFT.Target.Microseconds()
	s.TPOT.ObjectiveMicroseconds = slo.TPOT.Target.Microseconds()
	if r.seen == nil {
		return s
	}
	maxAge := seconds(r.pda.Spec.Behavior.MaxAge)
	ttft, tpot := r.signals.TTFTMs.Fresh(r.now, maxAge), r.signals.TPOTMs.Fresh(r.now, maxAge)
	s.TTFT.ObservedMicroseconds, s.TPOT.ObservedMicroseconds = observedMicroseconds(ttft), observedMicroseconds(tpot)
	if d := r.decision(); d != nil {
		s.TTFT.PredictedMicroseconds, s.TPOT.PredictedMicroseconds = predictedMicroseconds(d.Prefill.AfterMs), predictedMicroseconds(d.Decode.AfterMs)
	}
	missed := func(seen planner.Reading, target time.Duration) bool {
		return seen.Ok() && seen.Or(0) > milliseconds(target)
	}
	switch {
	case missed(ttft, slo.TTFT.Target.Duration) || missed(tpot, slo.TPOT.Target.Duration):
		s.State = v1alpha1.SLOMissed
	case ttft.Ok() && tpot.Ok():
		s.State = v1alpha1.SLOMet
	}
	return s
}

func observedMicroseconds(r planner.Reading) *int64 {
	if !r.Ok() {
		return nil
	}
	return new(rounded(r.Or(0) * 1000))
}

func predictedMicroseconds(ms *float64) *int64 {
	if ms == nil {
		return nil
	}
	return new(rounded(*ms * 1000))
}

// rounded keeps the two digits that a person reads of a number that is never
// the same twice.
func rounded(x float64) int64 {
	if !(x > 0) {
		return 0
	}
	x = min(x, 1e15)
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	return int64(math.Round(math.Round(x/unit) * unit))
}

// prefillPrompt is the length of the prompts that status.model.prefill.tokensPerSecond is for.
const prefillPrompt = 2048

func (r *round) modelStatus() v1alpha1.ModelStatus {
	p, d := &r.spec.Service.Prefill, &r.spec.Service.Decode
	s := v1alpha1.ModelStatus{
		Name:   r.model.Name,
		Source: r.model.source,
		Prefill: v1alpha1.PrefillModelStatus{
			GPU: r.svc.gpus[planner.Prefill], TensorParallel: int32(p.GPUs), TokensPerSecond: prefillSpeed(p),
		},
		Decode: v1alpha1.DecodeModelStatus{
			GPU: r.svc.gpus[planner.Decode], TensorParallel: int32(d.GPUs), KVTokens: int64(d.KVCapacityTokens), MaxSequences: int32(r.spec.Service.MaxSequences),
		},
		Calibration: r.calibrationStatus(r.base.Status.Model.Calibration),
	}
	s.Decode.AlphaMicroseconds, s.Decode.BetaNanosecondsPerSequence, s.Decode.KappaPicosecondsPerToken = r.decodeLine(d)
	return s
}

// decisions puts the round's decision before the earlier ones, if it changes
// something and is not the one that was made, and not carried out, already.
func (r *round) decisions(was []v1alpha1.DecisionStatus) []v1alpha1.DecisionStatus {
	d := r.decision()
	if d == nil {
		return was
	}
	changes := d.Prefill.To != d.Prefill.From || d.Decode.To != d.Decode.From
	if !changes && !(r.did.intent && d.Ended != nil) || len(r.waiting) > 0 && len(r.did.roles) == 0 {
		return was
	}
	this := v1alpha1.DecisionStatus{
		Time:    metav1.NewMicroTime(r.now),
		Prefill: v1alpha1.CountChange{From: int32(d.Prefill.From), To: int32(d.Prefill.To), Reason: string(d.Prefill.Binding)},
		Decode:  v1alpha1.CountChange{From: int32(d.Decode.From), To: int32(d.Decode.To), Reason: string(d.Decode.Binding)},
		Applied: r.applied(),
		Message: truncate(d.Summary, maxMessageRunes),
	}
	if len(was) > 0 && !this.Applied {
		if last := was[0]; last.Applied == this.Applied && last.Prefill == this.Prefill && last.Decode == this.Decode {
			return was
		}
	}
	all := append([]v1alpha1.DecisionStatus{this}, was...)
	return all[:min(len(all), v1alpha1.MaxDecisions)]
}

// applied reports whether every count that the decision changes was written.
func (r *round) applied() bool {
	d := r.decision()
	for _, role := range roles {
		if rd := roleDecision(d, role); rd.To != rd.From && !r.did.roles[role] {
			return false
		}
	}
	return r.did.intent
}
