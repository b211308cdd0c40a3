// Package faults plays random sequences of swinging load and faults on a real control plane, and judges what the controller
// did from etcd's own history.
//
// A sequence is drawn from a seed (sequence.go): what arrives, which fault happens at which step, and for how long. Each one
// plays in a namespace of its own, with a RoleBasedGroup on two nodes of fake GPUs, its stand-in controller, and one or two
// replicas of the real controller with the rights of config/rbac and no more. Several play at a time; the API server's
// restarts, which hit all, have a round of their own.
//
//	make faults                                      200 sequences
//	go test ./test/faults -faults.seed=17 -faults.sequences=1 -v
//
// The same seed gives the same load, faults and order. When a fault meets which request is not repeated exactly: processes
// run as they do.
//
// # What is asked
//
//   - No write of the controller takes the service above its budget, and none grows it while it is above.
//   - No write leaves [min, max] for further outside.
//   - Once the faults have stopped, the counts become the planned ones and stay: those at which the planner, in a world without
//     faults, rests from wherever it starts (planned.go). A deadlock is a sequence that never gets there.
//
// Kubernetes' own garbage collector may miss, in an outage of the API server, that an owner was deleted where one of the same
// name was made since: to its cache that is a change. Pods that are left behind so are taken away when the faults have stopped
// (collectMissed), and counted.
//
// # The witness
//
// history.go reads etcd itself: every version of every object in the order in which it was stored, across kinds, also while
// the API server is down. judge.go does its own sums over it, and shares no code with the controller or its workload package.
// Which writes of an adapter's count are the controller's is what the API server notes of who wrote the field.
// What is held is the GPUs of all pods that have not ended, terminating ones included, and of those that a role asks for
// beyond its living pods.
//
// Kubernetes has no transaction over two objects. A write may be on its way while somebody else takes GPUs or lowers the
// budget; so much, from inFlight before the round that wrote began, is not held against it, and is counted apart. When a round
// began is taken from the controller itself, so that a slow machine is no reason to blame it. Between the controller's own writes
// nothing is excused.
package faults
