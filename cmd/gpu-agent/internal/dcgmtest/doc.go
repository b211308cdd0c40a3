// Package dcgmtest lets tests use the real go-dcgm without a GPU: it compiles a
// stand-in for libdcgm.so.4 (libdcgm/standin.c, which says what a scenario is)
// and runs the tests with it in LD_LIBRARY_PATH.
//
// It is for tests only. It must never be imported by the agent.
package dcgmtest
