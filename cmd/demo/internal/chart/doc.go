// Package chart draws a run of the demo as one SVG picture: offered load, replicas, GPUs, TTFT and TPOT over the same time axis.
//
// It knows plain data (Run) and how to draw it. The picture has its own background and follows the viewer's preference for
// light or dark, so that it can be read wherever it is shown.
//
//	run.go     what there is to draw
//	draw.go    the picture, panel by panel
//	panel.go   one panel: its frame, its scale, lines and areas in it
//	scale.go   linear and logarithmic scales, and their ticks
//	style.go   colours and fonts
package chart
