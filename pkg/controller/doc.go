// Package controller carries out decisions for PDAutoscaler resources: it
// observes, lets the planner decide, writes, and reports.
//
// One round of one resource (reconcile.go), each step in the file of its name:
//
//	observe.go    what the workload and the metrics show (spec.go, model.go,
//	              targets.go turn the resource into what the rooms below read)
//	calibration.go what the replicas have taught of their model
//	              (calibration_status.go says it)
//	plan.go       planner.Plan over it, or the one sentence why there is no plan
//	memory.go     what must survive a restart, to and from the status
//	drains.go     who goes, and whether they were drained
//	persist.go    the intent goes into the status before the first write
//	apply.go      shrinks, then grows
//	finish.go     what is left of a move when the resource is deleted
//	schedule.go   when the next round is due
//	status.go     what a person sees (conditions.go), written only if it changed
//	              (changed.go)
//	events.go, metrics.go, debug.go, page.go: the same for events, Prometheus,
//	              replay and the page (serving.go is its server)
//
// What it knows: Kubernetes, the resource, and the order of these steps. What
// it must never know: why a count should change (pkg/planner), how a metric is
// called (pkg/signals), how a replica count is written (pkg/workload).
//
// Rules that it keeps:
//
//   - Nothing is written to the workload unless the mode is Auto, the spec was
//     understood, the target was observed in this very round, and what a
//     restart needs of the decision is in the status already.
//   - A decision that was not carried out is not remembered as done: the next
//     round decides it again.
//   - Each resource has a deadline of its own (round.go), so that a service
//     that answers slowly delays no other.
//   - An idle resource is not written to: the status changes only with what a
//     person or a restart needs.
//   - Deleting a PDAutoscaler leaves the replicas as they are; in the middle of a
//     move that is ended first, and a finalizer holds the resource for that long.
package controller
