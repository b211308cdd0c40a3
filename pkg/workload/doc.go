// Package workload knows the scaled thing: a RoleBasedGroup, the pods of its
// roles, the GPUs they hold, and how its replica counts are written.
//
// It reads Kubernetes and gives the planner's plain data (planner.Pool); it
// decides nothing. It must know nothing of metrics (pkg/signals) and nothing
// of why a count should change.
//
// What it takes for true, and why (RBG v0.7 and later, API v1alpha2):
//
//	desired       spec.replicas of the role's scaling adapter where that is
//	              Bound, else replicas of the role: a bound adapter overrides
//	              the role, and the role on disk may stay different for ever.
//	replicas      the pods, grouped by role instance. The status of the group
//	              shows a smaller count while pods still terminate and hold
//	              their GPUs; only a pod that is gone has freed them.
//	ready         all pods of the instance (size of a leader-worker role) are.
//	GPUs          of the resolved pod template, once per pod of the instance.
//	owner         controller references up from the pod to the UID of this
//	              group. Labels alone would take the pods of a deleted group
//	              of the same name for replicas.
//
// One idea per file: group.go reads the group, template.go the GPUs of a
// replica, owners.go the chain of owners, replicas.go the pods, adapter.go the
// scaling adapters, rollout.go the revisions, held.go what would block a
// change, writers.go other autoscalers, nodes.go free GPUs, startup.go
// start-up times, apply.go the one write.
package workload
