package rbgfake

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A plan is what the coordination of roles makes of a group in one pass.
type plan struct {
	replicas map[string]int64          // what a role is told, where that is not its own count
	rollouts map[string]map[string]any // settings of a rollout that come before the role's own
}

// of is a role as this plan has it.
func (p plan) of(r *role) role {
	changed := *r
	if n, ok := p.replicas[r.name]; ok {
		changed.replicas = n
	}
	if settings, ok := p.rollouts[r.name]; ok {
		changed.rollingUpdate = maps.Clone(changed.rollingUpdate)
		if changed.rollingUpdate == nil {
			changed.rollingUpdate = map[string]any{}
		}
		maps.Copy(changed.rollingUpdate, settings)
	}
	return changed
}

// A rule coordinates some roles.
type rule struct {
	roles                  []string
	scaling, rollingUpdate map[string]any // nil: not coordinated
}

// progress is how far a role has come. Scheduled counts pods, not replicas, as in the original, so that leader-worker roles
// pass too early.
type progress struct{ desired, current, scheduled, ready int64 }

func (p progress) share() float64 {
	switch {
	case p.desired > 0:
		return float64(p.current) / float64(p.desired)
	case p.current == 0:
		return 1
	}
	return 0
}

// coordinate applies the CoordinatedPolicy of the group's name, or the coordination of a group of v1alpha1.
func (r *groupReconciler) coordinate(ctx context.Context, g *group, at map[string]counts) (plan, error) {
	p := plan{map[string]int64{}, map[string]map[string]any{}}
	rules, err := r.rules(ctx, g)
	if err != nil {
		return p, err
	}
	for _, rule := range rules {
		if rule.scaling != nil {
			if err := r.coordinateScaling(ctx, g, rule, at, p.replicas); err != nil {
				return p, err
			}
		}
		if rule.rollingUpdate != nil && len(rule.roles) > 1 {
			if err := coordinateRollout(g, rule, at, p.rollouts); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (r *groupReconciler) rules(ctx context.Context, g *group) ([]rule, error) {
	source, fields := g.obj, []string{"spec", "coordination"}
	if g.api == V1Alpha2 {
		source, fields = newObject(KindPolicy, g.obj.GetNamespace(), g.obj.GetName()), []string{"spec", "policies"}
		err := r.client.Get(ctx, client.ObjectKeyFromObject(source), source)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	list, _, err := unstructured.NestedSlice(source.Object, fields...)
	if err != nil {
		return nil, err
	}
	var rules []rule
	for _, entry := range list {
		m, _ := entry.(map[string]any)
		var one rule
		one.roles, _, _ = unstructured.NestedStringSlice(m, "roles")
		if scaling, found, _ := unstructured.NestedMap(m, "strategy", "scaling"); found {
			one.scaling = scaling
		}
		if rollout, found, _ := unstructured.NestedMap(m, "strategy", "rollingUpdate"); found {
			one.rollingUpdate = rollout
		}
		rules = append(rules, one)
	}
	return rules, nil
}

// coordinateScaling tells each role of a rule how many replicas it may have in this pass. A role of several rules gets the least.
func (r *groupReconciler) coordinateScaling(ctx context.Context, g *group, rule rule, at map[string]counts, targets map[string]int64) error {
	maxSkew, err := percentage(rule.scaling["maxSkew"])
	if err != nil {
		return err
	}
	progression, _, _ := unstructured.NestedString(rule.scaling, "progression")
	if progression == "" && g.api == V1Alpha1 {
		progression = "OrderScheduled" // the default of that version
	}
	roles := map[string]progress{}
	for _, name := range rule.roles {
		role := g.role(name)
		if role == nil {
			return fmt.Errorf("the policy names role %q, which the group does not have", name)
		}
		scheduled, err := r.scheduledPods(ctx, g, role)
		if err != nil {
			return err
		}
		roles[name] = progress{role.replicas, at[name].replicas, scheduled, at[name].ready}
	}
	for name, target := range scalingTargets(roles, progression, maxSkew) {
		if old, ok := targets[name]; !ok || target < old {
			targets[name] = target
		}
	}
	return nil
}

// scalingTargets is the gate: while a growing role has a replica that has not arrived, every role stays at its current count, a
// shrinking one too; else a growing role may be as far as the one furthest behind and maxSkew more.
func scalingTargets(roles map[string]progress, progression string, maxSkew float64) map[string]int64 {
	targets := map[string]int64{}
	least := math.Inf(1)
	for _, p := range roles {
		if p.current >= p.desired {
			continue
		}
		least = min(least, p.share())
		arrived := p.current
		switch progression {
		case "OrderScheduled":
			arrived = p.scheduled
		case "OrderReady":
			arrived = p.ready
		}
		if p.current > 0 && arrived < p.current {
			for name, p := range roles {
				targets[name] = p.current
			}
			return targets
		}
	}
	for name, p := range roles {
		switch allowed := least + maxSkew; {
		case p.current >= p.desired:
			targets[name] = p.desired
		case p.share() >= allowed:
			targets[name] = p.current
		default:
			targets[name] = max(p.current+1, min(p.desired, int64(math.Ceil(allowed*float64(p.desired)))))
		}
	}
	return targets
}

func (r *groupReconciler) scheduledPods(ctx context.Context, g *group, role *role) (int64, error) {
	pods := &corev1.PodList{}
	selector := client.MatchingLabels{g.api.groupLabel(): g.obj.GetName(), g.api.roleLabel(): role.name}
	if err := r.client.List(ctx, pods, client.InNamespace(g.obj.GetNamespace()), selector); err != nil {
		return 0, err
	}
	n := int64(0)
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			n++
		}
	}
	return n, nil
}

// percentage reads maxSkew: a number of percent as text, 100 where it is missing.
func percentage(value any) (float64, error) {
	if value == nil {
		return 1, nil
	}
	text, isPercent := strings.CutSuffix(strings.TrimSpace(fmt.Sprint(value)), "%")
	if !isPercent {
		return 0, fmt.Errorf("maxSkew %v: percentage string must end with '%%'", value)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > 100 {
		return 0, fmt.Errorf("maxSkew %v: want 0%% to 100%%", value)
	}
	return n / 100, nil
}

// coordinateRollout gives the roles of a rule its settings, and lets none be further than the one furthest behind and maxSkew
// more: the partition holds it there.
func coordinateRollout(g *group, rule rule, at map[string]counts, rollouts map[string]map[string]any) error {
	least := math.Inf(1)
	for _, name := range rule.roles {
		if role := g.role(name); role != nil && role.replicas > 0 {
			least = min(least, float64(at[name].updated)/float64(role.replicas))
		}
	}
	for _, name := range rule.roles {
		role := g.role(name)
		if role == nil || role.replicas == 0 {
			continue
		}
		settings := map[string]any{}
		if value, ok := rule.rollingUpdate["maxUnavailable"]; ok {
			settings["maxUnavailable"] = value
		}
		partition, err := scaled(rule.rollingUpdate["partition"], role.replicas)
		if err != nil {
			return fmt.Errorf("partition: %w", err)
		}
		if _, ok := rule.rollingUpdate["partition"]; !ok {
			partition, _ = nestedInt(role.rollingUpdate, "partition")
		}
		if skew, ok := rule.rollingUpdate["maxSkew"]; ok {
			step, err := scaled(skew, role.replicas)
			if err != nil {
				return fmt.Errorf("maxSkew: %w", err)
			}
			reach := int64(math.Ceil(least*float64(role.replicas))) + max(step, 1)
			partition = max(partition, role.replicas-reach)
		}
		settings["partition"] = partition
		rollouts[name] = settings
	}
	return nil
}

// scaled reads a number or a percentage of n, rounded up.
func scaled(value any, n int64) (int64, error) {
	if value == nil {
		return 0, nil
	}
	parsed := intstr.Parse(fmt.Sprint(value))
	result, err := intstr.GetScaledValueFromIntOrPercent(&parsed, int(n), true)
	return int64(result), err
}
