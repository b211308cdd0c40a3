package main

import (
	"os/exec"
	"strings"
	"testing"
)

// pdctl is a tool for a person's machine: it links no server and nothing that
// runs one. doctor sees a target with the controller's own eyes (pkg/workload),
// which need a client of the API and nothing else.
func TestLinksNoServer(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/pdautoscaler/pdautoscaler/"
	for _, forbidden := range []string{
		module + "pkg/controller", module + "pkg/metricsapi", module + "pkg/signals",
		module + "sim/emulator", module + "test",
		"github.com/nats-io", "k8s.io/apiserver", "sigs.k8s.io/controller-runtime/pkg/manager", "github.com/prometheus/client_golang/prometheus/promhttp",
	} {
		for dep := range strings.Lines(string(out)) {
			if dep = strings.TrimSpace(dep); dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
				t.Errorf("pdctl links %s", dep)
			}
		}
	}
}
