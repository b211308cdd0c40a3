package workload

import (
	"fmt"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// roleView gathers what is seen of one scaled role.
type roleView struct {
	planner planner.Role
	name    string // as the target calls it
	missing string // why the role is not there; empty when it is

	desired   int
	unset     bool // there is no count yet: what runs goes on running
	rollout   bool
	stateless bool
	shape     shape
	shapeErr  error
	// byPods: there is no template to read, so that the pods say what a replica is made of.
	byPods bool
	// notBound and unknownPods keep a new count from being written.
	notBound, unknownPods string

	replicas []replica
	pool     planner.Pool
	starts   Startup
	problems []Problem
}

// observe fills the pool from the role and its pods. The pods of a role that
// was removed still hold their GPUs.
func (v *roleView) observe(pods []member) {
	v.replicas = groupReplicas(pods)
	if v.pool.Missing = v.missing; v.missing == "" {
		if v.unset {
			v.desired = v.running()
		}
		v.pool.Desired, v.pool.Rollout = v.desired, v.rollout
		switch {
		case v.shapeErr != nil:
			v.problem(ProblemTemplate, v.shapeErr.Error())
			v.shape = shape{}
		case v.byPods:
			v.shapeByPods()
		}
		v.pool.GPUsPerReplica = v.shape.gpus
	}
	v.pool.Replicas = make([]planner.Replica, 0, len(v.replicas))
	for i := range v.replicas {
		v.pool.Replicas = append(v.pool.Replicas, v.replicas[i].observe(v.shape, v.pool.Rollout, v.pool.Desired))
	}
	v.checkGPUs()
}

// running counts the replicas that are not on their way out.
func (v *roleView) running() int {
	n := 0
	for i := range v.replicas {
		if slices.ContainsFunc(v.replicas[i].pods, func(m member) bool { return !m.leaving }) {
			n++
		}
	}
	return n
}

// shapeByPods takes the shape from the live replicas where they agree. It is
// not guessed where they do not, or where there are none.
func (v *roleView) shapeByPods() {
	found := shape{}
	for i := range v.replicas {
		r := &v.replicas[i]
		if !r.complete(shape{}) {
			continue
		}
		one := shape{}
		for _, pod := range r.pods {
			one.add(1, &pod.Spec)
			one.gpus += pod.claimed
		}
		if found.pods > 0 && (found.pods != one.pods || found.gpus != one.gpus) {
			v.problem(ProblemGPUsUnknown, fmt.Sprintf("replicas of %s have %d pods with %d GPUs and %d pods with %d: what a new one takes is not known; set roles.%s.parallelism",
				v.name, found.pods, found.gpus, one.pods, one.gpus, v.planner))
			return
		}
		found = one
	}
	if found.pods == 0 {
		v.problem(ProblemGPUsUnknown, fmt.Sprintf("%s has no pod template that is understood and no pod: what a replica takes is not known; set roles.%s.parallelism", v.name, v.planner))
		return
	}
	v.shape = found
}

// startup learns from the replicas, then puts them into their order of removal.
func (v *roleView) startup(s *startups, now time.Time) {
	s.record(v.replicas, v.pool.Replicas)
	v.pool.StartupSeconds = s.reading(now, v.name)
	v.starts = s.summary(v.shape.volumes)
	created := map[string]time.Time{}
	cost := map[string]int{}
	for i := range v.replicas {
		created[v.replicas[i].name] = v.replicas[i].firstCreated().Time
		cost[v.replicas[i].name] = v.replicas[i].podDeletionCost()
	}
	removalOrder(v.pool.Replicas, created, cost, v.stateless)
}

// checkGPUs compares the template with the pods that live. During a rollout
// they may differ; at any other time something changed the pods on their way in.
func (v *roleView) checkGPUs() {
	if v.missing != "" || v.pool.Rollout || v.byPods {
		return
	}
	for i := range v.replicas {
		live := &v.pool.Replicas[i]
		if v.replicas[i].complete(v.shape) && live.GPUs != v.shape.gpus {
			v.problem(ProblemGPUsDiffer, fmt.Sprintf("replica %s of role %s holds %d GPUs, its template says %d: the budget counts what the pods hold, and new replicas by the template",
				live.Name, v.name, live.GPUs, v.shape.gpus))
			return
		}
	}
}

// waiting says which replica no node takes, and why.
func (v *roleView) waiting() {
	for i := range v.pool.Replicas {
		if r := &v.pool.Replicas[i]; r.Unschedulable != "" && r.State == planner.Starting {
			v.problem(ProblemWaiting, fmt.Sprintf("replica %s of role %s waits for a place: %s", r.Name, v.name, r.Unschedulable))
			return
		}
	}
}

func (v *roleView) problem(reason, message string) {
	v.problems = append(v.problems, Problem{Role: v.planner, Reason: reason, Message: message})
}

// nodes lists the nodes of the role's pods.
func (v *roleView) nodes() []string {
	var nodes []string
	for i := range v.replicas {
		for _, pod := range v.replicas[i].pods {
			if pod.Spec.NodeName != "" {
				nodes = append(nodes, pod.Spec.NodeName)
			}
		}
	}
	return nodes
}
