//go:build cgo && linux

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
	"github.com/pdautoscaler/pdautoscaler/test/certfake"
	"github.com/pdautoscaler/pdautoscaler/test/dcgmfake"
	prometheus "github.com/pdautoscaler/pdautoscaler/test/signals"
)

// A real Prometheus scrapes the agent, as a PodMonitor and as a ServiceMonitor
// have it done, and the controller reads of the one what it reads of the other.
func TestThroughAPrometheus(t *testing.T) {
	showing(t, dcgmfake.TwoH200)
	kubelet := decodeAndPrefill(t)
	ca := certfake.New(t)
	ca.Issue("tls.crt", "tls.key", "gpu-agent")
	ca.Issue("client.crt", "client.key", "prometheus")
	for name, c := range map[string]struct {
		flags []string
		job   string
	}{
		"labels of the page renamed": {nil, ""},
		"labels of the page honoured, HTTPS with a client certificate": {
			[]string{"--names", "4.6", "--tls-cert", ca.File("tls.crt"), "--tls-key", ca.File("tls.key"), "--client-ca", ca.File("ca.crt")},
			fmt.Sprintf("  scheme: https\n  honor_labels: true\n  tls_config: {ca_file: %q, cert_file: %q, key_file: %q}\n", ca.File("ca.crt"), ca.File("client.crt"), ca.File("client.key")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, append(c.flags, "--pod-resources", kubelet.Socket())...)
			server, err := prometheus.StartPrometheus(t.Context(), fmt.Sprintf(
				"global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: gpu-agent\n%s  static_configs:\n  - targets: [%q]\n    labels: {pod: gpu-agent-x, namespace: gpu-operator, container: gpu-agent}\n",
				c.job, strings.TrimPrefix(p.url, "http://")))
			if err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			collector, err := signals.New(signals.Config{Engine: "vllm", TTFTPercentile: 0.9, TPOTPercentile: 0.9, Timeout: patience,
				Prometheus: &signals.PrometheusConfig{URL: server.URL, GPUs: true}})
			if err != nil {
				t.Fatal(err)
			}
			defer collector.Close()
			targets := []signals.Target{
				{Kind: signals.KindPrefill, Namespace: "default", Pod: "dynamo-pd-prefill-0", UID: "p", URL: "http://127.0.0.1:1/metrics", Ready: true},
				{Kind: signals.KindDecode, Namespace: "default", Pod: "dynamo-pd-decode-0", UID: "d", URL: "http://127.0.0.1:1/metrics", Ready: true},
			}
			var s planner.Signals
			var reports []signals.SourceReport
			for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				s, reports = collector.Collect(t.Context(), targets, time.Now())
				if s.PrefillTensorActive.Or(-1) == 0.77 && s.DecodeDRAMActive.Or(-1) == 0.716 {
					return
				}
			}
			t.Errorf("prefill tensor %+v, want 0.77; decode DRAM %+v, want 0.716; %+v", s.PrefillTensorActive, s.DecodeDRAMActive, reports)
		})
	}
}
