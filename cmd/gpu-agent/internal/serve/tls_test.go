package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t      *testing.T
	folder string
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, folder: t.TempDir()}
	a.cert, a.key = a.issue("ca.crt", "ca.key", "authority")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.folder, name) }

// issue writes a certificate and its key to files.
func (a *authority) issue(certFile, keyFile, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(name), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// client trusts the authority, and shows a certificate of those files where they are given.
func (a *authority) client(files ...string) *http.Client {
	a.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AddCert(a.cert)
	if len(files) > 0 {
		pair, err := tls.LoadX509KeyPair(a.file(files[0]), a.file(files[1]))
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
	ours.issue("tls.crt", "tls.key", "agent")
	ours.issue("client.crt", "client.key", "prometheus")
	other.issue("client.crt", "client.key", "stranger")
	url := start(t, TLS{CertFile: ours.file("tls.crt"), KeyFile: ours.file("tls.key"), ClientCAFile: ours.file("ca.crt")})

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
	pair, err := tls.LoadX509KeyPair(other.file("client.crt"), other.file("client.key"))
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
	ours.issue("tls.crt", "tls.key", "first")
	url := start(t, TLS{CertFile: ours.file("tls.crt"), KeyFile: ours.file("tls.key")})
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
			if err := os.Chtimes(ours.file(name), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("first")
	if err := os.WriteFile(ours.file("tls.crt"), []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	later(10, "tls.crt")
	want("first")
	ours.issue("tls.crt", "tls.key", "second")
	later(20, "tls.crt", "tls.key")
	want("second")
}

func TestWrongTLSFiles(t *testing.T) {
	ours := newAuthority(t)
	ours.issue("tls.crt", "tls.key", "agent")
	crt, key := ours.file("tls.crt"), ours.file("tls.key")
	for name, c := range map[string]struct {
		files TLS
		says  string
	}{
		"no key":             {TLS{CertFile: crt}, "both a certificate and its key"},
		"no certificate":     {TLS{KeyFile: key}, "both a certificate and its key"},
		"authority alone":    {TLS{ClientCAFile: crt}, "both a certificate and its key"},
		"not there":          {TLS{CertFile: crt + "x", KeyFile: key}, "cannot be used"},
		"another's key":      {TLS{CertFile: crt, KeyFile: ours.file("ca.key")}, "cannot be used"},
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
