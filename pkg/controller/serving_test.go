package controller

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	certutil "k8s.io/client-go/util/cert"

	"github.com/pdautoscaler/pdautoscaler/test/ports"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// certificateIn writes a new certificate and key into a directory, each in one go, and returns its serial number.
func certificateIn(t *testing.T, dir string) string {
	t.Helper()
	cert, key, err := certutil.GenerateSelfSignedCertKey("page.example", nil, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{keyFile: key, certFile: cert} {
		next := filepath.Join(dir, name+".next")
		if err := errors.Join(os.WriteFile(next, content, 0o600), os.Rename(next, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	block, _ := pem.Decode(cert)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.SerialNumber.String()
}

// shown is the serial number of the certificate that a port shows, and what is agreed to be spoken.
func shown(address string, config *tls.Config) (serial, protocol string, err error) {
	config.InsecureSkipVerify = true
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	return state.PeerCertificates[0].SerialNumber.String(), state.NegotiatedProtocol, nil
}

// Every port is behind TLS and the API server's word: who is not known, or may not get a path, gets nothing of it. A renewed
// certificate is served without a restart.
func TestServedPortsAskTheAPIServer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rbgfake.Example{})
	c.demand(1, 500, 100)
	dir := t.TempDir()
	first := certificateIn(t, dir)
	held := ports.ForTest(t, 2)
	metrics, page := held.Address(0), held.Address(1)
	c.manage(Options{MetricsAddress: metrics, MetricsCertDir: dir, PageAddress: page, PageCertDir: dir})
	reader, viewer, stranger := c.token("reader", true), c.tokenWith("viewer", "pdautoscaler-page-reader", "/page/"), c.token("stranger", false)
	c.eventually("the ports", func() error {
		_, _, err := c.get(metrics, "/metrics", "")
		_, _, pageErr := c.get(page, "/page/", "")
		return errors.Join(err, pageErr)
	})
	for _, at := range []struct {
		address, path string
		want          map[string]int // by token
	}{
		{metrics, "/metrics", map[string]int{"": 401, stranger: 403, viewer: 403, reader: 200}},
		{metrics, DecisionsPath + c.namespace + "/none", map[string]int{"": 401, stranger: 403, viewer: 403, reader: 404}},
		{page, "/page/", map[string]int{"": 401, stranger: 403, reader: 403, viewer: 200}},
		{page, "/page/" + c.namespace + "/none", map[string]int{"": 401, stranger: 403, reader: 403, viewer: 404}},
		{page, "/metrics", map[string]int{"": 401, stranger: 403, viewer: 403}},
	} {
		for token, want := range at.want {
			if code, body, err := c.get(at.address, at.path, token); err != nil || code != want {
				t.Errorf("%s is answered with %d (%v), want %d: %.200s", at.path, code, err, want, body)
			}
		}
		if code, _, err := c.get(at.address, at.path, "not-a-token"); err != nil || code < 400 {
			t.Errorf("%s: a token that nobody gave is answered with %d (%v)", at.path, code, err)
		}
	}
	c.checkSignIn(page, viewer)

	for _, address := range []string{metrics, page} {
		if serial, protocol, err := shown(address, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil || serial != first || protocol != "http/1.1" {
			t.Errorf("%s shows the certificate %s and speaks %q (%v), want %s and http/1.1", address, serial, protocol, err, first)
		}
		if _, _, err := shown(address, &tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
			t.Errorf("%s speaks TLS 1.1", address)
		}
		if response, err := http.Get("http://" + address + "/page/"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				t.Errorf("%s answers without TLS", address)
			}
		}
	}
	second := certificateIn(t, dir)
	for _, address := range []string{metrics, page} {
		c.eventually("the renewed certificate", func() error {
			serial, _, err := shown(address, &tls.Config{})
			if err == nil && serial != second {
				err = fmt.Errorf("%s shows %s, want %s", address, serial, second)
			}
			return err
		})
	}
}

// checkSignIn comes in as a browser does: by a form, and then by a cookie.
func (c *cluster) checkSignIn(address, token string) {
	t := c.t
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path string, form string, cookies ...*http.Cookie) (code int, body string, set []*http.Cookie) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+address+path, strings.NewReader(form))
		c.must(err)
		r.Header.Set("Accept", "text/html")
		if form != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for _, cookie := range cookies {
			r.AddCookie(cookie)
		}
		response, err := client.Do(r)
		c.must(err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		c.must(err)
		return response.StatusCode, string(text), response.Cookies()
	}
	if code, body, _ := ask("GET", "/page/", ""); code != 401 || !strings.Contains(body, `action="/page/sign-in"`) {
		t.Errorf("a browser is answered with %d: %.200s", code, body)
	}
	code, _, set := ask("POST", "/page/sign-in", "token="+token)
	if code != http.StatusSeeOther || len(set) != 1 {
		t.Fatalf("signing in is answered with %d and %v", code, set)
	}
	if code, body, _ := ask("GET", "/page/", "", set[0]); code != 200 || !strings.Contains(body, "<h1>PDAutoscalers</h1>") {
		t.Errorf("who has signed in is answered with %d: %.200s", code, body)
	}
	if code, body, _ := ask("GET", "/page/", "", &http.Cookie{Name: set[0].Name, Value: "old"}); code != 401 || !strings.Contains(body, "may have expired") {
		t.Errorf("an old token is answered with %d: %.200s", code, body)
	}
}
