package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/test/certfake"
)

// authority is one whose clients can be made.
type authority struct {
	*certfake.Authority
	t *testing.T
}

func newAuthority(t *testing.T) *authority { return &authority{certfake.New(t), t} }

// client trusts the authority, and shows a certificate of those files where they are given.
func (a *authority) client(files ...string) *http.Client {
	a.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(a.Certificate)
	if len(files) > 0 {
		pair, err := tls.LoadX509KeyPair(a.File(files[0]), a.File(files[1]))
		if err != nil {
			a.t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// start serves a view over TLS and returns its address.
func start(t *testing.T, files TLS) string {
	t.Helper()
	config, err := files.Config()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	handler, err := newRig().Handler(files.ClientCAFile != "", log)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, tls.NewListener(listener, config), handler, log) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + listener.Addr().String()
}

// get returns the status of a page and the name on the server's certificate.
func get(t *testing.T, client *http.Client, url string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func TestClientsWithAndWithoutCertificate(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	ours.Issue("tls.crt", "tls.key", "agent")
	ours.Issue("client.crt", "client.key", "prometheus")
	other.Issue("client.crt", "client.key", "stranger")
	url := start(t, TLS{CertFile: ours.File("tls.crt"), KeyFile: ours.File("tls.key"), ClientCAFile: ours.File("ca.crt")})

	if code, name, err := get(t, ours.client("client.crt", "client.key"), url+"/metrics"); code != 200 || name != "agent" {
		t.Errorf("with a certificate: %d from %q, %v", code, name, err)
	}
	if code, _, err := get(t, ours.client(), url+"/metrics"); code != 403 {
		t.Errorf("without: %d, %v", code, err)
	}
	if code, _, err := get(t, ours.client(), url+"/healthz"); code != 200 {
		t.Errorf("the kubelet's probe: %d, %v", code, err)
	}
	stranger := ours.client()
	pair, err := tls.LoadX509KeyPair(other.File("client.crt"), other.File("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	// It is shown although the server asked for others.
	stranger.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	if code, _, err := get(t, stranger, url+"/metrics"); err == nil {
		t.Errorf("with a stranger's certificate: %d", code)
	}
}

// A certificate is renewed while the agent runs; half a file leaves the former in use.
func TestCertificateIsRenewed(t *testing.T) {
	ours := newAuthority(t)
	ours.Issue("tls.crt", "tls.key", "first")
	url := start(t, TLS{CertFile: ours.File("tls.crt"), KeyFile: ours.File("tls.key")})
	want := func(name string) {
		t.Helper()
		if code, got, err := get(t, ours.client(), url+"/metrics"); code != 200 || got != name {
			t.Errorf("%d from %q, %v; want %q", code, got, err, name)
		}
	}
	later := func(seconds int, names ...string) {
		t.Helper()
		for _, name := range names {
			at := time.Now().Add(time.Duration(seconds) * time.Second)
			if err := os.Chtimes(ours.File(name), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("first")
	if err := os.WriteFile(ours.File("tls.crt"), []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	later(10, "tls.crt")
	want("first")
	ours.Issue("tls.crt", "tls.key", "second")
	later(20, "tls.crt", "tls.key")
	want("second")
}

func TestWrongTLSFiles(t *testing.T) {
	ours := newAuthority(t)
	ours.Issue("tls.crt", "tls.key", "agent")
	crt, key := ours.File("tls.crt"), ours.File("tls.key")
	for name, c := range map[string]struct {
		files TLS
		says  string
	}{
		"no key":             {TLS{CertFile: crt}, "both a certificate and its key"},
		"no certificate":     {TLS{KeyFile: key}, "both a certificate and its key"},
		"authority alone":    {TLS{ClientCAFile: crt}, "both a certificate and its key"},
		"not there":          {TLS{CertFile: crt + "x", KeyFile: key}, "cannot be used"},
		"another's key":      {TLS{CertFile: crt, KeyFile: ours.File("ca.key")}, "cannot be used"},
		"no such authority":  {TLS{CertFile: crt, KeyFile: key, ClientCAFile: crt + "x"}, "cannot be read"},
		"a key as authority": {TLS{CertFile: crt, KeyFile: key, ClientCAFile: key}, "holds no certificate"},
	} {
		if _, err := c.files.Config(); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if config, err := (TLS{}).Config(); config != nil || err != nil {
		t.Errorf("no files: %v, %v", config, err)
	}
}
