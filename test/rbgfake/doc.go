// Package rbgfake stands in for the controller of RoleBasedGroups (github.com/sgl-project/rbg) on a real Kubernetes API: it
// turns a RoleBasedGroup into workloads, replicas and pods, and role replicas into scaling adapters with /scale. The demo, the
// end-to-end tests, the fault tests and the conformance suite share it. It exists because the original can be neither imported
// nor downloaded where the tests run.
//
// What it knows: the behaviour of RBG that an autoscaler can see, the unhelpful parts included. What it must never know:
// the PDAutoscaler. Pods are scheduled by the real scheduler and started by whatever plays the kubelet.
//
//	rbgfake.Install(ctx, cfg)                      // the custom resource definitions
//	go rbgfake.Run(ctx, cfg, rbgfake.Options{})
//	client.Create(ctx, rbgfake.DynamoPD(rbgfake.Example{}))
//
// test/conformance holds it to the original: the same suite passes on both, with v1alpha2 on RBG v0.8.0-alpha.5 and with
// v1alpha1 on RBG v0.6.0.
//
// # Ages
//
// Options.API chooses between RBG v0.8 (v1alpha2) and RBG v0.6 (v1alpha1: StatefulSets by default, other labels and
// environment, no readyReplicas in adapters, no observedGeneration, coordination and gangs in the group's own fields), and
// Options.Override between what v0.8, v0.7 and v0.6 do about an edit of a role that has a bound adapter.
//
// # Reproduced
//
//   - Ownership RBG -> RoleInstanceSet -> RoleInstance -> Pod by controller references, or RBG -> StatefulSet or Deployment ->
//     Pod, which Kubernetes' own controllers carry out; names, labels and environment of pods (names.go, generation.go). The
//     labels role-instance-index and statefulset.kubernetes.io/pod-name are wrong as in the original: all pods that one
//     reconcile makes carry those of the last one (stateful.go).
//   - Scaling adapters: made without replicas, bound later with spec.replicas overwritten by the role's (a write before
//     that is lost), NotBound while their role is missing and looked at again after 10 s, ignored for ever without an owner;
//     status.replicas is what was last written; status.selector right, empty or malformed; a second binding, which loses
//     a write to an adapter that was Bound already (adapter_controller.go).
//   - A bound adapter overrides the role in memory, with a Warning each time; the group on disk may differ for ever.
//   - roleStatuses are what the workloads said before the reconcile that writes them; they shrink as soon as a RoleInstance is
//     deleted, while its pods still terminate and hold their GPUs. A change of updatedReplicas alone is not written. Roles that
//     are gone stay in the list (status.go).
//   - Dependencies gate every reconcile: while a dependency is not wholly ready, neither the dependent role nor any role after
//     it changes; roles are walked level by level in the order of their names (dependency.go). Deadlock 1.
//   - CoordinatedPolicy: while a growing role has a replica that is not scheduled, or not ready, every role of the policy keeps
//     its current count; growth in steps of maxSkew, which must be a percentage (policy.go). Deadlock 2.
//   - One Pending pod makes the group not Ready for good. Deadlock 3, of whoever waits for Ready.
//   - Gangs: a PodGroup as large as the group, rewritten at every change of a count (gang.go).
//   - With identities the highest ordinals go first, all at once (stateful.go); without, those with fewer components, not
//     ready, of lower instance-deletion-cost, newer, and before them those that are named (stateless.go).
//   - OrderedReady: one replica after the other, and none while one is not ready.
//   - Rollouts: revisions, partition, maxUnavailable, pause; replicas are replaced from the highest ordinal down, and a
//     scale-down in the middle removes the updated ones (rollout.go, revision.go).
//   - A leader-worker replica is one RoleInstance of several pods and ready when all are; custom components.
//
// # Not reproduced
//
// In-place updates (every change makes replicas anew) and maxSurge. LeaderWorkerSets and InstanceSets as workloads; a group that
// asks for them is refused with a Warning event. Of a policy's rollingUpdate, maxSkew holds a role back by the share of the
// slowest one, not by the original's exact steps. Gang scheduling itself, Volcano, exclusive topologies, restart policies,
// lifecycle hooks, the discovery ConfigMap, conversion between versions (a cluster has one), the admission webhook,
// RoleBasedGroupSets. After a pass that was ended early the original backs off from milliseconds; this one tries again
// after a second.
//
// # Trouble
//
// What goes wrong with pods is for the simulated kubelet: annotations of a role or a template (package controlplane) make them
// start late, never start, or end late. A node that is deleted takes its pods with it; a pod with a finalizer is stuck.
package rbgfake
