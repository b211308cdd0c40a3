// Package signals reads what a service's own metrics say: the frontend, the
// prefill and decode engines, the prefill queue in NATS JetStream and the GPU
// exporter. It gives the planner plain readings, each of them known, a
// confirmed zero, or unknown with the cause.
//
// It knows engines' metric names, metrics pages, counters and histograms. It must
// never know Kubernetes (targets are given to it), the workload that is
// scaled, or what a reading is used for. It reads no clock: the time of a
// collection is passed in.
//
// One collection goes through these files:
//
//	config.go      what to read, and what a person may get wrong
//	collect.go     all sources side by side, each with its own deadline
//	scrape.go      one page over HTTP
//	parse.go       a page in the text format; openmetrics.go turns the other format into it
//	prometheus.go  or else the pages as a Prometheus read them: promquery.go asks, promclient.go
//	               carries the question, prompages.go puts pages together, native.go native histograms
//	vocabulary.go  what a page can tell; table_*.go how each engine spells it, engines.go which is spoken
//	sample.go      from a page to quantities; what cannot be used is left out, with a note
//	history.go     counters over time: restarts, new series, pods that come; point.go is one time of them
//	buckets.go     histograms: sums, quantiles with their bounds, variation
//	queue.go       depth of the prefill queue, and messages that were lost; monitoring.go its fallback
//	etcd.go        workers that are registered, held against the ready pods
//	demand.go      requests that arrive; rejected.go those that were turned away
//	requests.go    what requests look like, and their TTFT and TPOT
//	occupancy.go   what the engines hold: waiting, running, KV cache
//	activity.go    how busy the GPUs are
//	intervals.go   what the model of the replicas is corrected by
//	readings.go    what else a person wants to see
//	describe.go    which spelling matched, for people
//
// The faults that these hold off, each with its tests, are listed in faults_test.go.
//
// # Rules
//
// A rate is growth over the window by time, per pod, and then summed:
//
//	rate = Σ over pods (grown(last) − grown(base)) / (last − base)
//
// base is the newest sample at least a window before the last one, or the first
// there is. A rate over zero needs a sixth of the window, a confirmed zero the
// whole of it. A counter that fell is a restart, and its new value is the
// growth. A series that appears on a page seen before began at zero. The first
// sample of a pod only starts. What a pod counted before it went stays until it leaves the window.
//
// Demand is requests started, or finished plus the growth of those in flight, and
// those turned away where an engine counts them apart.
// It has one source: frontends, else prefill pods and their queue, else decode
// pods. Where a ready pod's share is not known, demand is unknown.
//
// The quantile of a latency is taken over the buckets of all pods together. It
// carries the bounds of its bucket and the exact mean (sum by count); outside
// of the first and last bounds only the bound is known. The variation of lengths is an estimate
// from the same buckets, see buckets.scv for how good it is.
//
// A gauge counts in the collection that it was read in, and not later. A sum
// that lacks a ready pod is at least that much if over zero, and unknown if zero.
//
// The depth of the queue is the consumer's num_pending, asked of JetStream's API.
// A depth that falls by more than was delivered has lost messages and is
// unknown until work goes on; so is that of a stream or consumer that is not there.
//
// A Prometheus is asked for raw samples with their times, a range selector for
// each kind of pod, and what it answers goes through the same steps as a page that was
// read from the pod. So nothing is extrapolated or looked back for, a restart is seen in each series
// before any sum, and both ways give the same answers. What the server itself
// wrote of a scrape (up, scrape_samples_scraped) tells a page that was not read from one that is empty.
// An answer that may be incomplete (warnings) never says that there is little to do.
//
// Credentials are sent to the host of the configured address and to no other:
// no redirect is followed, no proxy used, no server that another tells of is asked.
//
// Sources of the names and their pitfalls: table_*.go, and for JetStream
// nats-server 2.15, whose behaviour the tests run against.
package signals
