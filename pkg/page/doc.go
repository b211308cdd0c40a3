// Package page holds the parts of this project's web pages: the document around them, a time line with its panels, its
// decisions and its table, and the style and behaviour that all pages share. A report written to a file and a page served by
// the controller are made of the same parts and look alike.
//
// It knows HTML and package chart. It must never know what the numbers mean, where they come from, a server or a clock.
//
// A page is one file: style and script are in it, nothing is loaded. Light or dark is the viewer's preference. Without script
// every number is in a table below its picture; the script only reads that table out at the pointer, so nothing is written twice.
//
//	document.go  the whole page, and one that a server keeps up to date
//	timeline.go  panels over one time axis, lanes of decisions, the table of the same numbers
//	page.css     how it looks, beyond package chart's rules
//	page.js      reading off a moment, and keys
//	live.js      asking for what has changed
package page
