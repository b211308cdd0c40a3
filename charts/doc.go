// Package charts holds no code: it is the Helm chart, and the tests that hold it against what it must agree with.
//
//	pdautoscaler/  the chart; pdautoscaler/files is copied from config/ by make generate
//	generate/      what copies it, and writes the tables of docs/install.md
//	testdata/      sets of values and what the chart makes of them
//
// The tests need no network: helm is built from a pinned module. Installing, upgrading and uninstalling is test/install's.
package charts
