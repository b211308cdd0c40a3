// Package benchcontroller measures one controller process with many services.
//
// What runs is the binary that ships, with the rights of config/rbac, against a real API server and etcd. A service is a
// PDAutoscaler in mode Auto and all that the controller reads of it: a RoleBasedGroup with its scaling adapters, role
// instance sets and role instances, and its pods on GPU nodes. Nothing acts on them: the objects are made once, as a
// controller of RoleBasedGroups would leave them (fleet.go). Each pod has a loopback address of its own, on which this process
// serves a page of metrics as long as a real one, whose counters run with a slowly swinging demand (pages.go).
//
//	make bench-controller                     500 services, a 10 s interval, 2 processors
//	go test ./test/benchcontroller -v -bench.services=100 -bench.window=30s
//
// Printed are the times of a round and how late rounds begin, from the controller's own histograms, the rounds per second,
// the memory at its highest (VmHWM) and the processor time. The bars: a p99 of both up to 1 s, under 300 MB, and no service that
// gets fewer rounds than its interval promises. Measured is from an interval after every service was decided for, which is
// printed for itself: at its start a controller sees all of them at once. Three minutes are measured: what the controller holds of
// each pod grows for two, and much of what services do every minute they do together, having started together. The control plane and the pages of all pods run on the same machine.
package benchcontroller
