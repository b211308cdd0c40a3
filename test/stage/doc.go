// Package stage sets up the running example on one machine and plays a load on it: a real Kubernetes control plane, a
// RoleBasedGroup of prefill and decode workers, an emulated service behind it, and the real autoscaler beside it. The demo and
// the end-to-end tests share it.
//
//	Qwen3-32B on Dynamo with vLLM, TP 2, on two nodes of eight H200; a RoleBasedGroup dynamo-pd with the roles processor,
//	prefill and decode; a prefill queue in NATS JetStream; dcgm-exporter; a budget of 12 GPUs.
//
// What it knows: how the parts are put together. What it must never do: help the autoscaler. That is the shipped binary in a
// process of its own, with the rights of config/rbac and nothing more, and reads the same HTTP pages and the same NATS server
// that it would find in a cluster. Start-up times, drain times and windows are short so that a person can watch; all of them
// are ordinary fields of the resource and of pods, and nothing runs faster than real time.
//
//	example.go     the numbers of the example: budget, objectives, times
//	stage.go       everything started in order, and ended
//	cluster.go     control plane, definitions, nodes, access rights
//	service.go     the RoleBasedGroup and the exporters
//	resource.go    the PDAutoscaler
//	controller.go  the autoscaler's process
//	takeover.go    another one that stands by and takes over
//	decisions.go   its decision records, read as a person with the right to does
package stage
