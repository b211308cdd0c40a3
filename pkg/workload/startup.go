package workload

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// keptStartups is how many start-up times are kept per role and phase.
const keptStartups = 20

// longestBelieved is the longest start-up that is believed: a readiness
// condition that changed later than that says nothing about the start.
const longestBelieved = time.Hour

// staysWarm is for how long a node counts as one that has the weights: they leave
// the page cache at some time, and nodes come and go under new names.
const staysWarm = 24 * time.Hour

// startups measures, per role, the time from a replica's first pod to all its
// pods ready, and its phases.
type startups struct {
	// starting are the replicas that were seen before they were ready for the first time.
	starting map[types.UID]bool
	// counted are the replicas whose start-up is in a list already.
	counted map[types.UID]bool
	// seen are times of replicas that were watched through their start, guessed
	// those of replicas that were ready before.
	seen, guessed []time.Duration

	schedule, pull, cold, warm []time.Duration
	// warmNodes are those on which a replica of the role was ready, and when the
	// last one was: the weights that it read there may still be in the page cache.
	warmNodes map[string]time.Time
}

func newStartups() *startups {
	return &startups{starting: map[types.UID]bool{}, counted: map[types.UID]bool{}, warmNodes: map[string]time.Time{}}
}

// record takes note of the replicas of a role, in the order in which they
// became ready. A replica is known by the UID of its first pod, so that a
// restarted one counts again.
func (s *startups) record(replicas []replica, states []planner.Replica) {
	order := make([]int, len(replicas))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return states[a].Since.Compare(states[b].Since) })
	starting, counted := map[types.UID]bool{}, map[types.UID]bool{}
	for _, i := range order {
		id := replicas[i].pods[0].UID
		switch {
		case s.counted[id]:
			counted[id] = true
		case states[i].State == planner.Starting:
			// A replica that is made again after a pod was lost is not a fresh start.
			if !slices.ContainsFunc(replicas[i].pods, func(m member) bool { return m.leaving }) {
				starting[id] = true
			}
		case states[i].State == planner.Ready:
			counted[id] = true
			took := states[i].Since.Sub(replicas[i].firstCreated().Time)
			switch {
			case took < 0 || took > longestBelieved:
			case s.starting[id]:
				s.seen = keep(s.seen, took)
			case !restarted(&replicas[i]):
				s.guessed = keep(s.guessed, took)
			}
			s.recordPhases(&replicas[i], states[i].Since)
		}
	}
	s.starting, s.counted = starting, counted
}

// recordPhases tells apart what a start-up consisted of. The times of a
// container that was restarted are those of its last start and say nothing.
func (s *startups) recordPhases(r *replica, ready time.Time) {
	made, placed, running := r.firstCreated().Time, time.Time{}, time.Time{}
	known, warm := !restarted(r), true
	for _, pod := range r.pods {
		c := podCondition(pod.Pod, corev1.PodScheduled)
		started, all := startedAt(pod.Pod)
		if c == nil || c.Status != corev1.ConditionTrue || c.LastTransitionTime.IsZero() || !all {
			known = false
			continue
		}
		placed, running = later(placed, c.LastTransitionTime.Time), later(running, started)
		last, known := s.warmNodes[pod.Spec.NodeName]
		warm = warm && known && ready.Sub(last) < staysWarm
	}
	for _, pod := range r.pods {
		s.warmNodes[pod.Spec.NodeName] = ready
	}
	maps.DeleteFunc(s.warmNodes, func(_ string, last time.Time) bool { return ready.Sub(last) >= staysWarm })
	if !known || placed.Before(made) || running.Before(placed) || ready.Before(running) || ready.Sub(made) > longestBelieved {
		return
	}
	s.schedule, s.pull = keep(s.schedule, placed.Sub(made)), keep(s.pull, running.Sub(placed))
	if warm {
		s.warm = keep(s.warm, ready.Sub(running))
	} else {
		s.cold = keep(s.cold, ready.Sub(running))
	}
}

// startedAt is when the last of a pod's containers began to run; all is false
// where one of them did not, or does not say.
func startedAt(pod *corev1.Pod) (at time.Time, all bool) {
	for i := range pod.Status.ContainerStatuses {
		running := pod.Status.ContainerStatuses[i].State.Running
		if running == nil || running.StartedAt.IsZero() {
			return at, false
		}
		at = later(at, running.StartedAt.Time)
	}
	return at, len(pod.Status.ContainerStatuses) > 0
}

// reading is the 90th percentile of the start-up times.
func (s *startups) reading(now time.Time, role string) planner.Reading {
	q := quantilesOf(s.totals())
	if q.Samples == 0 {
		return planner.Unknown("no replica of role " + role + " was seen starting")
	}
	return planner.Known(max(q.P90, time.Second).Seconds(), now, "start-up of pods of role "+role) // conditions have whole seconds
}

func (s *startups) totals() []time.Duration {
	if len(s.seen) > 0 {
		return s.seen
	}
	return s.guessed
}

// summary is all that is known of the role's start-ups.
func (s *startups) summary(volumes []string) Startup {
	return Startup{
		Total: quantilesOf(s.totals()), Schedule: quantilesOf(s.schedule), Pull: quantilesOf(s.pull),
		ColdLoad: quantilesOf(s.cold), WarmLoad: quantilesOf(s.warm), Volumes: volumes,
	}
}

// quantilesOf takes the nearest rank: the smallest time that a share of all does not exceed.
func quantilesOf(times []time.Duration) Quantiles {
	n := len(times)
	if n == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(times))
	return Quantiles{Samples: n, P50: sorted[(n+1)/2-1], P90: sorted[(n*9+9)/10-1]}
}

func keep(times []time.Duration, took time.Duration) []time.Duration {
	times = append(times, took)
	return times[max(0, len(times)-keptStartups):]
}

func restarted(r *replica) bool {
	for _, pod := range r.pods {
		for i := range pod.Status.ContainerStatuses {
			if pod.Status.ContainerStatuses[i].RestartCount > 0 {
				return true
			}
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// volumesOf names the volumes of a pod that are not the node's own scratch or
// configuration: weights may be read from there. Fluid mounts its caches as claims.
func volumesOf(spec *corev1.PodSpec) []string {
	var names []string
	for i := range spec.Volumes {
		switch v := &spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			names = append(names, "PersistentVolumeClaim "+v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, "ephemeral volume "+v.Name)
		case v.HostPath != nil:
			names = append(names, "hostPath "+v.HostPath.Path)
		case v.Image != nil:
			names = append(names, "image volume "+v.Image.Reference)
		case v.CSI != nil:
			names = append(names, "CSI volume "+v.Name+" of "+v.CSI.Driver)
		case v.NFS != nil:
			names = append(names, "NFS "+v.NFS.Server+":"+v.NFS.Path)
		}
	}
	return names
}
