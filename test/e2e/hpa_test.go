package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	certutil "k8s.io/client-go/util/cert"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
	"github.com/pdautoscaler/pdautoscaler/test/ports"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
	"github.com/pdautoscaler/pdautoscaler/test/stage/story"
)

// surgesForHPAs are the surges of TestMoveUnderAHardCap, each long enough for HPAs, which look at the plan every two seconds and
// answer later still on a machine that is busy. The test ends as soon as it has seen enough.
const surgesForHPAs = `{"phases": [
  {"name": "long prompts", "durationSeconds": 50, "requestsPerSecond": 11, "inputTokens": 4000, "inputSCV": 0.5, "outputTokens": 350, "outputSCV": 0.5},
  {"name": "long answers", "durationSeconds": 600, "requestsPerSecond": 55, "inputTokens": 400, "inputSCV": 0.5, "outputTokens": 500, "outputSCV": 0.5}
]}`

// TestHPAsCarryOutThePlan plays such surges in mode Metrics: the shipped HPAs, which read the
// autoscaler's metrics API through the API server, are the only ones that write replicas. The GPUs have to go from prefill to
// decode all the same, within the same budget.
func TestHPAsCarryOutThePlan(t *testing.T) {
	if os.Getenv("PDAUTOSCALER_LONG") == "" {
		t.Skip("takes 3 minutes: make e2e-metrics runs it (PDAUTOSCALER_LONG=1); a shorter loop is in pkg/metricsapi")
	}
	load, err := story.Read(strings.NewReader(surgesForHPAs))
	if err != nil {
		t.Fatal(err)
	}
	repository, bin := build(t, "pdautoscaler")
	certificates, caBundle := servingCertificate(t)
	held, err := ports.Hold(2)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	api, scaler := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: held.Numbers[0]}, held.Address(1)
	var events bytes.Buffer
	s, err := stage.Start(t.Context(), stage.Options{
		Dir: t.TempDir(), Repository: repository, Autoscaler: filepath.Join(bin, "pdautoscaler"), Seed: 1, Progress: os.Stderr, Events: &events,
		Mode:           v1alpha1.ModeMetrics,
		AutoscalerArgs: []string{"--metrics-api-bind-address", api.String(), "--metrics-api-cert-dir", certificates, "--keda-bind-address", scaler, "--keda-cert-dir", certificates},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	offer(t, s, repository, api, caBundle)
	if err := s.Emulator.Play(&load.Load, 1); err != nil {
		t.Fatal(err)
	}
	if failure := playUntilSwapped(t, s, load.Load.Duration()); failure != "" {
		records, err := s.Decisions(t.Context(), 1000)
		t.Fatalf("%s (%v)\n%s\n%s", failure, err, describeHPAs(t, s), history(records))
	}
	kedaHearsTheSame(t, s, scaler, caBundle)
	onlyHPAsWrote(t, s)
	if err := s.Pods.Stop(); err != nil {
		t.Error(err)
	}
	budgetKept(t, events.Bytes())
}

// servingCertificate is one for the Service that the APIServices name.
func servingCertificate(t *testing.T) (dir string, caBundle []byte) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey("pdautoscaler-metrics-api.pdautoscaler-system.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, content := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, cert
}

// offer installs what config/metricsapi and the sample for HPAs have, the HPAs for this PDAutoscaler.
func offer(t *testing.T, s *stage.Stage, repository string, api net.Addr, caBundle []byte) {
	t.Helper()
	read := func(path ...string) []byte {
		content, err := os.ReadFile(filepath.Join(append([]string{repository, "config"}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	apply := func(manifest []byte) {
		if _, err := s.ControlPlane.KubectlInput(t.Context(), string(manifest), "apply", "--server-side", "-f", "-"); err != nil {
			t.Fatal(err)
		}
	}
	apply(read("metricsapi", "rbac.yaml"))
	for _, file := range []string{"apiservice_external.yaml", "apiservice_custom.yaml"} {
		if err := s.ControlPlane.Aggregate(t.Context(), read("metricsapi", file), api, caBundle); err != nil {
			t.Fatal(err)
		}
	}
	apply(bytes.ReplaceAll(read("samples", "hpa", "hpa.yaml"), []byte("dynamo-pd-hpa"), []byte(stage.Name)))
	// The load begins once the HPAs are at work. Their metric is unknown until there is some, so that AbleToScale is all that they say.
	if _, err := s.ControlPlane.Kubectl(t.Context(), "wait", "--for=condition=AbleToScale", "hpa", "--all", "-n", stage.Namespace, "--timeout=5m"); err != nil {
		t.Fatal(err)
	}
}

// replicas is what the adapter of a role asks for. An API server that does not answer is asked again.
func replicas(t *testing.T, s *stage.Stage, role string) (n int64, adapter *unstructured.Unstructured) {
	t.Helper()
	client, err := dynamic.NewForConfig(s.ControlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		adapter, err = client.Resource(rbgfake.GroupVersion.WithResource("rolebasedgroupscalingadapters")).Namespace(stage.Namespace).
			Get(ctx, stage.Name+"-"+role, metav1.GetOptions{})
		cancel()
		if err == nil {
			n, _, _ = unstructured.NestedInt64(adapter.Object, "spec", "replicas")
			return n, adapter
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// playUntilSwapped returns once prefill has been the larger role and decode is, or says why it is not.
func playUntilSwapped(t *testing.T, s *stage.Stage, length time.Duration) string {
	t.Helper()
	end := time.After(length)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	prefillLed := false
	for {
		prefill, _ := replicas(t, s, rbgfake.RolePrefill)
		decode, _ := replicas(t, s, rbgfake.RoleDecode)
		prefillLed = prefillLed || prefill >= 4
		if prefillLed && decode > prefill {
			return ""
		}
		select {
		case <-s.Failed():
			t.Fatal(s.Err())
		case <-end:
			return fmt.Sprintf("prefill has %d replicas and decode %d; prefill had 4: %t", prefill, decode, prefillLed)
		case <-tick.C:
		}
	}
}

// kedaHearsTheSame asks the autoscaler as KEDA does, over TLS, until plan and adapter say the same.
func kedaHearsTheSame(t *testing.T, s *stage.Stage, scaler string, caBundle []byte) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caBundle)
	connection, err := grpc.NewClient(scaler, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, ServerName: "pdautoscaler-metrics-api.pdautoscaler-system.svc", MinVersion: tls.VersionTLS12,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	client := externalscaler.NewExternalScalerClient(connection)
	request := &externalscaler.GetMetricsRequest{MetricName: metricsapi.DesiredReplicas, ScaledObjectRef: &externalscaler.ScaledObjectRef{
		Name: "decode", Namespace: stage.Namespace,
		ScalerMetadata: map[string]string{metricsapi.KeyAutoscaler: stage.Name, metricsapi.KeyRole: metricsapi.RoleDecode, metricsapi.KeyMetric: metricsapi.DesiredReplicas},
	}}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		response, err := client.GetMetrics(t.Context(), request)
		asked, _ := replicas(t, s, rbgfake.RoleDecode)
		if err == nil && response.GetMetricValues()[0].GetMetricValueFloat() == float64(asked) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("KEDA is told %v (%v), the adapter of decode asks for %d", response, err, asked)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// onlyHPAsWrote looks at who the API server says wrote the counts.
func onlyHPAsWrote(t *testing.T, s *stage.Stage) {
	t.Helper()
	for _, role := range []string{rbgfake.RolePrefill, rbgfake.RoleDecode} {
		_, adapter := replicas(t, s, role)
		byHPA := false
		for _, entry := range adapter.GetManagedFields() {
			if strings.HasPrefix(entry.Manager, "pdautoscaler") {
				t.Errorf("the autoscaler wrote to the adapter of %s at %s", role, entry.Time)
			}
			byHPA = byHPA || entry.Subresource == "scale" && entry.Manager == "kube-controller-manager"
		}
		if !byHPA {
			t.Errorf("no HPA wrote to the adapter of %s: %v", role, adapter.GetManagedFields())
		}
	}
}

// describeHPAs is what the HPAs say, for a failing test.
func describeHPAs(t *testing.T, s *stage.Stage) string {
	t.Helper()
	out, err := s.ControlPlane.Kubectl(t.Context(), "describe", "hpa", "-n", stage.Namespace)
	if err != nil {
		return err.Error()
	}
	return out
}
