// Package agent is the loop of the node agent: it connects to DCGM, watches
// device and profiling fields apart, reads them once an interval, and keeps on
// whatever goes away.
//
// It knows the engine only by its interface and must never know cgo, the
// kubelet or how values are served. Time is passed into each round.
//
//	engine.go     what is needed of DCGM, and the errors that it gives
//	agent.go      one round after another; what happens when DCGM is gone
//	watch.go      which fields of which devices are watched; profiling that is refused
//	judge.go      what a round's values say of the conditions
//
// # Rules
//
// Any call that fails as a whole ends the connection; it is tried again after
// 1 s, then 2 s and so on up to 30 s, each up to a fifth longer or shorter, so that a
// cluster's agents do not come back in one moment. Watches die with their connection
// and are made anew.
//
// The profiling fields are watched as one set; where DCGM refuses that, the two
// that matter alone; where it refuses those too, the device fields go on without,
// and profiling is tried again every 30 s.
//
// GPUs are looked for again every 30 s: instances come and go, and a GPU may fall off its bus.
package agent
