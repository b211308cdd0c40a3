// Package report draws what a simulation came to as one self-contained HTML page: the policies side by side, and for each of
// them the time line of demand, replicas, GPUs, queues, latencies, loads and decisions.
//
// It knows scenarios and their reports, and which numbers belong together. How a chart or a page is made is pkg/chart's and
// pkg/page's; what happened is package scenario's. It must never know a clock, a network or a command line.
//
//	report.go    the page
//	lead.go      what was simulated and what came of it, in sentences
//	compare.go   the policies side by side: table, plane, GPUs over time
//	timeline.go  one policy moment by moment
//	panels.go    the panels of that time line
//	picture.go   the same panels as one SVG file
//	sweep.go     many scenarios that differ in some keys
//	index.go     a page that leads to many
package report
