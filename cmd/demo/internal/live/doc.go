// Package live shows a running demo: on a terminal a picture that is redrawn in place, elsewhere plain lines.
//
// It knows plain data (Frame) and how to write it. It must never know where a number comes from: no Kubernetes, no engine, no
// clock.
//
//	frame.go   what there is to show
//	draw.go    a frame as lines of text, no wider than asked for
//	bars.go    bars, dots, colours and widths
//	screen.go  lines redrawn in place on a terminal
//	plain.go   a frame as one line
package live
