package rbgfake

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stateful keeps replicas numbered from 0: the highest go first, whatever they run, so that a scale-down in the middle of a
// partitioned rollout removes the updated ones.
func (p *setPass) stateful(ctx context.Context) error {
	byOrdinal := map[int64]*unstructured.Unstructured{}
	var condemned []int64
	for _, instance := range p.instances {
		n, err := ordinalOf(instance.GetName())
		if err != nil {
			return err
		}
		byOrdinal[n] = instance
		if n >= p.replicas {
			condemned = append(condemned, n)
		}
	}
	policy, _, _ := unstructured.NestedString(p.set.Object, "spec", "podManagementPolicy")
	ordered := policy == "OrderedReady"
	for n := range p.replicas {
		switch instance := byOrdinal[n]; {
		case instance == nil:
			if err := p.createOrdinal(ctx, n); err != nil || ordered {
				return err // with OrderedReady nothing else happens until it is ready
			}
		case ordered && !instanceReady(instance):
			return nil
		}
	}
	slices.Sort(condemned)
	for _, n := range slices.Backward(condemned) {
		// With OrderedReady one that is not ready goes only when none below it is unready too.
		if ordered && !instanceReady(byOrdinal[n]) && n != firstUnready(byOrdinal, condemned) {
			return nil
		}
		if err := p.remove(ctx, byOrdinal[n]); err != nil {
			return err
		}
	}
	if !p.rollingOut() {
		return nil
	}
	var candidates []*unstructured.Unstructured
	for n := p.replicas - 1; n >= p.strategy.partition; n-- {
		if byOrdinal[n] != nil {
			candidates = append(candidates, byOrdinal[n])
		}
	}
	return p.update(ctx, candidates)
}

func firstUnready(byOrdinal map[int64]*unstructured.Unstructured, ordinals []int64) int64 {
	for _, n := range ordinals {
		if !instanceReady(byOrdinal[n]) {
			return n
		}
	}
	return -1
}

// createOrdinal makes the replica of a number. Its index labels are those of the last one: the original makes one map of labels
// for all replicas of a pass and changes it as it goes.
func (p *setPass) createOrdinal(ctx context.Context, n int64) error {
	last := p.replicas - 1
	name := func(n int64) string { return fmt.Sprintf("%s-%d", p.set.GetName(), n) }
	revision := p.revisions.update
	if n < p.strategy.partition {
		revision = p.revisions.current
	}
	err := p.create(ctx, name(n), revision, map[string]string{
		LabelInstanceIndex:             strconv.FormatInt(last, 10),
		appsv1.StatefulSetPodNameLabel: name(last),
	})
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("RoleInstance %s belongs to somebody else: %w", name(n), err)
	}
	return err
}
