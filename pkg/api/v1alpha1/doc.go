// Package v1alpha1 is the PDAutoscaler resource: what a person asks for, and
// what the autoscaler reports back.
//
// It knows the resource's fields, their defaults and the rules that refuse a
// wrong value. The markers above the fields are the source of the CRD in
// config/crd/bases and of the deep copies; Default gives the same defaults to
// a resource that never saw an API server (a file read by pdctl, a test).
//
// It must not know how a decision is made: the planner's types are not
// imported here. pkg/controller translates in both directions.
//
// Units: durations are written 500ms, 10s, 5m; every other number has its unit
// in its name (…Percent, …Milliseconds, …TokensPerSecond). There is no floating
// point number in the resource.
//
// +kubebuilder:object:generate=true
// +groupName=pdautoscaler.io
package v1alpha1
