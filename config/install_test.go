package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

func TestMain(m *testing.M) {
	os.Exit(controlplane.Main(m, controlplane.Options{BeforeControllers: rbgfake.Install}))
}

// A person installs with one command, and the samples follow.
func TestInstall(t *testing.T) {
	cp := controlplane.ForTest(t)
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := cp.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if _, err := cp.AddGPUNodes(t.Context(), 1, 0, ""); err != nil {
		t.Fatal(err)
	}
	kubectl("apply", "-k", "default", "--validate=strict", "--server-side")
	kubectl("wait", "--for=condition=Established", "crd/pdautoscalers.pdautoscaler.io", "--timeout=5m")
	discovered(t, cp, "pdautoscaler.io")
	// the pods pass the namespace's restricted standard and the service account is there
	kubectl("rollout", "status", "-n", "pdautoscaler-system", "deployment/pdautoscaler", "--timeout=5m")
	kubectl("apply", "-k", "samples", "--validate=strict")
	samples, err := os.ReadFile("samples/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Count(string(samples), "\n- ")
	if got := kubectl("get", "pda", "-n", "default", "-o", "name"); strings.Count(got, "pdautoscaler.pdautoscaler.io/") != want {
		t.Errorf("want %d samples, have\n%s", want, got)
	}
	if got := kubectl("explain", "pdautoscaler.spec.slo.ttft.percentile"); !strings.Contains(got, "percentile of the requests that must be at most as slow as target") {
		t.Errorf("kubectl explain:\n%s", got)
	}
	kubectl("create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor", "--namespace=default")
	kubectl("create", "rolebinding", "viewer", "--clusterrole=view", "--user=viewer", "--namespace=default")
	kubectl("create", "clusterrolebinding", "scraper", "--clusterrole=pdautoscaler-metrics-reader", "--user=scraper")
	permissions(t, cp)
}

// patience is how long a test waits for what must come: only a hang takes longer, on a busy machine too.
const patience = 4 * time.Minute

// discovered waits until kubectl finds kinds of the groups: that a definition is established says that its objects are served, and
// the list of all groups has it a moment later.
func discovered(t *testing.T, cp *controlplane.ControlPlane, groups ...string) {
	t.Helper()
	for _, group := range groups {
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			kinds, err := cp.Kubectl(t.Context(), "api-resources", "--cached=false", "--api-group="+group, "-o", "name")
			if err == nil && strings.Contains(kinds, "."+group) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("kubectl finds no kind of %s: %q (%v)", group, kinds, err)
			}
		}
	}
}

// permissions asks the API server what it would allow.
func permissions(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	const controller = "system:serviceaccount:pdautoscaler-system:pdautoscaler"
	for _, tc := range []struct {
		who, verb, what, namespace string
		want                       bool
	}{
		{controller, "patch", "rolebasedgroups.workloads.x-k8s.io", "default", true},
		{controller, "patch", "rolebasedgroupscalingadapters.workloads.x-k8s.io/scale", "default", true},
		{controller, "patch", "pdautoscalers.pdautoscaler.io/status", "default", true},
		{controller, "patch", "deployments.apps/scale", "default", true},
		{controller, "watch", "pods", "default", true},
		{controller, "list", "nodes", "", true},
		{controller, "create", "tokenreviews.authentication.k8s.io", "", true},
		{controller, "create", "leases.coordination.k8s.io", "pdautoscaler-system", true},
		{controller, "create", "events.events.k8s.io", "default", true},
		// what it has no use for
		{controller, "create", "leases.coordination.k8s.io", "default", false},
		{controller, "get", "secrets", "default", false},
		{controller, "update", "pdautoscalers.pdautoscaler.io/status", "default", false},
		{controller, "delete", "pods", "default", false},
		{controller, "update", "rolebasedgroups.workloads.x-k8s.io", "default", false},
		{controller, "delete", "rolebasedgroups.workloads.x-k8s.io", "default", false},
		{controller, "patch", "statefulsets.apps", "default", false},
		{controller, "update", "pdautoscalers.pdautoscaler.io", "default", false},
		{controller, "list", "configmaps", "default", false},
		{controller, "patch", "nodes", "", false},
		// people, through the roles that they have already
		{"editor", "create", "pdautoscalers.pdautoscaler.io", "default", true},
		{"editor", "update", "pdautoscalers.pdautoscaler.io/status", "default", false},
		{"viewer", "list", "pdautoscalers.pdautoscaler.io", "default", true},
		{"viewer", "create", "pdautoscalers.pdautoscaler.io", "default", false},
		{"scraper", "get", "/metrics", "", true},
		{"scraper", "get", "/debug/decisions/default/dynamo-pd", "", true},
		{"viewer", "get", "/debug/decisions/default/dynamo-pd", "", false},
	} {
		what, subresource := tc.what, ""
		if !strings.HasPrefix(what, "/") {
			what, subresource, _ = strings.Cut(what, "/")
		}
		args := []string{"auth", "can-i", tc.verb, what, "--subresource=" + subresource, "--as=" + tc.who}
		switch {
		case tc.namespace != "":
			args = append(args, "--namespace="+tc.namespace)
		case !strings.HasPrefix(tc.what, "/"):
			args = append(args, "--all-namespaces")
		}
		// The authoriser hears of roles and bindings a moment later, of those that are put together of others later still. What
		// is not granted never is.
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			// can-i answers no with exit status 1
			out, err := cp.Kubectl(t.Context(), args...)
			got := strings.HasPrefix(out, "yes")
			if got == tc.want {
				break
			}
			if got || time.Now().After(deadline) {
				t.Errorf("may %s %s %s in %q: %s (%v), want %v", tc.who, tc.verb, tc.what, tc.namespace, strings.TrimSpace(out), err, tc.want)
				break
			}
		}
	}
}
