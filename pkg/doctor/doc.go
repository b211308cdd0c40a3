// Package doctor judges a scaled service and says what to change: whether its
// target is built so that counts can be written and take effect, whether
// something else writes them, whether its metrics can be read, and whether the
// budget fits what runs.
//
// It is pure: a Patient holds all that was read of the cluster, Examine makes a
// Report of it. It knows what an Observation and a status mean; it must never
// read a cluster itself (cmd/pdctl does), and it decides no replica count.
//
// One subject per file: target.go the target and its adapters, budget.go GPUs,
// budget and quotas, status.go what the controller says, metrics.go what pods
// answer, report.go the result.
package doctor
