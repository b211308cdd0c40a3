package metricsapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/runtime"
	certutil "k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
)

// kedaWorld is the scaler with one resource, and a client of it.
type kedaWorld struct {
	t      *testing.T
	api    client.Client
	plans  *Plans
	client externalscaler.ExternalScalerClient
}

func newKEDAWorld(t *testing.T, pda *v1alpha1.PDAutoscaler) *kedaWorld {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &kedaWorld{t: t, api: fake.NewClientBuilder().WithScheme(scheme).WithObjects(pda).Build()}
	w.plans = &Plans{reader: w.api, clock: clocktesting.NewFakePassiveClock(now), changes: newChanges()}
	address := w.serve(ScalerOptions{Address: "127.0.0.1:0"})
	w.client = dial(t, address, insecure.NewCredentials())
	return w
}

func (w *kedaWorld) serve(o ScalerOptions) string {
	w.t.Helper()
	server, err := NewScalerServer(o, w.plans)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	w.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	return server.Addr().String()
}

func dial(t *testing.T, address string, c credentials.TransportCredentials) externalscaler.ExternalScalerClient {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return externalscaler.NewExternalScalerClient(connection)
}

// change changes the resource as the cache would see it.
func (w *kedaWorld) change(edit func(*v1alpha1.PDAutoscaler)) {
	w.t.Helper()
	pda := &v1alpha1.PDAutoscaler{}
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "default", Name: "qwen"}, pda); err != nil {
		w.t.Fatal(err)
	}
	edit(pda)
	if err := w.api.Update(w.t.Context(), pda); err != nil {
		w.t.Fatal(err)
	}
	w.plans.changes.tell(pda)
}

// ref is a ScaledObject of the prefill role, as KEDA sends it, edited.
func ref(edit map[string]string) *externalscaler.ScaledObjectRef {
	data := map[string]string{"scalerAddress": "x:9555", "enableTLS": "true", "pdautoscaler": "qwen", "role": "prefill", "metric": DesiredReplicas}
	maps.Copy(data, edit)
	maps.DeleteFunc(data, func(_, v string) bool { return v == "" })
	return &externalscaler.ScaledObjectRef{Name: "so", Namespace: "default", ScalerMetadata: data}
}

func TestKEDATriggers(t *testing.T) {
	w := newKEDAWorld(t, plan())
	for name, tc := range map[string]struct {
		edit   map[string]string
		target float64
		value  float64
		whole  int64
		says   string
	}{
		"replicas":            {nil, 1, 5, 5, ""},
		"with the target":     {map[string]string{"target": "1"}, 1, 5, 5, ""},
		"load":                {map[string]string{"metric": PrefillComputeLoad, "target": "0.8"}, 0.8, 0.83, 1, ""},
		"queue":               {map[string]string{"metric": QueueSeconds, "target": "1.5"}, 1.5, 1.25, 2, ""},
		"of the service":      {map[string]string{"metric": PredictedTPOTSeconds, "role": "", "target": "0.04"}, 0.04, 0.0253, 1, ""},
		"no name":             {map[string]string{"pdautoscaler": ""}, 0, 0, 0, "needs pdautoscaler in its metadata"},
		"no metric":           {map[string]string{"metric": ""}, 0, 0, 0, `metric is "" in its trigger's metadata: allowed is one of`},
		"no role":             {map[string]string{"role": ""}, 0, 0, 0, `role is "" in its trigger's metadata: of pdautoscaler_desired_replicas allowed is one of [prefill decode]`},
		"wrong role":          {map[string]string{"metric": PrefillComputeLoad, "role": "decode", "target": "1"}, 0, 0, 0, "allowed is one of [prefill]"},
		"a role of no use":    {map[string]string{"metric": PredictedTTFTSeconds, "target": "1"}, 0, 0, 0, "takes none"},
		"no target":           {map[string]string{"metric": QueueSeconds}, 0, 0, 0, `target is ""`},
		"target of zero":      {map[string]string{"metric": QueueSeconds, "target": "0"}, 0, 0, 0, "want a number above 0"},
		"target of NaN":       {map[string]string{"metric": QueueSeconds, "target": "NaN"}, 0, 0, 0, "want a number above 0"},
		"target of infinity":  {map[string]string{"metric": QueueSeconds, "target": "Inf"}, 0, 0, 0, "want a number above 0"},
		"target in a unit":    {map[string]string{"metric": QueueSeconds, "target": "800m"}, 0, 0, 0, "want a number above 0"},
		"replicas by another": {map[string]string{"target": "2"}, 0, 0, 0, "only 1 is allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			object := ref(tc.edit)
			specs, err := w.client.GetMetricSpec(t.Context(), object)
			if tc.says != "" {
				if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want InvalidArgument and %q", err, tc.says)
				}
				if _, err := w.client.IsActive(t.Context(), object); status.Code(err) != codes.InvalidArgument {
					t.Errorf("IsActive: %v", err)
				}
				return
			}
			if err != nil || len(specs.GetMetricSpecs()) != 1 {
				t.Fatalf("%v (%v)", specs, err)
			}
			spec := specs.GetMetricSpecs()[0]
			if spec.GetTargetSizeFloat() != tc.target || spec.GetTargetSize() < 1 {
				t.Errorf("the spec is %v, want a target of %g", spec, tc.target)
			}
			values, err := w.client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: object, MetricName: spec.GetMetricName()})
			if err != nil || len(values.GetMetricValues()) != 1 {
				t.Fatalf("%v (%v)", values, err)
			}
			if v := values.GetMetricValues()[0]; v.GetMetricName() != spec.GetMetricName() || v.GetMetricValueFloat() != tc.value || v.GetMetricValue() != tc.whole {
				t.Errorf("the value is %v, want %g and %d", v, tc.value, tc.whole)
			}
			if active, err := w.client.IsActive(t.Context(), object); err != nil || !active.GetResult() {
				t.Errorf("active: %v (%v)", active, err)
			}
		})
	}
	if _, err := w.client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: ref(nil), MetricName: "other"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another metric than the trigger's: %v", err)
	}
}

// What is not known is an error and never inactive: KEDA would scale to zero.
func TestKEDAUnknown(t *testing.T) {
	for name, tc := range map[string]struct {
		edit     func(*v1alpha1.PDAutoscaler)
		metadata map[string]string
		code     codes.Code
	}{
		"unknown demand":           {forget, nil, codes.Unavailable},
		"stale":                    {decidedAgo(time.Hour), nil, codes.Unavailable},
		"one role of two":          {forget, map[string]string{"metric": PredictedTTFTSeconds, "role": "", "target": "1"}, codes.Unavailable},
		"mode Auto":                {func(p *v1alpha1.PDAutoscaler) { p.Spec.Mode = v1alpha1.ModeAuto }, nil, codes.FailedPrecondition},
		"no such resource":         {func(*v1alpha1.PDAutoscaler) {}, map[string]string{"pdautoscaler": "none"}, codes.NotFound},
		"LastSafe repeats a count": {func(p *v1alpha1.PDAutoscaler) { forget(p); p.Spec.Metrics.WhenUnknown = v1alpha1.UnknownLastSafe }, nil, codes.OK},
		"LastSafe repeats no load": {func(p *v1alpha1.PDAutoscaler) { forget(p); p.Spec.Metrics.WhenUnknown = v1alpha1.UnknownLastSafe }, map[string]string{"metric": PrefillComputeLoad, "target": "1"}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newKEDAWorld(t, plan(tc.edit))
			object := ref(tc.metadata)
			values, err := w.client.GetMetrics(t.Context(), &externalscaler.GetMetricsRequest{ScaledObjectRef: object, MetricName: object.ScalerMetadata["metric"]})
			if status.Code(err) != tc.code {
				t.Errorf("%v (%v), want %s", values, err, tc.code)
			}
			active, err := w.client.IsActive(t.Context(), object)
			if err == nil && !active.GetResult() {
				t.Error("what is not known was said to be inactive")
			}
			if _, err := w.client.GetMetricSpec(t.Context(), object); err != nil {
				t.Errorf("the spec: %v", err)
			}
		})
	}
}

// A stream says at once what is known, nothing while it is not, and each change once.
func TestKEDAStream(t *testing.T) {
	w := newKEDAWorld(t, plan(forget))
	stream, err := w.client.StreamIsActive(t.Context(), ref(nil))
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan bool)
	go func() {
		defer close(received)
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			received <- response.GetResult()
		}
	}()
	next := func(want bool) {
		t.Helper()
		select {
		case got, open := <-received:
			if !open || got != want {
				t.Fatalf("the stream says %t (open: %t), want %t", got, open, want)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("the stream says nothing")
		}
	}
	replicas := func(n int32) func(*v1alpha1.PDAutoscaler) {
		return func(p *v1alpha1.PDAutoscaler) {
			p.Status.Roles.Prefill.Desired, p.Status.Roles.Prefill.DemandMilliRequestsPerSecond = n, new(int64(1000))
		}
	}
	w.change(replicas(3))
	next(true)
	w.change(replicas(4)) // as active as before
	w.change(forget)      // not known, and so nothing is said
	w.change(replicas(0)) // no spec of today asks for that
	next(false)
	w.change(replicas(1))
	next(true)

	if _, err := w.client.StreamIsActive(t.Context(), ref(map[string]string{"role": "none"})); err == nil {
		// the error of a stream comes with its first message
		bad, _ := w.client.StreamIsActive(t.Context(), ref(map[string]string{"role": "none"}))
		if _, err := bad.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a stream of a role that there is none of: %v", err)
		}
	}
}

// The numbers of the fields are KEDA's and must stay.
func TestKEDAContract(t *testing.T) {
	file := externalscaler.File_externalscaler_proto
	if file.Package() != "externalscaler" {
		t.Errorf("the package is %s", file.Package())
	}
	methods := map[protoreflect.Name]string{
		"IsActive": "ScaledObjectRef IsActiveResponse", "StreamIsActive": "ScaledObjectRef stream IsActiveResponse",
		"GetMetricSpec": "ScaledObjectRef GetMetricSpecResponse", "GetMetrics": "GetMetricsRequest GetMetricsResponse",
	}
	service := file.Services().ByName("ExternalScaler")
	for name, want := range methods {
		m := service.Methods().ByName(name)
		if m == nil {
			t.Fatalf("no method %s", name)
		}
		got := string(m.Input().Name()) + " "
		if m.IsStreamingServer() {
			got += "stream "
		}
		if got += string(m.Output().Name()); got != want || m.IsStreamingClient() {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for message, fields := range map[protoreflect.Name]map[protoreflect.Name]struct {
		number protoreflect.FieldNumber
		kind   protoreflect.Kind
		list   bool
	}{
		"ScaledObjectRef":       {"name": {1, protoreflect.StringKind, false}, "namespace": {2, protoreflect.StringKind, false}, "scalerMetadata": {3, protoreflect.MessageKind, false}},
		"IsActiveResponse":      {"result": {1, protoreflect.BoolKind, false}},
		"GetMetricSpecResponse": {"metricSpecs": {1, protoreflect.MessageKind, true}},
		"MetricSpec":            {"metricName": {1, protoreflect.StringKind, false}, "targetSize": {2, protoreflect.Int64Kind, false}, "targetSizeFloat": {3, protoreflect.DoubleKind, false}},
		"GetMetricsRequest":     {"scaledObjectRef": {1, protoreflect.MessageKind, false}, "metricName": {2, protoreflect.StringKind, false}},
		"GetMetricsResponse":    {"metricValues": {1, protoreflect.MessageKind, true}},
		"MetricValue":           {"metricName": {1, protoreflect.StringKind, false}, "metricValue": {2, protoreflect.Int64Kind, false}, "metricValueFloat": {3, protoreflect.DoubleKind, false}},
	} {
		descriptor := file.Messages().ByName(message)
		if descriptor == nil || descriptor.Fields().Len() != len(fields) {
			t.Fatalf("%s: %v", message, descriptor)
		}
		for name, want := range fields {
			f := descriptor.Fields().ByName(name)
			if f == nil || f.Number() != want.number || f.Kind() != want.kind || f.IsList() != want.list {
				t.Errorf("%s.%s: %v, want %+v", message, name, f, want)
			}
		}
	}
}

// certificateDir holds a self-signed certificate, which is its own authority.
func certificateDir(t *testing.T, host string) (dir string, cert []byte) {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, content := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, cert
}

// With a ca.crt only those are answered whom it signed; certificates that were
// renewed count from the next connection on.
func TestKEDATLS(t *testing.T) {
	w := newKEDAWorld(t, plan())
	dir, serverCert := certificateDir(t, "scaler")
	address := w.serve(ScalerOptions{Address: "127.0.0.1:0", CertDir: dir})
	trust := func(cert []byte) *tls.Config {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(cert)
		return &tls.Config{RootCAs: pool, ServerName: "scaler", MinVersion: tls.VersionTLS12}
	}
	ask := func(c credentials.TransportCredentials) error {
		_, err := dial(t, address, c).IsActive(t.Context(), ref(nil))
		return err
	}
	if err := ask(credentials.NewTLS(trust(serverCert))); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	if err := ask(insecure.NewCredentials()); err == nil {
		t.Error("plain text was answered")
	}

	clientDir, clientCert := clientCertificate(t)
	if err := os.WriteFile(filepath.Join(dir, caFile), clientCert, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ask(credentials.NewTLS(trust(serverCert))); err == nil {
		t.Error("a client without a certificate was answered")
	}
	mutual := trust(serverCert)
	pair, err := tls.LoadX509KeyPair(filepath.Join(clientDir, certFile), filepath.Join(clientDir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	mutual.Certificates = []tls.Certificate{pair}
	if err := ask(credentials.NewTLS(mutual)); err != nil {
		t.Errorf("a client with its certificate: %v", err)
	}

	// Whoever replaces the file may take it away first.
	if err := os.Remove(filepath.Join(dir, caFile)); err != nil {
		t.Fatal(err)
	}
	if err := ask(credentials.NewTLS(trust(serverCert))); err == nil {
		t.Error("a client without a certificate was answered while the ca.crt was away")
	}
	write(t, filepath.Join(dir, caFile), clientCert)
	if err := ask(credentials.NewTLS(mutual)); err != nil {
		t.Errorf("a client with its certificate, after the ca.crt came back: %v", err)
	}
}

// Whoever connects and says nothing does not keep the server from stopping for
// longer than a manager waits.
func TestKEDAStopsBesideASilentPeer(t *testing.T) {
	server, err := NewScalerServer(ScalerOptions{Address: "127.0.0.1:0"}, newKEDAWorld(t, plan()).plans)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	silent, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The server takes connections in order: once one after it is answered, the silent one is taken as well.
	if _, err := dial(t, server.Addr().String(), insecure.NewCredentials()).IsActive(t.Context(), ref(nil)); err != nil {
		t.Fatal(err)
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(4 * helloWithin):
		t.Errorf("the server still waits %s after it was to stop", 4*helloWithin)
	}
}

// The sample's trigger is one that is understood.
func TestKEDASample(t *testing.T) {
	text, err := os.ReadFile("../../config/samples/keda/scaledobject.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, second, found := strings.Cut(string(text), "\n---\n")
	var object struct {
		Metadata struct{ Name, Namespace string }
		Spec     struct {
			Triggers []struct{ Metadata map[string]string }
		}
	}
	if err := yaml.Unmarshal([]byte(second), &object); err != nil || !found || len(object.Spec.Triggers) != 1 {
		t.Fatalf("%+v (%v)", object, err)
	}
	got, err := readTrigger(&externalscaler.ScaledObjectRef{Name: object.Metadata.Name, Namespace: object.Metadata.Namespace, ScalerMetadata: object.Spec.Triggers[0].Metadata})
	if err != nil || got.key.Name != "dynamo-pd-keda" || got.role != RolePrefill || got.metric.Name != DesiredReplicas || got.target != 1 {
		t.Errorf("%+v (%v)", got, err)
	}
}
