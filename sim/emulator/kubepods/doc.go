// Package kubepods tells the emulator which pods a cluster has: those of one
// RoleBasedGroup, by the labels group-name and role-name of RBG v0.7 and later,
// and the dcgm-exporters.
//
// It knows Kubernetes pods. It must never know metrics, queues or decisions, and
// it never writes.
package kubepods
