package charts

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/controller"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// check holds the kinds that a plain API server does not know against their projects' own Go types, and parses PromQL with
// Prometheus' parser: see test/tools/chart/check.
func check(t *testing.T, manifest string) (found struct {
	Objects     map[string]int
	Expressions int
	Metrics     []string
}) {
	t.Helper()
	if testing.Short() {
		t.Skip("a tool may have to be built: not under -short")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "../test/tools/chart", "./check")
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(manifest), &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// Fields of the Prometheus operator's and of cert-manager's kinds exist, and every alert and every panel asks for metrics that there are.
func TestKindsOfOthers(t *testing.T) {
	found := check(t, render(t, "everything")+"\n---\n"+render(t, "cert-manager"))
	want := map[string]int{"ServiceMonitor": 2, "PodMonitor": 1, "PrometheusRule": 1, "Issuer": 2, "Certificate": 5}
	if diff := cmp.Diff(want, found.Objects); diff != "" {
		t.Errorf("checked objects (-want +got):\n%s", diff)
	}
	if found.Expressions < 40 {
		t.Errorf("only %d expressions were found", found.Expressions)
	}
	// client-go's, which the end-to-end test sees the controller serve
	known := map[string]bool{"leader_election_master_status": true}
	for _, s := range controller.Table() {
		known[s.Name] = true
	}
	used := map[string]bool{}
	for _, name := range found.Metrics {
		if used[name] = true; !known[name] {
			t.Errorf("an alert or a panel asks for %s, which docs/metrics.md does not have", name)
		}
	}
	for _, name := range []string{"pdautoscaler_role_load", "pdautoscaler_observed_latency_seconds", "pdautoscaler_gpus_budget"} {
		if !used[name] {
			t.Errorf("nothing asks for %s", name)
		}
	}
}

// A broken expression, a field that does not exist and a metric are each seen: the check is not blind.
func TestCheckSees(t *testing.T) {
	if testing.Short() {
		t.Skip("a tool may have to be built: not under -short")
	}
	for name, manifest := range map[string]string{
		"broken expression": "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: a}\nspec: {groups: [{name: a, rules: [{alert: A, expr: 'sum(', labels: {severity: info}, annotations: {summary: a, description: a}}]}]}",
		"unknown field":     "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\nspec: {selektor: {}}",
		"alert in silence":  "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: a}\nspec: {groups: [{name: a, rules: [{alert: A, expr: up}]}]}",
		"no JSON":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a.json: '{'}",
	} {
		cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "../test/tools/chart", "./check")
		cmd.Stdin = strings.NewReader(manifest)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// Every other object passes a real API server, which is strict about every field and makes none.
func TestAPIServerTakesAll(t *testing.T) {
	cp := controlplane.ForTest(t)
	for _, ns := range []string{namespace, "gpu-operator", "chat"} {
		if _, err := cp.KubectlInput(t.Context(), "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+ns+"}", "apply", "--server-side", "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range sets(t) {
		var known []string
		count := 0
		for text := range strings.SplitSeq(render(t, set), "\n---\n") {
			if !strings.Contains(text, "apiVersion: monitoring.coreos.com/") && !strings.Contains(text, "apiVersion: cert-manager.io/") {
				known = append(known, text)
				count += strings.Count("\n"+text, "\napiVersion: ")
			}
		}
		out, err := cp.KubectlInput(t.Context(), strings.Join(known, "\n---\n"), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
		if err != nil {
			t.Errorf("%s: %v", set, err)
		}
		if took := strings.Count(out, " serverside-applied (server dry run)"); took != count || count < 10 {
			t.Errorf("%s: %d of %d objects were taken:\n%s", set, took, count, out)
		}
	}
}
