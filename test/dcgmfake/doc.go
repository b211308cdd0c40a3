// Package dcgmfake lets tests use the real go-dcgm without a GPU: it compiles a
// stand-in for libdcgm.so.4 (libdcgm/standin.c, which says what a scenario is)
// that programs find by LD_LIBRARY_PATH.
//
// Tests that link go-dcgm themselves call Main from TestMain. Those that only
// start bin/gpu-agent call Build, and give the process LD_LIBRARY_PATH; a Node
// gives it the scenario.
package dcgmfake
