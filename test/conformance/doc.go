// Package conformance says how a controller of RoleBasedGroups behaves, as a suite of named behaviours that can be run against
// any such controller:
//
//	make conformance                 # against test/rbgfake, on the control plane of test/controlplane, both API versions
//	go test ./test/conformance       # the same for v1alpha2 alone, as one of the repository's tests
//	make conformance RBG=external    # against whatever runs in the cluster of $KUBECONFIG
//
// Each behaviour is one fact about RBG on which pkg/workload and the GPU-move ledger stand, with what was seen on a real
// controller. The same checks hold the stand-in to the original and the product to both: the last group of behaviours reads
// and writes through pkg/workload itself.
//
// What it knows: Kubernetes and RBG's API as they appear to a client. What it must never know: the Go types of the stand-in,
// or how a controller is made. conformance_test.go alone starts the stand-in, and hands over no more than a client
// configuration.
//
// # Verdicts
//
// A behaviour passes or fails; it is skipped where the cluster lacks what it needs, with the reason. Where versions of RBG are
// known to differ, the check reports what it observed and does not judge. The table at the end has all of them; it is also
// written as JSON to $CONFORMANCE_REPORT.
//
// # In a cluster of one's own
//
// The suite makes a namespace for each behaviour and removes it again; those that a killed run leaves behind have the label
// app.kubernetes.io/managed-by=rbg-conformance. Pods run $CONFORMANCE_IMAGE and ask for nothing but
// GPUs, which need not exist: where nodes have $CONFORMANCE_RESOURCE (default nvidia.com/gpu), a pod of the suite takes all
// of one node but what a behaviour needs; where none has, the resource is advertised on one node for as long as the suite
// runs, which is a write of that node's status. Without a right to do either, behaviours that need scarce GPUs are skipped.
//
//	CONFORMANCE_API        versions to run, as v1alpha1,v1alpha2; default: all that are served
//	CONFORMANCE_IMAGE      what pods run; default registry.k8s.io/pause:3.10
//	CONFORMANCE_RESOURCE   the scarce resource; default nvidia.com/gpu
//	CONFORMANCE_NODE       the node that scarce pods run on; default: the one with most of the resource
//	CONFORMANCE_TIMEOUT    how long anything may take to happen; default 60s, 5m with the stand-in
//	CONFORMANCE_SETTLE     how long nothing may happen where a change would be wrong; default 6s, 2s with the stand-in
//
// Nothing sleeps: every wait is woken by a watch of the namespace and ends at its deadline.
package conformance
