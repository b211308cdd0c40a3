package workload

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// FrontendRole is the Pod.Role of the pods that take the requests.
const FrontendRole planner.Role = "frontend"

// Target names one scaled service: a RoleBasedGroup with its roles, or one
// object with a /scale for each role.
type Target struct {
	Namespace string
	// Group is the name of the RoleBasedGroup; empty with Scales.
	Group string
	// Roles are the names of the planner's roles in the group.
	Roles map[planner.Role]string
	// FrontendRole is the name of the role that takes the requests; empty is none.
	FrontendRole string
	// Scales are the objects with a /scale, by role; prefill and decode must be
	// there, FrontendRole may be. Nil with Group.
	Scales map[planner.Role]ScaleRef
	// Owner tells the askers of one target apart; what is remembered of the
	// target is remembered for each.
	Owner string
	// Autoscaler is the UID of the PDAutoscaler that asks. Every other one that
	// writes the same role is looked for; with an empty UID none is.
	Autoscaler types.UID
}

// TargetOf names the service that a PDAutoscaler scales.
func TargetOf(pda *v1alpha1.PDAutoscaler) Target {
	t := Target{Namespace: pda.Namespace, Owner: pda.Name}
	if refs := pda.Spec.Target.ScaleTargetRefs; refs != nil {
		t.Scales = map[planner.Role]ScaleRef{
			planner.Prefill: ScaleRef(refs.Prefill),
			planner.Decode:  ScaleRef(refs.Decode),
		}
		if refs.Frontend != nil {
			t.Scales[FrontendRole] = ScaleRef(*refs.Frontend)
		}
	} else {
		t.Group = pda.Spec.Target.Name
		t.Roles = map[planner.Role]string{
			planner.Prefill: pda.Spec.Roles.Prefill.Name,
			planner.Decode:  pda.Spec.Roles.Decode.Name,
		}
		if pda.Spec.Roles.Frontend != nil {
			t.FrontendRole = pda.Spec.Roles.Frontend.Name
		}
	}
	if pda.Spec.Mode == v1alpha1.ModeAuto {
		t.Autoscaler = pda.UID
	}
	return t
}

// ScaleRef names an object with a /scale subresource in the target's namespace.
type ScaleRef struct{ APIVersion, Kind, Name string }

func (r ScaleRef) gvk() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
}

func (r ScaleRef) String() string { return r.Kind + "/" + r.Name }

// same reports whether two references mean one object: versions of one kind do.
func (r ScaleRef) same(other ScaleRef) bool {
	return r.Name == other.Name && r.gvk().GroupKind() == other.gvk().GroupKind()
}

// String names the target in a sentence.
func (t Target) String() string { return t.what() }

func (t Target) what() string {
	if t.Scales == nil {
		return groupKind + " " + t.Namespace + "/" + t.Group
	}
	return strings.Join([]string{t.Scales[planner.Prefill].String(), t.Scales[planner.Decode].String()}, " and ") + " in namespace " + t.Namespace
}

// RoleName is what a role is called in sentences and in the group.
func (t Target) RoleName(r planner.Role) string {
	switch {
	case t.Scales != nil:
		if ref, ok := t.Scales[r]; ok {
			return ref.String()
		}
		return ""
	case r == FrontendRole:
		return t.FrontendRole
	}
	return t.Roles[r]
}

// key tells remembered targets apart. Who asks is part of it: two that look at
// one service may begin and end at different times.
func (t Target) key() string {
	parts := []string{t.Namespace, t.Owner, t.Group, t.FrontendRole}
	for _, r := range slices.Sorted(maps.Keys(t.Scales)) {
		parts = append(parts, string(r), t.Scales[r].APIVersion, t.Scales[r].String())
	}
	for _, r := range slices.Sorted(maps.Keys(t.Roles)) {
		parts = append(parts, string(r), t.Roles[r])
	}
	return strings.Join(parts, "\x00")
}
