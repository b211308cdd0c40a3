// Package planner decides how many prefill and decode replicas a service
// should have now.
//
// Plan is a pure function over plain data: the same Input gives the same
// Decision and Memory, in the controller, in the simulator and when a saved
// record is replayed. It does no I/O, reads no clock and knows nothing of
// Kubernetes, networks or metric names; what it needs of those arrives in a
// Snapshot.
//
// One call does this, each step in the file of its name:
//
//	demand.go     what arrives, and what will arrive one start-up time ahead
//	surge.go      what is held for rises like those that each role has seen
//	lengths.go    how long the outputs are, from what was read of them
//	need.go       per role, the replicas that hold the objective at that demand
//	handover.go   what decode takes of a TTFT that ends there, and when that is no
//	              matter of prefill's
//	prior.go      no fewer than a share of what was asked for before the service
//	              corrected its own model
//	window.go     the most that was needed over the scale-down window
//	choose.go     the pair (prefill, decode) under minimum, maximum and budget
//	want.go       what each role wants for itself, and what holds it back
//	limits.go     what may be written now: free GPUs, steps, periods
//	move.go       GPUs that go from one role to the other, as a transaction
//	explain.go    the reasons, one sentence per role
//	whynot.go     what speaks against other counts, on the same input
//
// The rules it keeps are listed in rules.md beside this file and each is a
// property test in rules_test.go, rules_move_test.go or
// prior_test.go.
package planner
