package rbgfake

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// unhealthyAfter is how long a replica must have been unready before a rollout replaces it without counting it as one more away.
const unhealthyAfter = 10 * time.Second

// updateStrategy is how a new template comes to the replicas.
type updateStrategy struct {
	partition, maxUnavailable int64
	paused                    bool
}

// updateStrategyOf reads a set's strategy: one replica at a time, down to ordinal 0, where it says nothing.
func updateStrategyOf(set *unstructured.Unstructured, replicas int64) (updateStrategy, error) {
	s := updateStrategy{maxUnavailable: 1}
	m, _, err := unstructured.NestedMap(set.Object, "spec", "updateStrategy")
	if err != nil {
		return s, err
	}
	if s.partition, err = scaled(m["partition"], replicas); err != nil {
		return s, fieldError("spec.updateStrategy.partition", "%v", err)
	}
	if value, ok := m["maxUnavailable"]; ok {
		if s.maxUnavailable, err = scaled(value, replicas); err != nil {
			return s, fieldError("spec.updateStrategy.maxUnavailable", "%v", err)
		}
	}
	s.paused, _, err = unstructured.NestedBool(m, "paused")
	return s, err
}

// rollingOut reports whether replicas have to be made anew.
func (p *setPass) rollingOut() bool {
	return p.revisions.current != p.revisions.update && !p.strategy.paused
}

// update replaces replicas of older templates, in the given order, as far as maxUnavailable allows. They are deleted, and made
// anew in a later pass; nothing is updated in place.
func (p *setPass) update(ctx context.Context, candidates []*unstructured.Unstructured) error {
	away := p.replicas
	for _, instance := range p.instances {
		if instanceReady(instance) {
			away--
		}
	}
	for _, instance := range candidates {
		if revisionOf(instance) == p.revisions.update {
			continue
		}
		since, ready := readySince(instance)
		free := !ready && time.Since(since) >= unhealthyAfter
		if !free && away >= p.strategy.maxUnavailable {
			if !ready {
				p.after = unhealthyAfter
			}
			return nil
		}
		if err := p.remove(ctx, instance); err != nil {
			return err
		}
		if ready {
			away++
		}
	}
	return nil
}

// finished reports whether a rollout is over: everybody has the new template and is ready, and has been when the status was last written.
func (p *setPass) finished(updated, updatedReady int64) bool {
	before, _ := nestedInt(p.set.Object, "status", "updatedReplicas")
	named, _, _ := unstructured.NestedString(p.set.Object, "status", "updateRevision")
	return p.rollingOut() && p.strategy.partition == 0 && int64(len(p.instances)) == p.replicas &&
		updated == p.replicas && updatedReady == p.replicas && before == p.replicas && named == p.revisions.update
}

// readySince reads whether an instance is ready, and since when it is or is not.
func readySince(instance *unstructured.Unstructured) (time.Time, bool) {
	conditions, _, _ := unstructured.NestedSlice(instance.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == conditionInstanceReady {
			text, _ := m["lastTransitionTime"].(string)
			since, _ := time.Parse(time.RFC3339, text)
			return since, m["status"] == "True" && instance.GetDeletionTimestamp() == nil
		}
	}
	return instance.GetCreationTimestamp().Time, false
}
