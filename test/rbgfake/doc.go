// Package rbgfake stands in for the controller of RoleBasedGroups (github.com/sgl-project/rbg) on a real Kubernetes API: it
// turns a RoleBasedGroup into RoleInstanceSets, RoleInstances and pods, and role replicas into scaling adapters with /scale.
// The demo, the end-to-end tests and the conformance tests share it. It exists because the original can be neither imported
// nor downloaded where the tests run.
//
// What it knows: the behaviour of RBG v0.8 that an autoscaler can see, the unhelpful parts included. What it must never know:
// the PDAutoscaler. Pods are scheduled by the real scheduler and started by whatever plays the kubelet.
//
//	rbgfake.Install(ctx, cfg)                      // the custom resource definitions
//	go rbgfake.Run(ctx, cfg, rbgfake.Options{})
//	client.Create(ctx, rbgfake.DynamoPD(rbgfake.Example{}))
//
// # Reproduced
//
//   - Ownership RBG -> RoleInstanceSet -> RoleInstance -> Pod by controller references; names, labels (keys of v0.7 and
//     later) and RBG_* environment of pods. The label role-instance-index is wrong as in the original: all pods that one
//     reconcile makes carry the last index.
//   - Scaling adapters: made without replicas, bound later with spec.replicas overwritten by the role's (a write before
//     that is lost), NotBound while their role is missing, ignored for ever without an owner; status.replicas is what
//     was last written.
//   - A bound adapter overrides the role in memory, with a Warning each time; the group on disk may differ for ever.
//   - roleStatuses are what the workloads said before the reconcile that writes them; they shrink as soon as a RoleInstance is
//     deleted, while its pods still terminate and hold their GPUs. Roles that are gone stay in the list.
//   - Dependencies gate every reconcile: while a dependency is not wholly ready, neither the dependent role nor any role after
//     it changes.
//   - The highest ordinals go first. A leader-worker replica is one RoleInstance of several pods and ready when all are.
//
// # Not reproduced
//
// Only API version v1alpha2. No rolling updates: a changed template counts for new pods only, and every replica counts as
// updated. No StatefulSets, Deployments or LeaderWorkerSets as workloads; no stateless roles with their choice of victims; no
// OrderedReady; no CoordinatedPolicy, gangs or restart policies; no discovery ConfigMap. A group that asks for one
// of the first three is refused with a Warning event; the rest is ignored.
package rbgfake
