package controller

import (
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// maxVolumes is how many volumes the CRD lets a status name.
const maxVolumes = 8

// startupStatus shows what was measured of the start of a role's replicas.
func startupStatus(s workload.Startup) *v1alpha1.StartupStatus {
	if s.Total.Samples == 0 {
		return nil
	}
	return &v1alpha1.StartupStatus{
		Total: phaseTimes(s.Total), Schedule: phaseTimes(s.Schedule), ImagePull: phaseTimes(s.Pull),
		ColdLoad: phaseTimes(s.ColdLoad), WarmLoad: phaseTimes(s.WarmLoad),
		Volumes: s.Volumes[:min(len(s.Volumes), maxVolumes)],
	}
}

func phaseTimes(q workload.Quantiles) *v1alpha1.PhaseTimes {
	if q.Samples == 0 {
		return nil
	}
	return &v1alpha1.PhaseTimes{Samples: int32(q.Samples), P50Seconds: seconds32(q.P50), P90Seconds: seconds32(q.P90)}
}

func seconds32(d time.Duration) int32 { return int32(d.Round(time.Second) / time.Second) }

// waitingFor is why a replica of the role finds no place.
func waitingFor(p *planner.Pool) string {
	for i := range p.Replicas {
		if r := &p.Replicas[i]; r.Unschedulable != "" && r.State == planner.Starting {
			return truncate(r.Name+": "+r.Unschedulable, maxMessageRunes)
		}
	}
	return ""
}
