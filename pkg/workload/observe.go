package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// scaledRoles are the planner's roles, in the order of every list here.
var scaledRoles = [2]planner.Role{planner.Prefill, planner.Decode}

// Observe returns the target as it is now. A target that does not exist is a
// *MissingError; a role that does not exist is its Pool's Missing. Any other
// error means that Kubernetes could not be read, and that nothing is known.
func (w *Workload) Observe(ctx context.Context, t Target, now time.Time) (Observation, error) {
	state := w.state(t)
	state.mu.Lock()
	defer state.mu.Unlock()

	g, err := w.readGroup(ctx, t)
	if err != nil {
		return Observation{}, err
	}
	state.begin(g)
	adapters, err := w.readAdapters(ctx, g)
	if err != nil {
		return Observation{}, err
	}
	policy, err := w.readPolicy(ctx, g)
	if err != nil {
		return Observation{}, err
	}
	carriers, err := w.readCarriers(ctx, t, g)
	if err != nil {
		return Observation{}, err
	}
	// Pods are read after the counts: of a change in between, the larger number
	// of GPUs is seen, whichever way it went.
	members, foreigners, err := w.members(ctx, g, state)
	if err != nil {
		return Observation{}, err
	}
	writers, err := w.readWriters(ctx, t)
	if err != nil {
		return Observation{}, err
	}

	o := Observation{UID: g.UID, Pods: podsOf(t, g, members)}
	views := map[planner.Role]*roleView{}
	for _, r := range scaledRoles {
		view := &roleView{planner: r, name: t.Roles[r], group: g, adapter: adapters[t.Roles[r]], carrier: carriers[t.Roles[r]]}
		view.observe(membersOf(members, view.name))
		view.startup(state.startups[r], now)
		if n := foreigners[view.name]; n > 0 {
			view.problem(ProblemForeignPods, fmt.Sprintf("%d pods carry the labels of role %s and belong to something else: they are not counted", n, view.name))
		}
		views[r] = view
	}
	nodes, err := w.readNodes(ctx, now, []shape{views[planner.Prefill].shape, views[planner.Decode].shape})
	if err != nil {
		return Observation{}, err
	}
	if nodes != nil {
		o.FreeGPUsByNode = nodes.free
	}
	progress := map[string]progress{}
	for _, view := range views {
		progress[view.name] = progressOf(view.pool.Desired, view.pool.Replicas)
	}
	for _, r := range scaledRoles {
		view := views[r]
		if view.pool.Missing == "" {
			view.pool.Writer = writers.of(t, g, view.role, view.adapter)
			view.pool.Held = firstOf(view.notBound, g.heldByDependency(view.name, carriers), policy.heldByPolicy(view.name, progress))
		}
		view.pool.GPUType = nodes.productOf(view.nodes(), view.shape)
		o.Problems = append(o.Problems, view.problems...)
	}
	o.Prefill, o.Decode = views[planner.Prefill].pool, views[planner.Decode].pool
	return o, nil
}

// readCarriers reads the workload objects of the scaled roles and of all that
// any role depends on.
func (w *Workload) readCarriers(ctx context.Context, t Target, g *group) (map[string]*carrier, error) {
	wanted := map[string]bool{}
	for _, name := range t.Roles {
		wanted[name] = true
	}
	for i := range g.Spec.Roles {
		for _, dependency := range g.Spec.Roles[i].Dependencies {
			wanted[dependency] = true
		}
	}
	carriers := map[string]*carrier{}
	for i := range g.Spec.Roles {
		r := &g.Spec.Roles[i]
		if !wanted[r.Name] {
			continue
		}
		c, err := w.readCarrier(ctx, g, r)
		if err != nil {
			return nil, err
		}
		if c != nil {
			carriers[r.Name] = c
		}
	}
	return carriers, nil
}

// roleView gathers what is seen of one role.
type roleView struct {
	planner planner.Role
	name    string
	group   *group
	role    *role // nil where the group has none
	adapter *adapter
	carrier *carrier

	shape    shape
	notBound string
	replicas []replica
	pool     planner.Pool
	problems []Problem
}

// observe fills the pool from the role and its pods. The pods of a role that
// was removed still hold their GPUs.
func (v *roleView) observe(pods []member) {
	v.role = v.group.role(v.name)
	v.replicas = groupReplicas(pods)
	if v.role == nil {
		v.pool.Missing = v.group.missingRole(v.name)
	} else {
		v.pool.Desired, v.notBound = desired(v.role, v.adapter)
		v.pool.Rollout = v.carrier.rollingOut()
		var err error
		if v.shape, err = v.group.shapeOf(v.role); err != nil {
			v.problem(ProblemTemplate, err.Error())
		}
		v.pool.GPUsPerReplica = v.shape.gpus
	}
	v.pool.Replicas = make([]planner.Replica, 0, len(v.replicas))
	for i := range v.replicas {
		v.pool.Replicas = append(v.pool.Replicas, v.replicas[i].observe(v.shape, v.pool.Rollout, v.pool.Desired))
	}
	v.checkGPUs()
}

// startup learns from the replicas, then puts them into their order of removal.
func (v *roleView) startup(s *startups, now time.Time) {
	s.record(v.replicas, v.pool.Replicas)
	v.pool.StartupSeconds = s.reading(now, v.name)
	created := map[string]time.Time{}
	for i := range v.replicas {
		created[v.replicas[i].name] = v.replicas[i].firstCreated().Time
	}
	removalOrder(v.pool.Replicas, created, v.role != nil && v.role.stateless())
}

// checkGPUs compares the template with the pods that live. During a rollout
// they may differ; at any other time something changed the pods on their way in.
func (v *roleView) checkGPUs() {
	if v.role == nil || v.pool.Rollout {
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

func membersOf(members []member, role string) []member {
	var of []member
	for _, m := range members {
		if m.role == role {
			of = append(of, m)
		}
	}
	return of
}

// podsOf returns the pods of the roles that matter to the target.
func podsOf(t Target, g *group, members []member) []Pod {
	names := map[string]planner.Role{}
	if t.FrontendRole != "" {
		names[t.FrontendRole] = FrontendRole
	}
	for _, r := range scaledRoles {
		names[t.Roles[r]] = r
	}
	pods := make([]Pod, 0, len(members))
	for _, m := range members {
		r, ok := names[m.role]
		if !ok {
			continue
		}
		pods = append(pods, Pod{
			Role: r, Name: m.Name, Instance: m.instance, UID: m.UID, IP: m.Status.PodIP, Node: m.Spec.NodeName,
			Ready: podReady(m.Pod) && !m.leaving, Terminating: m.leaving,
			Leader: isLeader(m.Pod, g.role(m.role)), GPUs: gpusOf(&m.Spec),
		})
	}
	slices.SortStableFunc(pods, func(a, b Pod) int { return podOrder(a) - podOrder(b) })
	return pods
}

func podOrder(p Pod) int {
	switch p.Role {
	case FrontendRole:
		return 0
	case planner.Prefill:
		return 1
	}
	return 2
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
