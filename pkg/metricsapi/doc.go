// Package metricsapi offers the plan as metrics to those who keep an HPA or
// KEDA as the writer of the replicas: spec.mode Metrics.
//
//	metrics.go       the table of what is offered: name, unit, labels, value
//	answer.go        one value of one PDAutoscaler, or why there is none
//	plans.go         the PDAutoscalers, and the one series that a selector means
//	external.go      external.metrics.k8s.io: selector -> series
//	custom.go        custom.metrics.k8s.io: PDAutoscaler object -> series
//	server.go        both as an aggregated API server
//	keda.go          KEDA's external scaler (externalscaler/ is its contract)
//	keda_server.go   that over gRPC, with or without TLS
//	certificates.go  the serving certificates of both
//	telemetry.go     how often what was answered
//
// What it knows: the resource with its status, Kubernetes' metrics APIs and
// KEDA's contract. What it must never know: how a decision is made
// (pkg/planner), where readings come from (pkg/signals), how replicas are
// counted or written (pkg/workload). It writes nothing.
//
// # Where the answers come from
//
// Several replicas of the controller run and one of them, the leader, decides.
// The Service in front of the API sends a request to any of them. A replica
// that answered from its own memory would have nothing to say on all but one of
// them, or worse, something old after it lost the lease. So every replica
// answers from the status of the resource, which the leader writes, through a
// cache that every replica keeps. What that costs and how it is dealt with:
//
//   - A count that changed is written to the status in the same round, so it is
//     served one watch event later. Loads, queues and latencies follow within
//     half of spec.metrics.staleAfterIntervals intervals.
//   - A status does not say by itself that the leader still lives. In mode
//     Metrics, and only there, the leader writes it anew after half of that time
//     also when nothing changed; one that is older than the whole of it is
//     unknown. A leader that dies, hangs, or cannot reach the API server and a
//     replica whose watch is cut off all show as this.
//   - The time is the leader's clock and the age is judged by the replica's. A
//     time further in the future than the limit cannot be judged and is unknown.
//   - A status that is about an earlier generation of the spec is unknown until
//     the leader has looked at the new one, which it does at once.
//   - In the other modes nothing is offered: in mode Auto the controller writes
//     the replicas itself, and an HPA beside it would be a second writer.
//
// # Unknown is never zero
//
// While the demand is unknown or the status too old, spec.metrics.whenUnknown
// decides. Error is answered as an error (HTTP 503, gRPC Unavailable); an HPA
// then keeps its replicas and says ScalingActive False, KEDA goes to its
// fallback where it has one. LastSafe repeats counts: the pair that was decided
// last for prefill and decode is within the budget together and stays what it
// is. A load, a queue or a latency has no safe last value: an HPA multiplies
// its present replicas by it, so that repeating 1.5 grows the role by half with
// every sync. These stay errors. A count of zero is never repeated.
//
// # Exactly one series
//
// An HPA sums all series that a selector matches. A selector that matches none
// or several is refused with a sentence that names them. Values are integers of
// a status, so NaN, infinity and negative numbers cannot come up other than by a
// status that someone else wrote; such a value is unknown.
//
// # The libraries
//
// The aggregated API is sigs.k8s.io/custom-metrics-apiserver v1.37.0, which is
// written for k8s.io v0.37, on k8s.io/apiserver: delegated authentication (the
// front proxy's client certificate and headers, or a bearer token by
// TokenReview) and delegated authorisation (SubjectAccessReview). Its AdapterBase
// is not used: it brings a second set of clients, informers and flags.
package metricsapi
