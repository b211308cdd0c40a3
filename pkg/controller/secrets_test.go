package controller

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/live"
)

// told is all that a world's controller has said to anyone: logs, the resource, events, metrics, decision records, the page.
func (w *world) told(log *bytes.Buffer, board *live.Board) map[string]string {
	w.t.Helper()
	out := map[string]string{"log": log.String(), "events": strings.Join(w.events, "\n")}
	status, err := json.Marshal(w.resource())
	if err != nil {
		w.t.Fatal(err)
	}
	out["resource"] = string(status)
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	var metrics bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&metrics, f); err != nil {
			w.t.Fatal(err)
		}
	}
	out["metrics"] = metrics.String()
	_, records := fetch(w.t, w, http.MethodGet, DecisionsPath+"default/qwen")
	out["records"] = string(records)
	page := httptest.NewRecorder()
	board.Handler(live.Options{}).ServeHTTP(page, httptest.NewRequestWithContext(w.t.Context(), "GET", "/page/default/qwen", nil))
	out["page"] = page.Body.String()
	return out
}

// What Secrets hold is sent to the sources that they are for and is told to nobody: not where the source does not answer, not where
// it repeats what it was sent, and not where the Secret is of no use.
func TestSecretsAreToldToNobody(t *testing.T) {
	// A source that answers every request with all that it was sent.
	var heard atomic.Bool
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		heard.Store(heard.Load() || password == "p4ssw0rd-BBBB" || r.Header.Get("Authorization") == "Bearer s3cr3t-t0k3n-AAAA")
		http.Error(w, fmt.Sprintf("%v %s %s %s", r.Header, r.URL, user, password), http.StatusForbidden)
	}))
	defer echo.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()

	const token, password, user, odd = "s3cr3t-t0k3n-AAAA", "p4ssw0rd-BBBB", "us3r-CCCC", "0dd-\x01-DDDD"
	values := map[string]string{
		"token": token, "password": password, "user": user, "odd": odd, "key": "-----BEGIN PRIVATE KEY-----\nbm90LWEta2V5LUVFRUU=\n-----END PRIVATE KEY-----\n",
		"nkey": "SUANOTANKEYFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF", "creds": "-----BEGIN NATS USER JWT-----\nGGGG.jwt.GGGG\n------END NATS USER JWT------\n",
	}
	needles := []string{"s3cr3t", "p4ssw0rd", "us3r-CCCC", "DDDD", "bm90LWEta2V5LUVFRUU", "SUANOTANKEY", "GGGG.jwt"}
	for _, v := range []string{token, password, user, user + ":" + password} {
		needles = append(needles, base64.StdEncoding.EncodeToString([]byte(v))[:12])
	}
	ref := func(key string) *v1alpha1.SecretKeyReference {
		return &v1alpha1.SecretKeyReference{Name: "all", Key: key}
	}
	prometheus := func(at string, edit func(*v1alpha1.PrometheusSignals)) func(*v1alpha1.PDAutoscaler) {
		return func(p *v1alpha1.PDAutoscaler) {
			p.Spec.Signals.Prometheus = &v1alpha1.PrometheusSignals{URL: at}
			edit(p.Spec.Signals.Prometheus)
		}
	}
	nats := func(at string, auth *v1alpha1.NATSAuth) func(*v1alpha1.PDAutoscaler) {
		return func(p *v1alpha1.PDAutoscaler) {
			p.Spec.Signals.NATS = &v1alpha1.NATSSignals{URL: "nats://" + at, Stream: "dynamo_prefill_queue", Consumer: "worker-group", Auth: auth}
		}
	}
	for name, edit := range map[string]func(*v1alpha1.PDAutoscaler){
		"a token that is echoed": prometheus(echo.URL, func(p *v1alpha1.PrometheusSignals) { p.BearerToken = ref("token") }),
		"a password that is echoed": prometheus(echo.URL, func(p *v1alpha1.PrometheusSignals) {
			p.BasicAuth = &v1alpha1.BasicAuth{Username: *ref("user"), Password: *ref("password")}
		}),
		"nobody answers":                  prometheus("http://"+nobody, func(p *v1alpha1.PrometheusSignals) { p.BearerToken = ref("token") }),
		"a token that no header can hold": prometheus(echo.URL, func(p *v1alpha1.PrometheusSignals) { p.BearerToken = ref("odd") }),
		"a key that is none": prometheus("https://"+nobody, func(p *v1alpha1.PrometheusSignals) {
			p.TLS = &v1alpha1.TLS{CA: ref("password"), Certificate: ref("token"), Key: ref("key")}
		}),
		"NATS, nobody answers":            nats(nobody, &v1alpha1.NATSAuth{Username: ref("user"), Password: ref("password")}),
		"NATS, a token":                   nats(nobody, &v1alpha1.NATSAuth{Token: ref("token")}),
		"NATS, a seed that is none":       nats(nobody, &v1alpha1.NATSAuth{NKey: ref("nkey")}),
		"NATS, credentials that are none": nats(nobody, &v1alpha1.NATSAuth{Credentials: ref("creds")}),
		"pages that echo":                 func(p *v1alpha1.PDAutoscaler) { p.Spec.Signals.Direct.BearerToken = ref("token") },
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "all"}, Data: map[string][]byte{}}
			for key, value := range values {
				secret.Data[key] = []byte(value)
			}
			w := newWorld(t, example(edit), secret)
			w.controller.newCollector = collectFromPods
			board := withPage(w)
			var log bytes.Buffer
			ctx := ctrl.LoggerInto(t.Context(), logr.FromSlogHandler(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.Level(-10)})))
			heard.Store(false)
			for range 3 {
				if _, err := w.controller.Reconcile(context.WithoutCancel(ctx), reconcile.Request{NamespacedName: w.key}); err != nil {
					t.Fatal(err)
				}
				w.pass(10e9)
			}
			if strings.HasSuffix(name, "that is echoed") && !heard.Load() {
				t.Error("the source was not sent what it is to repeat: nothing was put to the test")
			}
			said := w.told(&log, board)
			for where, text := range said {
				for _, needle := range needles {
					if i := strings.Index(text, needle); i >= 0 {
						t.Errorf("%s: %q is told: ...%s...", where, needle, text[max(0, i-120):min(len(text), i+60)])
					}
				}
			}
			// What failed is told all the same.
			if !strings.Contains(said["resource"], "SignalsKnown") || !strings.Contains(said["log"], "no decision") && !strings.Contains(said["log"], "decided") {
				t.Errorf("nothing is told of what failed: %s", said["resource"])
			}
		})
	}
}
