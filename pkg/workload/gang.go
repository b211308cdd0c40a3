package workload

import "fmt"

// gangAnnotation on a group asks that its pods are scheduled all or none.
const gangAnnotation = "rbg.workloads.x-k8s.io/group-gang-scheduling"

// gang reports whether the group's pods are scheduled as a gang.
func (g *group) gang() bool {
	return g.Annotations[gangAnnotation] == "true" || len(g.Spec.PodGroupPolicy) > 0
}

// heldByGang says which pod keeps any new pod of the group from being placed.
// RBG counts every replica of the group into the gang's least size and rewrites
// it at every change, so that one pod without a place holds back all new ones;
// fewer replicas make the gang smaller, and are a way out. A role's own gang
// (role-instance-gang-scheduling) holds no other replica back.
func (g *group) heldByGang(name string, members []member) string {
	if !g.gang() {
		return ""
	}
	for _, m := range members {
		if why := unschedulable(m.Pod); why != "" && !m.leaving {
			return fmt.Sprintf("the group is scheduled as a gang and pod %s of role %s has no place (%s): no new pod of role %s would get one", m.Name, m.role, why, name)
		}
	}
	return ""
}
