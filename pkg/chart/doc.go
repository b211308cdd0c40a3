// Package chart draws numbers as SVG: panels over one time axis, and a plane of points. Every function is pure, plain data in
// and text out, so that a report, a served page and a picture in a document are made from the same parts.
//
// It knows scales, lines and words. It must never know what the numbers mean, where they come from, HTML around the picture
// or a clock.
//
// # Two widths
//
// What a page holds (Panel.SVG, Axis.SVG, Plane.SVG) has the page's width: heights and texts are in pixels and only the plot is
// stretched, in thousandths of its width, so that text stays as large on a telephone as on a desk. The page has Tokens and
// Rules in its style sheet. A Picture has one width and carries them itself.
//
// The SVG element is the plot alone. Left of it are LeftPx pixels for the ticks and right of it RightPx for the names of
// what is drawn, which stand beside it instead of in a legend. Whatever is laid over a plot uses the same two.
//
//	scale.go   linear, logarithmic and attainment scales, and their ticks
//	time.go    the time axis
//	panel.go   what there is in one panel
//	plot.go    lines, areas and limits of a panel as paths
//	labels.go  names beside the plot, moved apart
//	draw.go    a panel as SVG
//	plane.go   points over two scales
//	picture.go panels below each other as one file
//	style.go   colours and fonts, light and dark
package chart
