package rbgfake

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// inDependencyOrder returns the roles level by level, a role one level above the highest of its dependencies, and by name
// within a level. Who comes later waits for all before it.
func (g *group) inDependencyOrder() ([]*role, error) {
	levels := map[string]int{}
	for range g.roles {
		for i := range g.roles {
			for _, d := range g.roles[i].dependencies {
				levels[g.roles[i].name] = max(levels[g.roles[i].name], levels[d]+1)
			}
		}
	}
	out := make([]*role, len(g.roles))
	for i := range g.roles {
		r := &g.roles[i]
		if levels[r.name] >= len(g.roles) {
			return nil, fmt.Errorf("role %s depends on itself", r.name)
		}
		out[i] = r
	}
	slices.SortStableFunc(out, func(a, b *role) int {
		if by := levels[a.name] - levels[b.name]; by != 0 {
			return by
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
}

// unmetDependency returns the first role that this one has to wait for, at whatever stage of its life.
func (r *groupReconciler) unmetDependency(ctx context.Context, g *group, role *role) (string, error) {
	for _, name := range role.dependencies {
		at, found, err := r.countsOf(ctx, g, g.role(name))
		if err != nil {
			return "", err
		}
		if !found || at.ready != at.wanted {
			return name, nil
		}
	}
	return "", nil
}
