package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// scaledRoles are the planner's roles, in the order of every list here.
var scaledRoles = [2]planner.Role{planner.Prefill, planner.Decode}

// sight is what one observation gathers before it is put together.
type sight struct {
	o       *Observation
	views   map[planner.Role]*roleView
	members []member
	// leader reports whether a pod speaks for its replica.
	leader func(member) bool
	// held and writer answer for one role; they are asked when all pods are known.
	held, heldUp, writer func(*roleView) string
}

// Observe returns the target as it is now. A target that does not exist is a
// *MissingError; a role that does not exist is its Pool's Missing. Any other
// error means that Kubernetes could not be read, and that nothing is known.
func (w *Workload) Observe(ctx context.Context, t Target, now time.Time) (Observation, error) {
	state := w.state(t)
	state.mu.Lock()
	defer state.mu.Unlock()

	look := w.seeGroup
	if t.Scales != nil {
		look = w.seeScales
	}
	s, err := look(ctx, t, state, now)
	if err != nil {
		return Observation{}, err
	}
	if err := w.addClaims(ctx, t, now, s); err != nil {
		return Observation{}, err
	}
	state.begin(s.o.UID)
	state.pods = map[planner.Role][]candidate{}
	for _, r := range scaledRoles {
		view := s.views[r]
		view.observe(membersOf(s.members, view.name))
		view.startup(state.startups[r], now)
		state.pods[r] = view.candidates()
	}
	nodes, err := w.readNodes(ctx, now, []shape{s.views[planner.Prefill].shape, s.views[planner.Decode].shape}, s.claims())
	if err != nil {
		return Observation{}, err
	}
	quota, err := w.readQuotas(ctx, t, now, s)
	if err != nil {
		return Observation{}, err
	}
	w.conclude(t, s, nodes, quota)
	return *s.o, nil
}

// conclude puts the observation together.
func (w *Workload) conclude(t Target, s *sight, nodes *nodeView, quota *Allowance) {
	o := s.o
	o.Pods, o.QuotaGPUs = s.podsOf(t), quota
	o.Startup, o.GraceSeconds, o.Stateless = map[planner.Role]Startup{}, map[planner.Role]int64{}, map[planner.Role]bool{}
	if nodes != nil {
		o.FreeGPUsByNode = nodes.free
	}
	for _, r := range scaledRoles {
		view := s.views[r]
		if view.pool.Missing == "" {
			view.pool.Writer = s.writer(view)
			view.pool.Held = firstOf(view.notBound, view.unknownPods, s.held(view))
			view.pool.HeldUp = s.heldUp(view)
			if view.stateless {
				o.Stateless[r] = true
			}
			if view.shape.pods > 0 {
				o.GraceSeconds[r] = view.shape.graceSeconds
			}
		}
		view.pool.GPUType = nodes.productOf(view.nodes(), view.shape)
		view.pool.NotOn = nodes.unfit(view.shape, s.nodes())
		view.waiting()
		o.Startup[r] = view.starts
		o.Problems = append(o.Problems, view.problems...)
	}
	o.Prefill, o.Decode = s.views[planner.Prefill].pool, s.views[planner.Decode].pool
}

// seeGroup reads a RoleBasedGroup and its pods.
func (w *Workload) seeGroup(ctx context.Context, t Target, state *state, now time.Time) (*sight, error) {
	g, err := w.readGroup(ctx, t, now)
	if err != nil {
		return nil, err
	}
	adapters, err := w.readAdapters(ctx, g, t.Roles)
	if err != nil {
		return nil, err
	}
	policy, err := w.readPolicy(ctx, g, now)
	if err != nil {
		return nil, err
	}
	carriers, err := w.readCarriers(ctx, t, g)
	if err != nil {
		return nil, err
	}
	// Pods are read after the counts: of a change in between, the larger number
	// of GPUs is seen, whichever way it went.
	members, foreigners, err := w.members(ctx, g, state)
	if err != nil {
		return nil, err
	}
	writers, err := w.readWriters(ctx, t, now)
	if err != nil {
		return nil, err
	}
	s := &sight{o: &Observation{UID: g.UID}, views: map[planner.Role]*roleView{}, members: members}
	s.leader = func(m member) bool {
		r := g.role(m.role)
		return r == nil || r.LeaderWorker == nil || isLeader(m.Pod)
	}
	state.paths = map[planner.Role]*writePath{}
	for _, r := range scaledRoles {
		name := t.Roles[r]
		view := &roleView{planner: r, name: name, missing: g.missingRole(name)}
		if role := g.role(name); role != nil {
			view.missing = ""
			view.desired, view.notBound = desired(role, adapters[name])
			view.rollout = carriers[name].rollingOut()
			view.stateless = g.stateless(role)
			view.shape, view.shapeErr = g.shapeOf(role)
			state.paths[r] = g.path(name, adapters[name])
		}
		if n := foreigners[name]; n > 0 {
			view.problem(ProblemForeignPods, fmt.Sprintf("%d pods carry the labels of role %s and belong to something else: they are not counted", n, name))
		}
		s.views[r] = view
	}
	s.held = func(v *roleView) string {
		return firstOf(g.heldByDependency(v.name, carriers), policy.heldByPolicy(v.name, s.progress()))
	}
	s.heldUp = func(v *roleView) string { return g.heldByGang(v.name, s.members) }
	s.writer = func(v *roleView) string { return writers.ofRole(t, g, g.role(v.name), adapters[v.name]) }
	return s, nil
}

// seeScales reads the objects that the target names, their scales and their pods.
func (w *Workload) seeScales(ctx context.Context, t Target, state *state, now time.Time) (*sight, error) {
	objects := map[planner.Role]*scaled{}
	for _, r := range []planner.Role{planner.Prefill, planner.Decode, FrontendRole} {
		ref, ok := t.Scales[r]
		if !ok {
			continue
		}
		s, err := w.readScaled(ctx, t, ref)
		if err != nil {
			return nil, err
		}
		objects[r] = s
	}
	var pods corev1.PodList
	if err := w.podReader(state).List(ctx, &pods, client.InNamespace(t.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", t.what(), err)
	}
	writers, err := w.readWriters(ctx, t, now)
	if err != nil {
		return nil, err
	}
	s := &sight{o: &Observation{UID: uidOf(objects)}, views: map[planner.Role]*roleView{}}
	s.leader = func(m member) bool { return isLeader(m.Pod) }
	owners := map[planner.Role]ownerMemory{}
	state.paths = map[planner.Role]*writePath{}
	for r, object := range objects {
		name := t.RoleName(r)
		next := ownerMemory{}
		members, foreigners, known, err := w.membersOfScale(ctx, object, name, pods.Items, state.owners[object.object.GetUID()], next)
		if err != nil {
			return nil, err
		}
		owners[r] = next
		s.members = append(s.members, members...)
		if r == FrontendRole {
			continue
		}
		view := &roleView{
			planner: r, name: name, desired: int(object.scale.Spec.Replicas), unset: object.unset,
			rollout: object.carrier.rollingOut() || severalRevisions(members), stateless: object.stateless(),
		}
		var templated bool
		view.shape, templated, view.shapeErr = object.shape()
		view.byPods = !templated
		if !known {
			view.unknownPods = fmt.Sprintf("which pods %s has is not known: its scale has no selector that can be used, and no pod names it as owner", name)
			view.problem(ProblemPodsUnknown, view.unknownPods)
		}
		if foreigners > 0 {
			view.problem(ProblemForeignPods, fmt.Sprintf("%d pods match the selector of %s and belong to something else: they are not counted", foreigners, name))
		}
		s.views[r] = view
		state.paths[r] = object.path()
	}
	state.owners = map[types.UID]ownerMemory{}
	for r, object := range objects {
		state.owners[object.object.GetUID()] = owners[r]
	}
	sortMembers(s.members)
	nothing := func(*roleView) string { return "" }
	s.held, s.heldUp = nothing, nothing
	s.writer = func(v *roleView) string { return writers.ofScale(t, objects[v.planner]) }
	return s, nil
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

// progress is how far each role has come, by name.
func (s *sight) progress() map[string]progress {
	of := map[string]progress{}
	for _, view := range s.views {
		of[view.name] = progressOf(view.pool.Desired, view.pool.Replicas)
	}
	return of
}

// nodes lists the nodes of all pods of the scaled roles that hold GPUs.
func (s *sight) nodes() []string {
	var nodes []string
	for _, r := range scaledRoles {
		nodes = append(nodes, s.views[r].nodes()...)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
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
func (s *sight) podsOf(t Target) []Pod {
	names := map[string]planner.Role{}
	for _, r := range []planner.Role{FrontendRole, planner.Prefill, planner.Decode} {
		if name := t.RoleName(r); name != "" {
			names[name] = r
		}
	}
	pods := make([]Pod, 0, len(s.members))
	for _, m := range s.members {
		r, ok := names[m.role]
		if !ok {
			continue
		}
		pods = append(pods, Pod{
			Role: r, Name: m.Name, Instance: m.instance, UID: m.UID, IP: m.Status.PodIP, Node: m.Spec.NodeName,
			Ready: podReady(m.Pod) && !m.leaving, Terminating: m.leaving,
			Leader: s.leader(m), GPUs: m.gpus(),
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
