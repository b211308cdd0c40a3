// Package scenario reads a scenario file, simulates it under each of its policies and tells the result as a table or JSON.
//
// It knows the file's keys (docs/scenario.md lists them), the catalogues, trace files and fit files. It must never know how a
// request is served (package des), how a policy decides (package policy) or a command line.
//
// A key that is not known, a value that cannot be read and a value out of bounds are refused with the file, the line where
// the file has one, and what is allowed.
package scenario
