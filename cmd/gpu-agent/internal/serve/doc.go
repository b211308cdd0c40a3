// Package serve offers what the agent knows over HTTP: /metrics for Prometheus
// and the controller, /healthz and /readyz for the kubelet.
//
// It must never ask DCGM or the kubelet: a scrape costs them nothing, and one that
// hangs cannot hang the page. What it shows is judged at the moment of the scrape,
// so a value that is not renewed disappears by itself.
//
//	metrics.go     the GPUs' fields, in dcgm-exporter's names and labels
//	pods.go        the load of each pod, in names of our own
//	self.go        how the agent itself is doing
//	server.go      the pages, and their limits
//	tls.go         certificates, read anew when their files change
//
// Samples carry no time of their own unless it is asked for: Prometheus writes
// no end to a series with times when it disappears, and would show a pod's
// last activity for five minutes after the pod is gone. Their age is a metric instead.
package serve
