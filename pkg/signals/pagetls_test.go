package signals

import (
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// guarded serves a pod's page over TLS to those with a token or a certificate.
func guarded(t *testing.T, p *fakePod, ca *authority, clients bool, token string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		p.ServeHTTP(w, r)
	}))
	server.TLS = ca.serverTLS(clients)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of hand-shakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	p.target.URL = server.URL + "/metrics"
}

// A page behind TLS is read by whoever checks its certificate and shows what it
// asks for, and is silent, with the cause, to everyone else.
func TestPagesBehindTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	certificate, key := ca.certificate(x509.ExtKeyUsageClientAuth)
	for name, c := range map[string]struct {
		clients bool
		token   string
		config  PageConfig
		refused string
	}{
		"its authority":             {config: PageConfig{TLS: TLSConfig{CA: ca.pem}}},
		"another authority":         {config: PageConfig{TLS: TLSConfig{CA: other.pem}}, refused: "certificate"},
		"the system's authorities":  {refused: "certificate"},
		"under another name":        {config: PageConfig{TLS: TLSConfig{CA: ca.pem, ServerName: "pod.example"}}, refused: "pod.example"},
		"unchecked":                 {config: PageConfig{TLS: TLSConfig{InsecureSkipVerify: true}}},
		"our certificate":           {clients: true, config: PageConfig{TLS: TLSConfig{CA: ca.pem, Certificate: certificate, Key: key}}},
		"without our certificate":   {clients: true, config: PageConfig{TLS: TLSConfig{CA: ca.pem}}, refused: "certificate"},
		"our token":                 {token: "t0ken", config: PageConfig{BearerToken: "t0ken", TLS: TLSConfig{CA: ca.pem}}},
		"another token":             {token: "t0ken", config: PageConfig{BearerToken: "n0ken", TLS: TLSConfig{CA: ca.pem}}, refused: "401"},
		"a token for the exporters": {token: "t0ken", config: PageConfig{TLS: TLSConfig{CA: ca.pem}}, refused: "401"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Pods: c.config, Exporters: PageConfig{BearerToken: "t0ken", TLS: TLSConfig{CA: ca.pem}}})
			p := r.pod(KindDecode, "d")
			p.set(worker(5, 7, 2)...)
			guarded(t, p, ca, c.clients, c.token)
			s := r.collect()
			got := r.report(p)
			if c.refused == "" {
				wantKnown(t, "running", s.DecodeRunning, 7)
				return
			}
			wantUnknown(t, "running", s.DecodeRunning, c.refused)
			if got.OK || s.DecodeSilent != 1 || strings.Contains(got.Error, "ken\"") {
				t.Errorf("%d silent, report = %+v", s.DecodeSilent, got)
			}
		})
	}
}

// Exporters are asked with what is theirs, and not with what is the pods'.
func TestExportersBehindTLS(t *testing.T) {
	ca := newAuthority(t)
	r := newRig(t, Config{Engine: "vllm", Pods: PageConfig{BearerToken: "pods", TLS: TLSConfig{CA: ca.pem}},
		Exporters: PageConfig{BearerToken: "exporters", TLS: TLSConfig{CA: ca.pem}}})
	d, e := r.pod(KindDecode, "d"), r.pod(KindExporter, "e")
	d.set(worker(5, 7, 2)...)
	e.set("# TYPE DCGM_FI_PROF_DRAM_ACTIVE gauge", `DCGM_FI_PROF_DRAM_ACTIVE{gpu="0",UUID="GPU-0",namespace="default",pod="d"} 0.7`)
	guarded(t, d, ca, false, "pods")
	guarded(t, e, ca, false, "exporters")
	s := r.collect()
	wantKnown(t, "running", s.DecodeRunning, 7)
	wantKnown(t, "DRAM activity", s.DecodeDRAMActive, 0.7)
}

// A token never goes out in the clear, nor after a redirect.
func TestTokenOfPagesStaysBehindTLS(t *testing.T) {
	ca := newAuthority(t)
	heard := make(chan string, 9)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header.Get("Authorization") }))
	defer plain.Close()
	r := newRig(t, Config{Pods: PageConfig{BearerToken: "t0ken", TLS: TLSConfig{CA: ca.pem}}})
	p := r.pod(KindDecode, "d")
	p.target.URL = plain.URL + "/metrics"
	r.collect()
	redirecting := httptest.NewUnstartedServer(http.RedirectHandler(plain.URL+"/metrics", http.StatusFound))
	redirecting.TLS = ca.serverTLS(false)
	redirecting.StartTLS()
	defer redirecting.Close()
	p.target.URL = redirecting.URL + "/metrics"
	s := r.collect()
	wantUnknown(t, "running", s.DecodeRunning, "302")
	if len(heard) != 1 {
		t.Errorf("the page in the clear was asked %d times, want once", len(heard))
	}
	if got := <-heard; got != "" {
		t.Errorf("the page in the clear was asked with %q, want no token", got)
	}
}

func TestPageConfigThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"a token for whoever answers": {Config{Pods: PageConfig{BearerToken: "t0ken", TLS: TLSConfig{InsecureSkipVerify: true}}}, "signals: pods: a bearer token is sent only to a server whose certificate is checked"},
		"a line break in the token":   {Config{Exporters: PageConfig{BearerToken: "t0ken\nx"}}, "signals: exporters: the bearer token holds a line break"},
		"no certificate":              {Config{Pods: PageConfig{TLS: TLSConfig{CA: []byte("t0ken")}}}, "signals: pods: the CA holds no certificate"},
		"a key alone":                 {Config{Exporters: PageConfig{TLS: TLSConfig{Key: []byte("t0ken")}}}, "signals: exporters: the client certificate and its key cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Engine, c.config.TTFTPercentile, c.config.TPOTPercentile = "vllm", 0.9, 0.9
			_, err := New(c.config)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "t0ken") {
				t.Errorf("error = %v, want %q", err, c.want)
			}
		})
	}
}
