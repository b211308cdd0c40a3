// Package controlplane runs a real Kubernetes control plane on one machine, without containers:
// etcd, kube-apiserver (RBAC, aggregation layer), kube-controller-manager (garbage collector, HPA, node lifecycle),
// kube-scheduler, and kwok in the place of the kubelets. Tests, the demo and the end-to-end suite share it.
//
//	cp, err := controlplane.Start(ctx, controlplane.Options{Progress: os.Stderr})
//	defer cp.Stop()
//	nodes, err := cp.AddGPUNodes(ctx, 1, 8, "NVIDIA-H200")
//
// What it knows: how to find or build the binaries, which flags each one needs, and how pods and nodes live (stages.yaml).
// What it must never know: RoleBasedGroups, the PDAutoscaler, or anything else that is tested on it.
//
// # Binaries
//
// They are looked for in $KUBEBUILDER_ASSETS, in the user's cache, and in the store of setup-envtest. Where none has all that
// is asked for, the module test/tools/kube is built into the cache: once, also when several test packages ask at the same
// time. setup-envtest itself is asked to download only where $PDAUTOSCALER_ENVTEST_DOWNLOAD is set, and only for those who
// need no more than it offers: etcd, kube-apiserver and kubectl.
//
// # Nothing leaves the machine
//
// Every server listens on 127.0.0.1. Pods have addresses of 127.244.0.0/16, of which each control plane reserves a /20 of its
// own, so that two of them never give two pods one address; a program that plays an engine binds the address of its
// pod. Services have cluster addresses of 127.245.0.0/16, where nothing listens. The API refuses loopback addresses in
// EndpointSlices, so the endpoint controllers are off: find pods by listing them.
//
// # Time
//
// Pods start and stop as their annotations say (AnnotationReadyAfterSeconds and its neighbours), without any by default at
// once. A terminating pod keeps its node, its address and its GPUs until it is gone, as on a real cluster.
package controlplane
