// Package signals holds a real Prometheus against the pods that it reads:
// emulated services of vLLM, SGLang and Dynamo are read by a collector that asks
// the pods, and by one that asks the Prometheus, and both must say the same.
//
// What a gauge says depends on the moment it is read. So that both ways are
// shown one moment, the pages of the emulated pods stand still for a second each
// (frozen.go), while the service behind them goes on.
//
// Workers that register themselves are read from a real etcd, that of the control
// plane that other tests run (etcd_test.go).
//
// It knows pkg/signals, sim/emulator and Prometheus' own command line. The
// Prometheus is the one named by PDAUTOSCALER_PROMETHEUS, or the first in PATH; without
// one the tests are skipped with a word on how to get it.
package signals
