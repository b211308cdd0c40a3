// Package e2e proves the whole spine on a real control plane: live metrics in, replica counts out. What it sets up is
// test/stage, the same as the demo; what it asks is only what can be seen from outside: pods, and the decision records that the
// autoscaler serves.
package e2e
