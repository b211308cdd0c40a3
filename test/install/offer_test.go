package install

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// An offer is where the plan is offered, and shown, on this machine.
type offer struct{ keda, api, page string }

func newOffer(t *testing.T) offer {
	t.Helper()
	held, err := ports.Hold(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(held.Close)
	return offer{keda: held.Address(0), api: held.Address(1), page: held.Address(2)}
}

// flags are addresses that are this machine's alone.
func (o *offer) flags() []string {
	return []string{"--keda-bind-address=" + o.keda, "--metrics-api-bind-address=" + o.api, "--page-bind-address=" + o.page}
}

// metricsAPI asks through the aggregation layer, which checks the serving certificate against the APIService's caBundle. Only the
// way to the pods is another: their loopback addresses cannot be endpoints of a Service.
func (c *chart) metricsAPI(t *testing.T) {
	// Aggregate makes the Service as a name for localhost, which is no longer the release's
	c.kubectl(t, "delete", "service", release+"-metrics-api", "--namespace", namespace)
	defer c.kubectl(t, "delete", "service", release+"-metrics-api", "--namespace", namespace)
	for _, name := range []string{"v1beta1.external.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"} {
		var installed struct {
			APIVersion string         `json:"apiVersion"`
			Kind       string         `json:"kind"`
			Metadata   map[string]any `json:"metadata"`
			Spec       map[string]any `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(c.kubectl(t, "get", "apiservice", name, "-o", "yaml")), &installed); err != nil {
			t.Fatal(err)
		}
		encoded, _ := installed.Spec["caBundle"].(string)
		caBundle, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(caBundle) < 500 || installed.Spec["insecureSkipTLSVerify"] != nil {
			t.Fatalf("%s trusts any certificate, or none: %v (%v)", name, installed.Spec, err)
		}
		installed.Metadata = map[string]any{"name": name}
		manifest, err := yaml.Marshal(installed)
		if err != nil {
			t.Fatal(err)
		}
		server, err := net.ResolveTCPAddr("tcp", c.offer.api)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.stage.ControlPlane.Aggregate(t.Context(), manifest, server, caBundle); err != nil {
			t.Error(err)
		}
	}
	if got := c.kubectl(t, "get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"); !strings.Contains(got, `"groupVersion":"external.metrics.k8s.io/v1beta1"`) {
		t.Errorf("the API answers %s", got)
	}
}

// keda asks as KEDA does, with what is in the Secret that a TriggerAuthentication names.
func (c *chart) keda(t *testing.T) {
	secret, err := c.stage.Kubernetes.CoreV1().Secrets(namespace).Get(t.Context(), release+"-keda-client", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		t.Fatal("ca.crt holds no certificate")
	}
	own, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	ask := func(certificates ...tls.Certificate) error {
		config := &tls.Config{RootCAs: authority, ServerName: release + "-keda." + namespace + ".svc", Certificates: certificates}
		conn, err := grpc.NewClient(c.offer.keda, grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err = externalscaler.NewExternalScalerClient(conn).GetMetricSpec(ctx, &externalscaler.ScaledObjectRef{Name: "a", Namespace: stage.Namespace})
		return err
	}
	// it is known, and told what its trigger lacks
	if err := ask(own); status.Code(err) == codes.Unavailable || err == nil || !strings.Contains(err.Error(), "pdautoscaler") {
		t.Errorf("with the certificate: %v", err)
	}
	if err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: %v, want no connection", err)
	}
}
