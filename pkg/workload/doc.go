// Package workload knows the scaled thing: a RoleBasedGroup and its roles, or an
// object with a /scale for each role; their pods, the GPUs they hold, and how
// replica counts are written.
//
// It reads Kubernetes and gives the planner's plain data (planner.Pool); it
// decides nothing. It must know nothing of metrics (pkg/signals) and nothing
// of why a count should change.
//
// What it takes for true of a RoleBasedGroup, and why:
//
//	version       the stored one where it is served and understood (v1alpha2,
//	              v1alpha1), so that nothing is converted on its way; a group of
//	              v1alpha1 is said in the words of v1alpha2 when it is read.
//	desired       spec.replicas of the role's scaling adapter where that is
//	              Bound, else replicas of the role: a bound adapter overrides
//	              the role, and the role on disk may stay different for ever.
//	replicas      the pods, grouped by role instance. The status of the group
//	              shows a smaller count while pods still terminate and hold
//	              their GPUs; only a pod that is gone has freed them.
//	ready         all pods of the instance (size of a leader-worker role) are.
//	GPUs          of the resolved pod template, once per pod of the instance;
//	              limits of nvidia.com/gpu, or devices of claim templates.
//	owner         controller references up from the pod to the UID of this
//	              group. Labels alone would take the pods of a deleted group
//	              of the same name for replicas.
//
// Of an object by reference: desired is its Scale's; its pods are those that the
// Scale's selector picks, with the other pods of their replicas, or those that
// have it for an owner; GPUs are of its template where it has one that is
// understood, else of its live pods where they agree, else not known.
//
// One idea per file.
//
//	reading    versions.go, group.go, legacy.go (v1alpha1), scale.go (by
//	           reference), optional.go (kinds that need not be there)
//	seeing     observe.go, view.go (one role), owners.go, labels.go, replicas.go,
//	           template.go and claims.go (GPUs), startup.go (times), nodes.go, devices.go and
//	           placement.go (where pods may run), quota.go
//	held       held.go (dependencies, coordination), gang.go, rollout.go,
//	           adapter.go (not bound), writers.go (other autoscalers)
//	writing    apply.go (the one call), victims.go (who goes), drain.go (telling them)
//	people     target.go, observation.go, inspect.go, errors.go
package workload
