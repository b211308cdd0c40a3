// Package gpuwatch counts the GPUs that pods hold, event by event, from the API server's own watch history.
//
// It is a witness: it knows pods and nothing else. It must never know the autoscaler, its resource or its metrics, so that
// what it says of a budget is worth something.
//
// A pod holds the GPUs of its limits from the event that adds it until the event that deletes it, whether it was scheduled or
// not, and while it terminates. Only a pod that has ended (phase Succeeded or Failed) has let go of them before that, as the
// scheduler counts it.
//
//	events.go  one pod event as plain data
//	ledger.go  who holds what, the peak, and GPU-seconds: a pure fold over events
//	watch.go   the events of one namespace, none missed: a list, then a watch from its resourceVersion
package gpuwatch
