// Package live shows what a running controller sees and decides, as pages for a browser: every PDAutoscaler with its loads,
// queues, latencies against their objectives, GPUs and moves over the last rounds, and its last decisions with all their reasons.
//
// It knows Round, the plain data of one round, and pkg/report's explanation of a decision. How a chart or a page is made is
// pkg/chart's and pkg/page's. It must never know Kubernetes, read a clock or write anything: the controller gives it each
// round (Board.Add), browsers ask for pages (Board.Handler), and nothing goes the other way.
//
// All that is kept is bounded: of each PDAutoscaler the last Samples rounds as numbers, the last Events changes as a line each,
// and the last Decisions of them with their reasons. A number that is not known leaves a gap; it is never drawn as zero.
//
// A page asks again for what has changed while it is looked at. It loads nothing from anywhere else, and without script it is
// loaded anew.
//
//	round.go     one round as plain data
//	board.go     all PDAutoscalers; one writer, many readers
//	history.go   the numbers of the last rounds
//	events.go    what changed, and when
//	overview.go  the page of all of them
//	service.go   the page of one
//	panels.go    its charts, and the table of the same numbers
//	reasons.go   a decision with its reasons
//	handler.go   paths and headers
//	signin.go    a bearer token for browsers, which do not send one by themselves
package live
