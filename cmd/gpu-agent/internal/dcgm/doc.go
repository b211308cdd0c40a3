// Package dcgm is the binding to NVIDIA's DCGM through go-dcgm: the one package
// of the repository that needs cgo. Built without cgo, or for another system
// than Linux, it is empty.
//
// It must never judge a value: it hands over what DCGM gave. It carries out
// agent.Engine and nothing besides.
//
// # What go-dcgm demands of its user
//
// It opens libdcgm.so.4 when Init is called and leaves its symbols to be found
// when they are first called. A call before that ends the process, and no
// recover helps; so every method here first looks whether it is connected. For
// the same reason the binary must not be linked with -z now. The connection is
// one per process, and so is an Engine.
//
// Its plain watch functions update every 30 s; only WatchFieldsWithGroupEx takes
// a period. Groups and field groups stay in the engine until they are destroyed.
package dcgm
