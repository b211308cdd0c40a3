package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// RBG carries out no change of a role while something else is unfinished, at
// every reconcile and not only at creation. A change that is written all the
// same takes effect at some later time, which a move of GPUs cannot survive.

// heldByDependency says which dependency blocks changes of a role. RBG walks
// the roles level by level and stops at the first whose dependencies are not
// ready, so that a role is blocked by its own and by any of a lower level.
func (g *group) heldByDependency(name string, carriers map[string]*carrier) string {
	levels := g.dependencyLevels()
	own, ok := levels[name]
	if !ok {
		return ""
	}
	for i := range g.Spec.Roles {
		r := &g.Spec.Roles[i]
		if r.Name != name && levels[r.Name] >= own {
			continue
		}
		for _, dependency := range r.Dependencies {
			if why := g.notReady(dependency, carriers); why != "" {
				if r.Name == name {
					return fmt.Sprintf("role %s depends on role %s, and %s", name, dependency, why)
				}
				return fmt.Sprintf("role %s comes after role %s, which depends on role %s, and %s", name, r.Name, dependency, why)
			}
		}
	}
	return ""
}

// notReady says why a role does not pass RBG's dependency check; empty when it does.
func (g *group) notReady(name string, carriers map[string]*carrier) string {
	if g.role(name) == nil {
		return "the group has no role " + name
	}
	ready, want := 0, g.role(name).replicas()
	if c := carriers[name]; c != nil {
		ready = c.Status.ReadyReplicas
		if c.Spec.Replicas != nil {
			want = int(*c.Spec.Replicas)
		}
	} else {
		for _, s := range g.Status.RoleStatuses {
			if s.Name == name {
				ready = s.ReadyReplicas
			}
		}
	}
	if ready == want {
		return ""
	}
	return fmt.Sprintf("%d of %d replicas of %s are ready: RBG changes nothing until all are", ready, want, name)
}

// dependencyLevels is how many roles deep each role's dependencies go. A cycle
// ends the count; RBG refuses such a group anyway.
func (g *group) dependencyLevels() map[string]int {
	levels := map[string]int{}
	for i := range g.Spec.Roles {
		levels[g.Spec.Roles[i].Name] = 0
	}
	for range g.Spec.Roles {
		for i := range g.Spec.Roles {
			r := &g.Spec.Roles[i]
			for _, dependency := range r.Dependencies {
				levels[r.Name] = min(max(levels[r.Name], levels[dependency]+1), len(g.Spec.Roles))
			}
		}
	}
	return levels
}

// policy is what is read of a CoordinatedPolicy.
type policy struct {
	Spec struct {
		Policies []policyRule `json:"policies"`
	} `json:"spec"`
}

type policyRule struct {
	Roles    []string `json:"roles"`
	Strategy struct {
		Scaling *struct {
			Progression string `json:"progression"`
		} `json:"scaling"`
	} `json:"strategy"`
}

// readPolicy reads the CoordinatedPolicy of the group, which bears its name, or
// v1alpha1's own field of it; nil where there is none or it may not be read.
func (w *Workload) readPolicy(ctx context.Context, g *group, now time.Time) (*policy, error) {
	p := &policy{}
	if g.kinds.legacy() {
		p.Spec.Policies = g.Spec.Coordination
		return p, nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(g.kinds.of(policyKind))
	found, err := w.getOptional(ctx, now, client.ObjectKey{Namespace: g.Namespace, Name: g.Name}, u)
	if err != nil {
		return nil, fmt.Errorf("read CoordinatedPolicy %s/%s: %w", g.Namespace, g.Name, err)
	}
	if !found {
		return nil, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, p); err != nil {
		return nil, fmt.Errorf("CoordinatedPolicy %s/%s cannot be understood: %w", g.Namespace, g.Name, err)
	}
	return p, nil
}

// progress is how far a role has come towards its count.
type progress struct{ desired, live, scheduled, ready int }

func progressOf(desired int, replicas []planner.Replica) progress {
	p := progress{desired: desired}
	for i := range replicas {
		switch replicas[i].State {
		case planner.Ready:
			p.ready++
		case planner.Terminating:
			continue
		}
		p.live++
		if replicas[i].Unschedulable == "" && (replicas[i].Node != "" || replicas[i].State == planner.Ready) {
			p.scheduled++
		}
	}
	return p
}

// heldByPolicy says which growing role makes a coordination policy hold all of
// its roles where they are. Without a progression a policy never holds.
func (p *policy) heldByPolicy(name string, roles map[string]progress) string {
	if p == nil {
		return ""
	}
	for _, rule := range p.Spec.Policies {
		if rule.Strategy.Scaling == nil || rule.Strategy.Scaling.Progression == "" || !slices.Contains(rule.Roles, name) {
			continue
		}
		for _, other := range rule.Roles {
			at, ok := roles[other]
			if !ok || at.desired <= at.live {
				continue
			}
			// a role without any replica yet never holds: nothing is behind
			arrived, word := at.scheduled, "scheduled"
			if rule.Strategy.Scaling.Progression == "OrderReady" {
				arrived, word = at.ready, "ready"
			}
			if arrived < at.live {
				return fmt.Sprintf("the coordination policy holds role %s: role %s grows and only %d of its %d replicas are %s", name, other, arrived, at.live, word)
			}
		}
	}
	return ""
}
