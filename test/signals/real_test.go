package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// oneJob scrapes one page as that of a pod.
func oneJob(address, pod, more string) string {
	return fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: pods\n%s  static_configs:\n  - targets: [%q]\n    labels: {pod: %q, namespace: default}\n",
		more, strings.TrimPrefix(address, "http://"), pod)
}

// patience is how long anything may take that takes a moment on a machine that is not busy.
const patience = 3 * time.Minute

// eventually collects until a reading is as it should be.
func eventually(t *testing.T, c *signals.Collector, targets []signals.Target, what string, holds func(s planner.Signals, reports []signals.SourceReport) bool) {
	t.Helper()
	var s planner.Signals
	var reports []signals.SourceReport
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if s, reports = c.Collect(t.Context(), targets, time.Now()); holds(s, reports) {
			return
		}
	}
	t.Fatalf("after %s still not: %s; %+v %+v", patience, what, s, reports)
}

func config(url string) signals.Config {
	return signals.Config{Engine: "dynamo-vllm", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Window: 2 * time.Second, MaxAge: 10 * time.Second,
		Prometheus: &signals.PrometheusConfig{URL: url}}
}

func target(kind signals.Kind, pod, url string) signals.Target {
	return signals.Target{Kind: kind, Namespace: "default", Pod: pod, UID: pod, URL: url + "/metrics", Ready: true}
}

// A pod that dies: its last values stay in the store and are not believed.
func TestDeadPod(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "vllm:num_requests_running 3\nvllm:kv_cache_usage_perc 0.95\n")
	}))
	p := startPrometheus(t, oneJob(pod.URL, "d", ""))
	c := collector(t, config(p.URL))
	targets := []signals.Target{target(signals.KindDecode, "d", pod.URL)}
	eventually(t, c, targets, "the pod is read", func(s planner.Signals, _ []signals.SourceReport) bool { return s.DecodeKVUseMax.Or(0) == 0.95 })
	pod.Close()
	eventually(t, c, targets, "the pod is silent and its KV use unknown", func(s planner.Signals, reports []signals.SourceReport) bool {
		return !s.DecodeKVUseMax.Ok() && s.DecodeSilent == 1 && strings.Contains(reports[1].Error, "prometheus could not read the pod")
	})
}

// Prometheus goes away: what it said is used until it is too old, and then unknown.
func TestPrometheusGoesAway(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "vllm:num_requests_running 0\n") }))
	defer pod.Close()
	p, err := StartPrometheus(t.Context(), oneJob(pod.URL, "d", ""))
	if errors.Is(err, ErrNoPrometheus) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := collector(t, config(p.URL))
	targets := []signals.Target{target(signals.KindDecode, "d", pod.URL)}
	eventually(t, c, targets, "an idle pod is a confirmed zero", func(s planner.Signals, _ []signals.SourceReport) bool {
		return s.DecodeRunning.State == planner.StateZero
	})
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	s, reports := c.Collect(t.Context(), targets, time.Now())
	if s.DecodeRunning.Ok() || reports[0].OK || !strings.Contains(reports[0].Error, "refused") {
		t.Errorf("running = %+v, report = %+v of a server that is gone", s.DecodeRunning, reports[0])
	}
}

// A native histogram goes from the exporter through the server's store into a quantile with fine bounds.
func TestNativeHistogram(t *testing.T) {
	registry := prometheus.NewRegistry()
	ttft := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "nv_llm_http_service_time_to_first_token_seconds", Help: "TTFT.", NativeHistogramBucketFactor: 1.1})
	finished := prometheus.NewCounter(prometheus.CounterOpts{Name: "nv_llm_http_service_requests_total", Help: "Requests."})
	inflight := prometheus.NewGauge(prometheus.GaugeOpts{Name: "nv_llm_http_service_inflight_requests", Help: "Requests."})
	registry.MustRegister(ttft, finished, inflight)
	pod := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer pod.Close()
	p := startPrometheus(t, oneJob(pod.URL, "f", ""), "--enable-feature=native-histograms")
	cfg := config(p.URL)
	cfg.Window = 20 * time.Second
	c := collector(t, cfg)
	targets := []signals.Target{target(signals.KindFrontend, "f", pod.URL)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(5 * time.Millisecond):
			}
			ttft.Observe(0.1 + 0.01*float64(i%100)) // 0.10 to 1.09 s, evenly
			finished.Inc()
		}
	}()
	defer func() { stop(); <-done }()
	eventually(t, c, targets, "a p90 TTFT of about 1 s in a fine bucket", func(s planner.Signals, _ []signals.SourceReport) bool {
		q := s.TTFTMs
		return q.Ok() && q.LowMs > 0 && q.HighMs/q.LowMs < 1.11 && q.LowMs < 1010 && q.HighMs > 980 && q.MeanMs > 560 && q.MeanMs < 630
	})
}

// The server asks for TLS and a password, as Prometheus' own web configuration has them.
func TestProtectedPrometheus(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "vllm:num_requests_running 3\n") }))
	defer pod.Close()
	dir := t.TempDir()
	ca, certificate, key := certificates(t)
	for name, content := range map[string][]byte{"crt.pem": certificate, "key.pem": key,
		"web.yml": []byte("tls_server_config: {cert_file: crt.pem, key_file: key.pem}\nbasic_auth_users: {reader: " + bcryptOfSecret + "}\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := startProtected(t, oneJob(pod.URL, "d", ""), ca, "--web.config.file="+filepath.Join(dir, "web.yml"))
	targets := []signals.Target{target(signals.KindDecode, "d", pod.URL)}
	cfg := config(p.URL)
	cfg.Prometheus.TLS.CA, cfg.Prometheus.User, cfg.Prometheus.Password = ca, "reader", "secret"
	eventually(t, collector(t, cfg), targets, "the pod is read with a password over TLS", func(s planner.Signals, _ []signals.SourceReport) bool {
		return s.DecodeRunning.Or(0) == 3
	})
	for what, change := range map[string]func(c *signals.PrometheusConfig){
		"401":         func(c *signals.PrometheusConfig) { c.Password = "wrong" },
		"certificate": func(c *signals.PrometheusConfig) { c.TLS.CA = nil },
	} {
		wrong := *cfg.Prometheus
		change(&wrong)
		refused := cfg
		refused.Prometheus = &wrong
		s, reports := collector(t, refused).Collect(t.Context(), targets, time.Now())
		if s.DecodeRunning.Ok() || !strings.Contains(reports[0].Error, what) {
			t.Errorf("running = %+v, report = %+v, want %q in it", s.DecodeRunning, reports[0], what)
		}
	}
}
