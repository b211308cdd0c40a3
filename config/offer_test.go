package config

import (
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

// The samples for HPA and KEDA pass the API server, which is strict about every field.
func TestOfferSamples(t *testing.T) {
	cp := controlplane.ForTest(t)
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := cp.Kubectl(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	kubectl("apply", "-k", "crd", "--server-side")
	kubectl("apply", "-f", "testdata/keda_crds.yaml")
	kubectl("wait", "--for=condition=Established", "crd/pdautoscalers.pdautoscaler.io", "crd/scaledobjects.keda.sh", "crd/triggerauthentications.keda.sh", "--timeout=5m")
	discovered(t, cp, "pdautoscaler.io", "keda.sh")
	for sample, want := range map[string][]string{
		"samples/hpa":  {"pdautoscaler.pdautoscaler.io/dynamo-pd-hpa", "horizontalpodautoscaler.autoscaling/dynamo-pd-prefill", "horizontalpodautoscaler.autoscaling/dynamo-pd-decode"},
		"samples/keda": {"pdautoscaler.pdautoscaler.io/dynamo-pd-keda", "scaledobject.keda.sh/dynamo-pd-prefill", "scaledobject.keda.sh/dynamo-pd-decode", "triggerauthentication.keda.sh/pdautoscaler"},
	} {
		got := strings.Fields(kubectl("apply", "-k", sample, "--validate=strict", "-o", "name"))
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", sample, got, want)
		}
		for _, name := range want {
			if !strings.Contains(strings.Join(got, " "), name) {
				t.Errorf("%s: no %s in %v", sample, name, got)
			}
		}
		// TestInstall counts what is there
		kubectl("delete", "-k", sample, "--wait=true", "--timeout=5m")
	}
}

// The components add up: their flags, ports, certificates and rights do not get
// in each other's way.
func TestOfferComponents(t *testing.T) {
	cp := controlplane.ForTest(t)
	built, err := cp.Kubectl(t.Context(), "kustomize", "testdata/offer")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- --leader-elect\n", "- --metrics-api-bind-address=:6443\n", "- --metrics-api-cert-dir=/certificates/metrics-api\n",
		"- --keda-bind-address=:9555\n", "- --keda-cert-dir=/certificates/keda\n",
		"mountPath: /certificates/metrics-api\n", "mountPath: /certificates/keda\n", "secretName: pdautoscaler-metrics-api\n", "secretName: pdautoscaler-keda\n",
		"containerPort: 8443\n", "containerPort: 6443\n", "containerPort: 9555\n",
		"name: v1beta1.external.metrics.k8s.io\n", "name: v1beta2.custom.metrics.k8s.io\n", "cert-manager.io/inject-ca-from: pdautoscaler-system/pdautoscaler-metrics-api\n",
	} {
		if !strings.Contains(built, want) {
			t.Errorf("nothing has %q", want)
		}
	}
	if strings.Contains(built, "insecureSkipTLSVerify") {
		t.Error("an APIService trusts any certificate although there is one of cert-manager's")
	}

	// Without cert-manager all of it passes the API server; only asked, not made:
	// an APIService without pods behind it would trouble the other tests.
	for _, args := range [][]string{{"apply", "-k", "crd", "--server-side"}, {"apply", "-f", "manager/namespace.yaml", "--server-side"}} {
		if _, err := cp.Kubectl(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	out, err := cp.Kubectl(t.Context(), "apply", "-k", "testdata/offer_plain", "--server-side", "--dry-run=server", "--validate=strict")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"apiservice.apiregistration.k8s.io/v1beta1.external.metrics.k8s.io", "rolebinding.rbac.authorization.k8s.io/pdautoscaler-metrics-api", "service/pdautoscaler-keda"} {
		if !strings.Contains(out, want+" serverside-applied") {
			t.Errorf("no %s in:\n%s", want, out)
		}
	}
}
