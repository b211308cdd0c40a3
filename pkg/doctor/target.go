package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/workload"
)

// reachable reports whether the target could be read, and says so.
func (e *examination) reachable() bool {
	switch {
	case e.Unread != nil && errors.As(e.Unread, new(*workload.MissingError)):
		e.add(Fault, "target", "", "correct spec.target, or make the target", "%s", e.Unread)
	case e.Unread != nil:
		e.add(Unknown, "target", "", "use an account that may read it", "%s", e.Unread)
	case e.Seen == nil || e.Built == nil:
		e.add(Unknown, "target", "", "", "%s was not read", e.target)
	default:
		version := ""
		if e.Built.Version != "" {
			version = ", read as " + e.Built.Version
		}
		e.add(OK, "target", "", "", "%s is there%s", e.target, version)
		return true
	}
	return false
}

// structure looks at how each role is written, and at what would hold a change.
func (e *examination) structure() {
	e.roles(func(role planner.Role, p *planner.Pool) {
		if p.Missing != "" {
			e.add(Fault, "role", role, fmt.Sprintf("correct roles.%s.name, or add the role", role), "%s", p.Missing)
			return
		}
		at := slices.IndexFunc(e.Built.Roles, func(r workload.RoleInspection) bool { return r.Role == role })
		if at < 0 {
			return
		}
		r := &e.Built.Roles[at]
		e.writePath(role, r)
		for i := range r.Adapters {
			e.adapter(role, r, &r.Adapters[i])
		}
		if e.Built.Version == "" && !r.SelectorUsable {
			e.add(Warning, "selector", role, "mend the selector of "+r.Name+" so that its pods can be found by it", "the selector %q of the scale of %s cannot be used; pods are found by their owners", r.Selector, r.Name)
		}
		e.holds(role, r, p)
	})
	if e.Built.Gang {
		e.add(Warning, "gang", "", "take the annotation group-gang-scheduling off if replicas need not start together",
			"all pods of the group are scheduled as a gang: one pod without a place keeps every new one waiting")
	}
}

// writePath says where a role's count is written.
func (e *examination) writePath(role planner.Role, r *workload.RoleInspection) {
	if r.Refused != "" {
		e.add(Fault, "adapter", role, "look at the controller of RoleBasedGroups: it binds adapters; its events say why not", "%s", r.Refused)
		return
	}
	e.add(OK, "write path", role, "", "%s is written at the %s", r.Name, r.WrittenAt)
}

// adapter looks at one scaling adapter that names the role.
func (e *examination) adapter(role planner.Role, r *workload.RoleInspection, a *workload.AdapterInspection) {
	switch {
	case !a.Owned && r.AdapterAsked:
		e.add(Warning, "adapter", role, "delete "+a.Name+": RBG makes its own", "RoleBasedGroupScalingAdapter %s was made by hand, and RBG never looks at it", a.Name)
	case !a.Owned:
		e.add(Warning, "adapter", role, fmt.Sprintf("delete %s and set scalingAdapter.enable of role %s", a.Name, r.Name), "RoleBasedGroupScalingAdapter %s was made by hand, and RBG never looks at it", a.Name)
	case !a.SelectorUsable:
		e.add(OK, "selector", role, "", "the selector %q of adapter %s could not be used by an HPA; it is not needed here", a.Selector, a.Name)
	}
}

// holds says what keeps, or would keep, a change of the role from taking effect.
func (e *examination) holds(role planner.Role, r *workload.RoleInspection, p *planner.Pool) {
	switch {
	case p.Held != "" && r.Refused == "":
		e.add(Fault, "held", role, "remove what it waits for; until then no change of its count takes effect", "%s", p.Held)
	case p.HeldUp != "":
		e.add(Warning, "held", role, "free a place for that pod, or lower the role that it belongs to", "%s", p.HeldUp)
	}
	if p.Held == "" && len(r.Dependencies) > 0 {
		e.add(Warning, "dependencies", role, fmt.Sprintf("take the dependencies off role %s if it can start without them", r.Name),
			"RBG changes role %s only while %s is wholly ready, at every change and not only at the start", r.Name, strings.Join(r.Dependencies, ", "))
	}
	if p.Held == "" && r.Coordinated != "" {
		e.add(Warning, "coordination", role, "take spec.policies[].strategy.scaling out of the CoordinatedPolicy: the budget and the order of writes are kept here",
			"a policy (%s) holds all of its roles while one of them grows", r.Coordinated)
	}
	if p.Rollout {
		e.add(Warning, "rollout", role, "wait for it: nothing goes down meanwhile", "a new revision is being rolled out")
	}
}

// writers looks for whoever else writes the counts: in mode Auto nobody may, in mode Metrics somebody must.
func (e *examination) writers() {
	others := 0
	e.roles(func(role planner.Role, p *planner.Pool) {
		switch mode := e.Resource.Spec.Mode; {
		case p.Writer != "" && mode == v1alpha1.ModeAuto:
			e.add(Fault, "writers", role, "delete one of the two", "%s writes its count as well: the role is left alone", p.Writer)
		case p.Writer != "":
			e.add(OK, "writers", role, "", "%s writes its count", p.Writer)
		case mode == v1alpha1.ModeMetrics:
			e.add(Warning, "writers", role, "let an HPA or a ScaledObject follow the plan, as in docs/metrics.md", "nobody writes its count: in mode Metrics the plan is offered to others")
		default:
			return
		}
		others++
	})
	if others == 0 {
		e.add(OK, "writers", "", "", "no other autoscaler writes the roles")
	}
}
