package workload

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Inspection is how a target is built, for a person who looks for a fault. An
// Observation says how it stands.
type Inspection struct {
	// Version of RBG that the group was read in; empty with objects by reference.
	Version string
	// Gang is true where all pods of the group are scheduled together.
	Gang  bool
	Roles []RoleInspection
}

// RoleInspection is one scaled role.
type RoleInspection struct {
	Role planner.Role
	Name string
	// Carrier is the object that carries its pods, as kind/name.
	Carrier string
	// WrittenAt is where its count is written, and Refused why nothing is.
	WrittenAt string
	Refused   string
	// AdapterAsked is true where the role asks RBG for a scaling adapter, and
	// Adapters are all that name it, those included that RBG ignores.
	AdapterAsked bool
	Adapters     []AdapterInspection
	Dependencies []string
	// Coordinated says which coordination policy scales it together with which roles.
	Coordinated string
	// Selector of its scale, and whether an HPA could use it.
	Selector       string
	SelectorUsable bool
}

// AdapterInspection is one scaling adapter of a role.
type AdapterInspection struct {
	Name, Phase, Selector string
	// Owned is false where the group does not own it: RBG then never looks at it.
	Owned bool
	// SelectorUsable is false where an HPA or KEDA cannot use its selector.
	SelectorUsable bool
}

// Inspect reads how the target is built. Its errors are those of Observe.
func (w *Workload) Inspect(ctx context.Context, t Target, now time.Time) (Inspection, error) {
	if t.Scales != nil {
		return w.inspectScales(ctx, t)
	}
	g, err := w.readGroup(ctx, t, now)
	if err != nil {
		return Inspection{}, err
	}
	owned, err := w.readAdapters(ctx, g, t.Roles)
	if err != nil {
		return Inspection{}, err
	}
	policy, err := w.readPolicy(ctx, g, now)
	if err != nil {
		return Inspection{}, err
	}
	all, err := w.inspectAdapters(ctx, g)
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Version: g.kinds.version, Gang: g.gang()}
	for _, r := range scaledRoles {
		role := g.role(t.Roles[r])
		if role == nil {
			continue
		}
		path := g.path(role.Name, owned[role.Name])
		one := RoleInspection{
			Role: r, Name: role.Name, Carrier: g.workloadKind(role).Kind + "/" + g.workloadName(role.Name), AdapterAsked: role.ScalingAdapter.Enable,
			Adapters: all[role.Name], Dependencies: role.Dependencies, Coordinated: policy.coordinates(role.Name),
		}
		if path.refused != nil {
			one.Refused = path.refused.Error()
		} else {
			one.WrittenAt = path.where()
		}
		in.Roles = append(in.Roles, one)
	}
	return in, nil
}

func (w *Workload) inspectScales(ctx context.Context, t Target) (Inspection, error) {
	var in Inspection
	for _, r := range scaledRoles {
		s, err := w.readScaled(ctx, t, t.Scales[r])
		if err != nil {
			return Inspection{}, err
		}
		in.Roles = append(in.Roles, RoleInspection{
			Role: r, Name: s.ref.String(), Carrier: s.ref.String(), WrittenAt: s.path().where(),
			Selector: s.scale.Status.Selector, SelectorUsable: usable(s.scale.Status.Selector),
		})
	}
	return in, nil
}

// inspectAdapters lists all adapters that name the group, by role.
func (w *Workload) inspectAdapters(ctx context.Context, g *group) (map[string][]AdapterInspection, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(g.kinds.adapter())
	if err := w.live.List(ctx, list, client.InNamespace(g.Namespace)); err != nil {
		return nil, fmt.Errorf("list the scaling adapters of %s: %w", g.what(), err)
	}
	found := map[string][]AdapterInspection{}
	for i := range list.Items {
		a := &adapter{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, a); err != nil || a.Spec.ScaleTargetRef.Name != g.Name {
			continue
		}
		selector, _, _ := unstructured.NestedString(list.Items[i].Object, "status", "selector")
		role := a.Spec.ScaleTargetRef.Role
		found[role] = append(found[role], AdapterInspection{
			Name: a.Name, Phase: a.Status.Phase, Selector: selector, Owned: ownedBy(a.OwnerReferences, g), SelectorUsable: usable(selector),
		})
	}
	return found, nil
}

// usable reports whether an HPA can use a selector.
func usable(selector string) bool {
	parsed, err := labels.Parse(selector)
	return err == nil && !parsed.Empty()
}

// where names the written object in a sentence.
func (p *writePath) where() string {
	if p.scale {
		return "/scale of " + p.what()
	}
	return "spec.roles of " + p.what()
}

// coordinates says which of the policy's rules scale a role step by step.
func (p *policy) coordinates(name string) string {
	if p == nil {
		return ""
	}
	for _, rule := range p.Spec.Policies {
		for _, role := range rule.Roles {
			if role == name && rule.Strategy.Scaling != nil && rule.Strategy.Scaling.Progression != "" {
				return fmt.Sprintf("%s of %s", rule.Strategy.Scaling.Progression, strings.Join(rule.Roles, ", "))
			}
		}
	}
	return ""
}
