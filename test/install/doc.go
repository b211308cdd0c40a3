// Package install installs the product as a person does, with helm, and looks at what comes of it.
//
//	helm.go         the pinned helm of test/tools/chart
//	deployment.go   a Deployment's container as a process of this machine
//	everything.go   every object that a cluster holds
//	alerts.go       the chart's alerts over pages of /metrics
//
// Its test plays the whole life of an installation on a real control plane: make e2e-install. The tests of charts/ use its helm.
package install
