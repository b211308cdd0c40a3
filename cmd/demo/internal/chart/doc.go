// Package chart draws a run of the demo as one SVG picture: offered load, replicas, GPUs, TTFT and TPOT over the same time axis.
//
// It knows plain data (Run) and which panels tell it; how they are drawn is pkg/chart's.
//
//	run.go   what there is to draw
//	draw.go  the panels
package chart
