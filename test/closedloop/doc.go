// Package closedloop runs the planner against the emulator's queueing engine
// under a fake clock: traffic, replicas that start and drain, perfect metrics,
// and the controller's own decision code in between. Minutes of service pass in
// milliseconds, so a whole day of rules can be tried in a test.
//
// An engine may be another than the planner's model says (Scenario.Truth); school.go
// then corrects the model by what the engine's workers count.
//
// It knows the engine and the planner and neither HTTP nor Kubernetes; the same
// loop over a real control plane is test/e2e.
package closedloop
