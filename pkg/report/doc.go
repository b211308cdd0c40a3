// Package report tells people what was decided and why: it reads decision records from JSON, makes their decisions again
// to check them, and turns a record or the status of a PDAutoscaler into sentences and tables.
//
// It knows the planner's plain data and the resource's status. It must never know where either came from: it opens no
// file, talks to no cluster, and reads no clock. It must never decide anything: whatever it says was said, counted or
// predicted by the planner.
//
//	record.go       decision records read from JSON, each fault with its place
//	strict.go       a JSON value held against a Go type, key by key
//	replay.go       the decision made again, and where it differs
//	explanation.go  one decision as plain data: what -o json prints
//	status.go       the same from a resource's status
//	signal.go       the reading that bound a count
//	whynot.go       what speaks against other counts
//	text.go         the explanation as text
//	history.go      many decisions, a line each
//	reasons.go      every reason in words
//	number.go       numbers as people write them
package report
