package rbgfake

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/rand"
)

// idLength is the length of what tells replicas without an identity apart.
const idLength = 5

// stateless keeps a number of replicas without identities, of which some can be chosen to go.
func (p *setPass) stateless(ctx context.Context) error {
	for range p.replicas - int64(len(p.instances)) {
		revision := p.revisions.update
		if p.updatedCount() >= p.replicas-p.strategy.partition {
			revision = p.revisions.current
		}
		id := rand.String(idLength)
		if err := p.create(ctx, p.set.GetName()+"-"+id, revision, map[string]string{LabelInstanceID: id}); err != nil {
			return err
		}
	}
	for _, instance := range slices.Clone(p.instances) {
		if p.named(instance) {
			if err := p.remove(ctx, instance); err != nil {
				return err
			}
		}
	}
	p.rank()
	for range int64(len(p.instances)) - p.replicas {
		if err := p.remove(ctx, p.instances[0]); err != nil {
			return err
		}
	}
	if !p.rollingOut() {
		return nil
	}
	var old []*unstructured.Unstructured
	for _, instance := range p.instances {
		if revisionOf(instance) != p.revisions.update {
			old = append(old, instance)
		}
	}
	return p.update(ctx, old[:max(0, int64(len(old))-p.strategy.partition)])
}

func (p *setPass) updatedCount() int64 {
	n := int64(0)
	for _, instance := range p.instances {
		if revisionOf(instance) == p.revisions.update {
			n++
		}
	}
	return n
}

// named reports whether somebody asked for this replica to go, by its label or in the set's scaleStrategy.
func (p *setPass) named(instance *unstructured.Unstructured) bool {
	names, _, _ := unstructured.NestedStringSlice(p.set.Object, "spec", "scaleStrategy", "roleInstanceToDelete")
	return instance.GetLabels()[LabelInstanceDelete] == "true" || slices.Contains(names, instance.GetName())
}

// rank puts replicas into the order in which they go: fewer components, not ready, lower deletion cost, newer.
func (p *setPass) rank() {
	slices.SortFunc(p.instances, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(
			cmp.Compare(componentCount(a), componentCount(b)),
			compareBool(instanceReady(a), instanceReady(b)),
			cmp.Compare(deletionCost(a), deletionCost(b)),
			b.GetCreationTimestamp().Compare(a.GetCreationTimestamp().Time),
		)
	})
}

func componentCount(instance *unstructured.Unstructured) int {
	list, _, _ := unstructured.NestedSlice(instance.Object, "status", "componentStatuses")
	return len(list)
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// deletionCost reads a replica's cost: 0 where it has none, or one that is not written plainly, such as +1 or 01.
func deletionCost(instance *unstructured.Unstructured) int64 {
	text := instance.GetAnnotations()[AnnotationDeletionCost]
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || text != strconv.FormatInt(n, 10) {
		return 0
	}
	return n
}
