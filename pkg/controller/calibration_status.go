package controller

import (
	"fmt"
	"math"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// calibrationStatus is what the service has taught, nil where calibration is
// off. It changes only when what is in use does: numbers between two such
// moments are in the metrics.
func (r *round) calibrationStatus(was *v1alpha1.CalibrationStatus) *v1alpha1.CalibrationStatus {
	if r.pda.Spec.Model.Calibration == v1alpha1.CalibrationOff {
		return nil
	}
	if was == nil {
		was = &v1alpha1.CalibrationStatus{}
	}
	s := &v1alpha1.CalibrationStatus{}
	if l := r.svc.lessons[planner.Prefill]; l != nil {
		s.Prefill.RoleCalibration = l.status(r, was.Prefill.RoleCalibration)
		if l.used {
			s.Prefill.PriorTokensPerSecond = prefillSpeed(&l.prior)
		}
	}
	if l := r.svc.lessons[planner.Decode]; l != nil {
		s.Decode.RoleCalibration = l.status(r, was.Decode.RoleCalibration)
		if l.used {
			s.Decode.PriorAlphaMicroseconds, s.Decode.PriorBetaNanosecondsPerSequence, s.Decode.PriorKappaPicosecondsPerToken = r.decodeLine(&l.prior)
		}
	}
	return s
}

// status is one role's part. was is what the status says now.
func (l *lesson) status(r *round, was v1alpha1.RoleCalibration) v1alpha1.RoleCalibration {
	s := v1alpha1.RoleCalibration{State: v1alpha1.CalibrationWaiting}
	switch {
	case r.pda.Spec.Model.Calibration == v1alpha1.CalibrationFrozen:
		s.State = v1alpha1.CalibrationIsFrozen
	case l.used:
		s.State = v1alpha1.CalibrationInUse
	case l.online.Used > 0:
		s.State = v1alpha1.CalibrationLearning
	}
	if !l.used {
		if why := l.online.MostRefused(); why != "" {
			s.Message = fmt.Sprintf("most intervals teach nothing: %s", why)
		} else if !l.looked {
			s.Message = "what the replicas show is not read"
		}
		return s
	}
	u := &l.online.InUse
	s.Observations = int32(min(u.Observations, math.MaxInt32))
	s.StepPermille, s.UncertaintyPermille = permille(u.StepRatio), permille(u.Uncertainty)
	s.PriorErrorPermille, s.ErrorPermille = permille(u.PriorError), permille(u.LearntError)
	s.Memory = was.Memory
	if memory, err := l.online.Pack(); err == nil && (s != withoutMessage(was) || s.Memory == "") {
		s.Memory = memory // something else is new as well
	}
	return s
}

// withoutMessage is a role's calibration as it was without what comes and goes.
func withoutMessage(s v1alpha1.RoleCalibration) v1alpha1.RoleCalibration {
	s.Message = ""
	return s
}

func permille(x float64) int32 {
	if !(x > 0) {
		return 0
	}
	return int32(math.Round(min(1000*x, math.MaxInt32)))
}

// prefillSpeed is the prompt tokens per second that a busy replica computes.
func prefillSpeed(p *perfmodel.Replica) int64 {
	return rounded(prefillPrompt * 1000 / p.Prefill.StepMs(prefillPrompt, 0))
}

// decodeLine is a step as a line: few sequences without context, what each
// sequence adds (f is bent; this is the line through both its ends), and each token of context.
func (r *round) decodeLine(d *perfmodel.Replica) (alphaMicroseconds, betaNanoseconds, kappaPicoseconds int64) {
	sequences := float64(max(r.spec.Service.MaxSequences, 2))
	alphaMs := d.Decode.BaseMs(1)
	return int64(math.Round(alphaMs * 1e3)), int64(math.Round((d.Decode.BaseMs(sequences) - alphaMs) / (sequences - 1) * 1e6)), int64(math.Round(d.Decode.KVMsPerToken * 1e9))
}

// observeCalibration exports what the last interval taught, and what was learnt.
func (m *Metrics) observeCalibration(r *round, of series) {
	for _, role := range roles {
		var ratio, uncertainty, prior, learnt *float64
		if l := r.svc.lessons[role]; l != nil && r.decision() != nil {
			if l.looked {
				result := string(l.refused)
				if result == "" {
					result = taught
				}
				m.counters[metricIntervals].WithLabelValues(of.with(string(role), result)...).Inc()
			}
			if l.used {
				ratio, uncertainty = &l.online.InUse.StepRatio, &l.online.InUse.Uncertainty
			}
			if l.online.Used > 0 {
				prior, learnt = &l.online.PriorError, &l.online.LearntError
			}
		}
		of.set(m.gauges[metricStepRatio], ratio, string(role))
		of.set(m.gauges[metricStepUncertainty], uncertainty, string(role))
		of.set(m.gauges[metricStepError], prior, string(role), "prior")
		of.set(m.gauges[metricStepError], learnt, string(role), "learnt")
	}
}

// taught is the result of an interval that did.
const taught = "Taught"

// intervalResults are all values of the label result.
func intervalResults() []string {
	all := []string{taught}
	for _, why := range calibrate.Refusals() {
		all = append(all, string(why))
	}
	return all
}
