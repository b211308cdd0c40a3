package workload

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// keptStartups is how many start-up times are kept per role.
const keptStartups = 20

// longestBelieved is the longest start-up that is believed: a readiness
// condition that changed later than that says nothing about the start.
const longestBelieved = time.Hour

// startups measures, per role, the time from a replica's first pod to all its
// pods ready.
type startups struct {
	// starting are the replicas that were seen before they were ready for the first time.
	starting map[types.UID]bool
	// counted are the replicas whose start-up is in a list already.
	counted map[types.UID]bool
	// seen are times of replicas that were watched through their start, guessed
	// those of replicas that were ready before.
	seen, guessed []time.Duration
}

// record takes note of the replicas of a role. A replica is known by the UID of
// its first pod, so that a restarted one counts again.
func (s *startups) record(replicas []replica, states []planner.Replica) {
	starting, counted := map[types.UID]bool{}, map[types.UID]bool{}
	for i := range replicas {
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
		}
	}
	s.starting, s.counted = starting, counted
}

// reading is the 90th percentile of the start-up times.
func (s *startups) reading(now time.Time, role string) planner.Reading {
	times := s.seen
	if len(times) == 0 {
		times = s.guessed
	}
	if len(times) == 0 {
		return planner.Unknown("no replica of role " + role + " was seen starting")
	}
	sorted := slices.Sorted(slices.Values(times))
	rank := (len(sorted)*9 + 9) / 10 // nearest rank: the smallest that 90 % do not exceed
	p90 := sorted[rank-1]
	if p90 == 0 { // conditions have whole seconds
		p90 = time.Second
	}
	return planner.Known(p90.Seconds(), now, "start-up of pods of role "+role)
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
