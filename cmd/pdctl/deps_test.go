package main

import (
	"os/exec"
	"strings"
	"testing"
)

// pdctl is a tool for a person's machine: it links no server and nothing that runs one.
func TestLinksNoServer(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/pdautoscaler/pdautoscaler/"
	for _, forbidden := range []string{
		module + "pkg/controller", module + "pkg/metricsapi", module + "pkg/workload", module + "pkg/signals",
		module + "sim/emulator", module + "test",
		"github.com/nats-io", "k8s.io/apiserver", "sigs.k8s.io/controller-runtime/pkg/manager", "github.com/prometheus/client_golang",
	} {
		for dep := range strings.Lines(string(out)) {
			if dep = strings.TrimSpace(dep); dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
				t.Errorf("pdctl links %s", dep)
			}
		}
	}
}
