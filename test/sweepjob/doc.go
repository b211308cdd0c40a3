// Package sweepjob holds the test of pdctl's sweeps on a real control plane: the manifest is applied, the Job controller makes
// the pods, and what each pod would run is run.
package sweepjob
