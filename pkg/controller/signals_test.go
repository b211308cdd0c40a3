package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// secretsReader is an API server with Secrets only.
type secretsReader struct {
	client.Reader
	secrets map[string]*corev1.Secret
	err     error
	asked   int
}

func (r *secretsReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	r.asked++
	if r.err != nil {
		return r.err
	}
	s := r.secrets[key.String()]
	if s == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	s.DeepCopyInto(into.(*corev1.Secret))
	return nil
}

func secret(namespace, name string, hosts string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	if hosts != "" {
		s.Annotations = map[string]string{v1alpha1.SecretHostsAnnotation: hosts}
	}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

// configOf is what the collector of a resource is made with.
func configOf(pda *v1alpha1.PDAutoscaler, reader *secretsReader, hosts ...string) (signals.Config, error) {
	c := &Reconciler{live: reader, signalHosts: hosts}
	return c.collectorConfig(context.Background(), &round{pda: pda, svc: &service{}, now: start})
}

func ref(name, key string) *v1alpha1.SecretKeyReference {
	return &v1alpha1.SecretKeyReference{Name: name, Key: key}
}

func TestCollectorConfigHasTheCredentials(t *testing.T) {
	reader := &secretsReader{secrets: map[string]*corev1.Secret{
		"default/prom": secret("default", "prom", "prometheus.monitoring:9090, other:1", map[string]string{"token": "abc\n", "user": "me", "password": "pw", "ca": "CA", "crt": "CRT", "key": "KEY"}),
		"default/nats": secret("default", "nats", "", map[string]string{"creds": "CREDS\n"}),
		"default/etcd": secret("default", "etcd", "etcd:2379", map[string]string{"user": "me", "password": "pw"}),
	}}
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Model.ServedName = "qwen"
		p.Spec.Signals.DCGM = &v1alpha1.DCGMSignals{}
		p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: "http://prometheus.monitoring:9090/p", BearerToken: ref("prom", "token"),
			Headers: map[string]string{"X-Scope-OrgID": "a"}, TLS: &v1alpha1.TLS{CA: ref("prom", "ca"), Certificate: ref("prom", "crt"), Key: ref("prom", "key"), ServerName: "n"},
			Matchers: map[string]string{"cluster": "c"}}
		p.Spec.Signals.NATS = &v1alpha1.NATSSignals{URL: "tls://nats:4222", DynamoNamespace: "team", Detect: true, Monitoring: "http://nats:8222",
			Auth: &v1alpha1.NATSAuth{Credentials: ref("nats", "creds")}}
		p.Spec.Signals.Etcd = &v1alpha1.EtcdSignals{Endpoints: []string{"http://etcd:2379"}, PrefillPrefix: "a/", DecodePrefix: "b/",
			BasicAuth: &v1alpha1.BasicAuth{Username: *ref("etcd", "user"), Password: *ref("etcd", "password")}}
		p.Default()
	})
	got, err := configOf(pda, reader)
	if err != nil {
		t.Fatal(err)
	}
	want := &signals.PrometheusConfig{URL: "http://prometheus.monitoring:9090/p", BearerToken: "abc", Headers: map[string]string{"X-Scope-OrgID": "a"},
		TLS: signals.TLSConfig{CA: []byte("CA"), Certificate: []byte("CRT"), Key: []byte("KEY"), ServerName: "n"}, Matchers: map[string]string{"cluster": "c"},
		PodLabel: "pod", NamespaceLabel: "namespace", GPUs: true, Timeout: 4 * time.Second}
	if diff := cmp.Diff(want, got.Prometheus); diff != "" {
		t.Error(diff)
	}
	queue := &signals.NATSConfig{URL: "tls://nats:4222", Stream: "team_prefill_queue", Consumer: "worker-group", Alternatives: []string{"prefill_queue", "qwen"},
		Credentials: []byte("CREDS\n"), Monitoring: "http://nats:8222"}
	if diff := cmp.Diff(queue, got.NATS); diff != "" {
		t.Error(diff)
	}
	registry := &signals.EtcdConfig{Endpoints: []string{"http://etcd:2379"}, PrefillPrefix: "a/", DecodePrefix: "b/", User: "me", Password: "pw"}
	if diff := cmp.Diff(registry, got.Etcd); diff != "" {
		t.Error(diff)
	}
	if reader.asked != 3 {
		t.Errorf("three Secrets were read %d times", reader.asked)
	}
}

// A service's credentials go to the host that they are for, and come from its own namespace alone.
func TestCredentialsThatAreRefused(t *testing.T) {
	reader := func() *secretsReader {
		return &secretsReader{secrets: map[string]*corev1.Secret{
			"default/free":  secret("default", "free", "", map[string]string{"token": "t0ken", "empty": ""}),
			"default/bound": secret("default", "bound", "prometheus:9090", map[string]string{"token": "t0ken"}),
			"other/theirs":  secret("other", "theirs", "", map[string]string{"token": "t0ken"}),
		}}
	}
	forbidden := reader()
	forbidden.err = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "free", errors.New("no"))
	for name, c := range map[string]struct {
		url    string
		ref    *v1alpha1.SecretKeyReference
		reader *secretsReader
		hosts  []string
		want   string
	}{
		"fine":                           {url: "http://prometheus:9090", ref: ref("bound", "token")},
		"fine by pattern":                {url: "http://prometheus.monitoring.svc:9090", ref: ref("free", "token"), hosts: []string{"x:1", "*.monitoring.svc"}},
		"another host":                   {url: "http://evil:9090", ref: ref("bound", "token"), want: "the Secret default/bound may not be sent to evil:9090"},
		"another port":                   {url: "http://prometheus:9091", ref: ref("bound", "token"), want: "may not be sent to prometheus:9091"},
		"the port of the scheme":         {url: "https://prometheus", ref: ref("bound", "token"), want: "may not be sent to prometheus:443"},
		"no such Secret":                 {url: "http://prometheus:9090", ref: ref("gone", "token"), want: "the Secret default/gone does not exist"},
		"a Secret of another namespace":  {url: "http://prometheus:9090", ref: ref("theirs", "token"), want: "the Secret default/theirs does not exist"},
		"a path to another namespace":    {url: "http://prometheus:9090", ref: ref("../other/theirs", "token"), want: "does not exist"},
		"no such key":                    {url: "http://prometheus:9090", ref: ref("free", "x"), want: `has nothing under the key "x"`},
		"nothing under the key":          {url: "http://prometheus:9090", ref: ref("free", "empty"), want: `has nothing under the key "empty"`},
		"not allowed to read":            {url: "http://prometheus:9090", ref: ref("free", "token"), reader: forbidden, want: "bind the ClusterRole pdautoscaler-signal-secrets"},
		"a host that no pattern allows":  {url: "http://prometheus:9090", ref: ref("free", "token"), hosts: []string{"*.monitoring.svc"}, want: "--signal-hosts allows *.monitoring.svc"},
		"a port that no pattern allows":  {url: "http://prometheus:9091", hosts: []string{"prometheus:9090"}, want: "signals may not be read from prometheus:9091"},
		"the name inside of another one": {url: "http://prometheus.evil", hosts: []string{"prometheus"}, want: "signals may not be read from prometheus.evil:80"},
	} {
		t.Run(name, func(t *testing.T) {
			pda := example(func(p *v1alpha1.PDAutoscaler) {
				p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: c.url, BearerToken: c.ref}
			})
			if c.reader == nil {
				c.reader = reader()
			}
			_, err := configOf(pda, c.reader, c.hosts...)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error = %v, want %q in it", err, c.want)
			case err != nil && strings.Contains(err.Error(), "t0ken"):
				t.Errorf("error = %v, which shows the token", err)
			}
		})
	}
}

// Pages behind TLS are asked for with what is their own; a Secret may say whose pods it is for.
func TestPagesOfPodsBehindTLS(t *testing.T) {
	reader := &secretsReader{secrets: map[string]*corev1.Secret{
		"default/pods":      secret("default", "pods", "pods.default", map[string]string{"token": "abc\n", "ca": "CA"}),
		"default/exporters": secret("default", "exporters", "pods.gpu-operator,prometheus:9090", map[string]string{"crt": "CRT", "key": "KEY"}),
	}}
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Signals.Direct.PageAccess = v1alpha1.PageAccess{Scheme: v1alpha1.SchemeHTTPS, BearerToken: ref("pods", "token"),
			TLS: &v1alpha1.PageTLS{TLS: v1alpha1.TLS{CA: ref("pods", "ca"), ServerName: "worker"}}}
		p.Spec.Signals.DCGM = &v1alpha1.DCGMSignals{PageAccess: v1alpha1.PageAccess{Scheme: v1alpha1.SchemeHTTPS,
			TLS: &v1alpha1.PageTLS{TLS: v1alpha1.TLS{Certificate: ref("exporters", "crt"), Key: ref("exporters", "key")}, InsecureSkipVerify: true}}}
		p.Default()
	})
	got, err := configOf(pda, reader)
	if err != nil {
		t.Fatal(err)
	}
	want := signals.PageConfig{BearerToken: "abc", TLS: signals.TLSConfig{CA: []byte("CA"), ServerName: "worker"}}
	if diff := cmp.Diff(want, got.Pods); diff != "" {
		t.Error(diff)
	}
	want = signals.PageConfig{TLS: signals.TLSConfig{Certificate: []byte("CRT"), Key: []byte("KEY"), InsecureSkipVerify: true}}
	if diff := cmp.Diff(want, got.Exporters); diff != "" {
		t.Error(diff)
	}
	if url := metricsURL(pda.Spec.Signals.Direct.Scheme, "10.0.0.1", 8000); url != "https://10.0.0.1:8000/metrics" {
		t.Errorf("pods are asked at %s", url)
	}
	pda.Spec.Signals.Direct.BearerToken = ref("exporters", "key")
	if _, err := configOf(pda, reader); err == nil || !strings.Contains(err.Error(), "the Secret default/exporters may not be sent to pods.default") {
		t.Errorf("error = %v, want the exporters' Secret kept from the pods", err)
	}
}

// A Secret that the resource names no longer is not kept: it may be large, and is nobody's any more.
func TestSecretsNoLongerNamedAreDropped(t *testing.T) {
	reader := &secretsReader{secrets: map[string]*corev1.Secret{}}
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: "http://p", BearerToken: ref("", "token")}
	})
	c, svc := &Reconciler{live: reader}, &service{}
	for n := range 5 { // as tools that name a Secret by its content do at each change
		name := fmt.Sprintf("token-%d", n)
		reader.secrets["default/"+name] = secret("default", name, "", map[string]string{"token": name})
		pda.Spec.Signals.Prometheus.BearerToken.Name = name
		if _, err := c.collectorConfig(t.Context(), &round{pda: pda, svc: svc, now: start}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := svc.secrets.kept["token-4"]; !ok || len(svc.secrets.kept) != 1 {
		t.Errorf("%d Secrets are kept, want only the one that is named", len(svc.secrets.kept))
	}
}

// A Secret is read once a minute, and a renewed one is used after that; an API
// server that is away for a moment changes nothing.
func TestSecretsAreReadAgain(t *testing.T) {
	reader := &secretsReader{secrets: map[string]*corev1.Secret{"default/s": secret("default", "s", "", map[string]string{"token": "old"})}}
	pda := example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: "http://p", BearerToken: ref("s", "token")}
	})
	c, svc := &Reconciler{live: reader}, &service{}
	token := func(after time.Duration) string {
		t.Helper()
		config, err := c.collectorConfig(t.Context(), &round{pda: pda, svc: svc, now: start.Add(after)})
		if err != nil {
			t.Fatal(err)
		}
		return config.Prometheus.BearerToken
	}
	for range 5 {
		token(0)
	}
	reader.secrets["default/s"].Data["token"] = []byte("new")
	if got := token(59 * time.Second); got != "old" || reader.asked != 1 {
		t.Errorf("token %q after %d reads, want the old one and 1", got, reader.asked)
	}
	if got := token(time.Minute); got != "new" {
		t.Errorf("token %q after a minute, want the new one", got)
	}
	reader.err = errors.New("connection refused")
	if got := token(3 * time.Minute); got != "new" {
		t.Errorf("token %q while the API server is away, want the last one", got)
	}
}

func TestSignalHostPatterns(t *testing.T) {
	for pattern, want := range map[string]string{"": "not valid", "a/b": "not valid", "[": "not valid", "*.svc:9090": "", "10.0.0.7": "", "[[]::1]:9090": ""} {
		err := checkHostPatterns([]string{pattern})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestPathsOfTheWorkersPages(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(s *v1alpha1.Signals)
		want []string
	}{
		"usual":  {func(*v1alpha1.Signals) {}, []string{"http://10.0.0.1:8000/metrics", "http://10.0.0.2:8000/metrics"}},
		"trtllm": {func(s *v1alpha1.Signals) { s.Engine = v1alpha1.EngineTRTLLM }, []string{"http://10.0.0.1:8000/metrics", "http://10.0.0.2:8000/prometheus/metrics"}},
		"own":    {func(s *v1alpha1.Signals) { s.Direct.Path = "/m" }, []string{"http://10.0.0.1:8000/metrics", "http://10.0.0.2:8000/m"}},
	} {
		t.Run(name, func(t *testing.T) {
			pda := example(func(p *v1alpha1.PDAutoscaler) { c.edit(&p.Spec.Signals) })
			var got []string
			for _, target := range withPaths(pda, []signals.Target{{Kind: signals.KindFrontend, URL: metricsURL("", "10.0.0.1", 8000)}, {Kind: signals.KindDecode, URL: metricsURL("", "10.0.0.2", 8000)}}) {
				got = append(got, target.URL)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// The status sums the sources up by kind and shows the queries; what changes in
// every round is not in it.
func TestStatusOfTheSources(t *testing.T) {
	w := newWorld(t, example())
	w.service.reports = []signals.SourceReport{
		{Source: "prometheus http://p", Kind: signals.KindPrometheus, OK: true, Queries: []string{"{a}[60s]", "{b}[60s]"}},
		{Source: "decode pod d-0", Kind: signals.KindDecode, OK: true, Engine: "vllm", Names: []string{"vllm:x", "vllm:a"}, Age: time.Second},
		{Source: "decode pod d-1", Kind: signals.KindDecode, Error: "connection refused", Age: time.Minute},
		{Source: "decode pod d-2", Kind: signals.KindDecode, OK: true, Engine: "sglang", Names: []string{"sglang:y"}},
		{Source: "nats s/c", OK: true, Detail: "5 waiting"},
	}
	got := w.rounds(1).Status.Signals
	want := v1alpha1.SignalsStatus{
		Sources: []v1alpha1.SourceStatus{
			{Kind: "decode", Read: 2, Failed: 1, Engine: "sglang, vllm", Names: []string{"sglang:y", "vllm:a", "vllm:x"}, Message: "decode pod d-1: connection refused"},
			{Kind: "prometheus", Read: 1}, {Kind: "queue", Read: 1},
		},
		Queries: []string{"{a}[60s]", "{b}[60s]"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.rounds(5)
	w.log = nil
	w.service.reports[1].Age, w.service.reports[4].Detail = 9*time.Second, "7 waiting"
	w.rounds(10)
	w.wantLog()
}

// The condition on the GPUs' activity is there where GPUs are read.
func TestConditionOfTheGPUsActivity(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) { p.Spec.Signals.DCGM = &v1alpha1.DCGMSignals{}; p.Default() }))
	known := planner.Known(0.5, start, "dcgm-exporter")
	w.service.signals.PrefillTensorActive, w.service.signals.DecodeDRAMActive = known, known
	w.rounds(1)
	w.wantCondition(v1alpha1.ConditionGPUActivityKnown, metav1.ConditionTrue, "Known")

	w.service.signals.DecodeDRAMActive = planner.Unknown("no GPU exporter names a decode pod on its series")
	w.rounds(1)
	if got := w.wantCondition(v1alpha1.ConditionGPUActivityKnown, metav1.ConditionFalse, ReasonActivityUnknown); !strings.Contains(got, "names a decode pod") {
		t.Errorf("message = %q", got)
	}
	w.service.reports = []signals.SourceReport{{Kind: signals.KindExporter, OK: true, Degraded: "exporter pod x shows GPUs but no profiling fields"}}
	w.rounds(1)
	w.wantCondition(v1alpha1.ConditionGPUActivityKnown, metav1.ConditionFalse, ReasonProfilingMissing)
	w.wantCondition(v1alpha1.ConditionSignalsKnown, metav1.ConditionTrue, "Known")

	w.edit(func(p *v1alpha1.PDAutoscaler) { p.Spec.Signals.DCGM = nil })
	for _, c := range w.rounds(1).Status.Conditions {
		if c.Type == v1alpha1.ConditionGPUActivityKnown {
			t.Error("the condition stays where no GPUs are read")
		}
	}
}

// Credentials that cannot be had are said, and nothing is decided without them.
func TestMissingSecretIsSaid(t *testing.T) {
	w := newWorld(t, example(func(p *v1alpha1.PDAutoscaler) {
		p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: "http://p", BearerToken: ref("gone", "token")}
	}))
	w.rounds(1)
	if got := w.wantCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, planner.ReasonInvalidSpec); !strings.Contains(got, "spec.signals: the Secret default/gone does not exist") {
		t.Errorf("message = %q", got)
	}
}
