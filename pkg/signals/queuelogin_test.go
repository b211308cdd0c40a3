package signals

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// authority makes certificates for loopback.
type authority struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	own *x509.Certificate
	pem []byte
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	var der []byte
	a.key, der = a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	var err error
	if a.own, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) issue(template *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.own, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// certificate returns a certificate of 127.0.0.1 and its key, in PEM.
func (a *authority) certificate(usage x509.ExtKeyUsage) (certificate, key []byte) {
	a.t.Helper()
	private, der := a.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"queue.example"}, ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature})
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// serverTLS is what a server shows and, with clients, asks for.
func (a *authority) serverTLS(clients bool) *tls.Config {
	a.t.Helper()
	certificate, key := a.certificate(x509.ExtKeyUsageServerAuth)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients {
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		c.ClientCAs.AddCert(a.own)
	}
	return c
}

// pair is a pair of keys and its public half.
func pair(t testing.TB, kind nkeys.PrefixByte) (nkeys.KeyPair, string, []byte) {
	t.Helper()
	p, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	public, err1 := p.PublicKey()
	seed, err2 := p.Seed()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return p, public, seed
}

// withJWT makes a server trust an operator, and returns the credentials of a user of one account.
func withJWT(t testing.TB, o *server.Options) (creds []byte) {
	t.Helper()
	operator, operatorKey, _ := pair(t, nkeys.PrefixByteOperator)
	account, accountKey, _ := pair(t, nkeys.PrefixByteAccount)
	_, systemKey, _ := pair(t, nkeys.PrefixByteAccount)
	_, userKey, userSeed := pair(t, nkeys.PrefixByteUser)
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(userKey).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	systemJWT, err := jwt.NewAccountClaims(systemKey).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	o.TrustedKeys, o.SystemAccount = []string{operatorKey}, systemKey
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountKey, accountJWT); err != nil {
		t.Fatal(err)
	}
	if err := resolver.Store(systemKey, systemJWT); err != nil {
		t.Fatal(err)
	}
	o.AccountResolver = resolver
	creds, err = jwt.FormatUserConfig(userJWT, userSeed)
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// Every way to log in reaches the queue, and without it the queue is unknown.
func TestWaysToLogInToNATS(t *testing.T) {
	ca := newAuthority(t)
	clientCert, clientKey := ca.certificate(x509.ExtKeyUsageClientAuth)
	_, userKey, userSeed := pair(t, nkeys.PrefixByteUser)
	var creds []byte
	for name, c := range map[string]struct {
		server func(o *server.Options)
		login  func(n *NATSConfig)
		// without is what is said where the login is left out.
		without string
	}{
		"user and password": {func(o *server.Options) { o.Username, o.Password = "u", "p" }, func(n *NATSConfig) { n.User, n.Password = "u", "p" }, "Authorization"},
		"token":             {func(o *server.Options) { o.Authorization = "t0ken" }, func(n *NATSConfig) { n.Token = "t0ken" }, "Authorization"},
		"NKey": {func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: userKey}} },
			func(n *NATSConfig) { n.NKeySeed = append(userSeed, '\n') }, "Authorization"},
		"credentials": {func(o *server.Options) { creds = withJWT(t, o) }, func(n *NATSConfig) { n.Credentials = creds }, "Authorization"},
		"TLS": {func(o *server.Options) { o.TLS, o.TLSConfig = true, ca.serverTLS(false) },
			func(n *NATSConfig) { n.TLS.CA = ca.pem }, "certificate"},
		"TLS with our certificate": {func(o *server.Options) { o.TLS, o.TLSVerify, o.TLSConfig = true, true, ca.serverTLS(true) },
			func(n *NATSConfig) { n.TLS = TLSConfig{CA: ca.pem, Certificate: clientCert, Key: clientKey} }, "certificate"},
		"TLS under another name": {func(o *server.Options) { o.TLS, o.TLSConfig = true, ca.serverTLS(false) },
			func(n *NATSConfig) { n.TLS = TLSConfig{CA: ca.pem, ServerName: "queue.example"} }, "certificate"},
		"TLS and NKey": {func(o *server.Options) {
			o.TLS, o.TLSConfig, o.Nkeys = true, ca.serverTLS(false), []*server.NkeyUser{{Nkey: userKey}}
		}, func(n *NATSConfig) { n.TLS.CA, n.NKeySeed = ca.pem, userSeed }, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startNATS(t, c.server)
			cfg := natsConfig("nats://" + s.Addr().String())
			r := newRig(t, cfg)
			got := r.collect().PrefillWaiting
			wantUnknown(t, "prefill waiting without it", got, "not connected")
			if !strings.Contains(got.Why, c.without) {
				t.Errorf("without it: %q, want %q in it", got.Why, c.without)
			}
			c.login(cfg.NATS)
			// The queue does not exist: the server said so, so the login was good.
			wantUnknown(t, "prefill waiting", newRig(t, cfg).collect().PrefillWaiting, "NATS has no stream")
		})
	}
}

// What cannot be a credential is refused before anything is connected, and not repeated.
func TestNATSLoginRefuses(t *testing.T) {
	_, _, accountSeed := pair(t, nkeys.PrefixByteAccount)
	for name, c := range map[string]struct {
		login func(n *NATSConfig)
		want  string
	}{
		"seed":                {func(n *NATSConfig) { n.NKeySeed = []byte("SUAsecret") }, "must begin with SU"},
		"credentials":         {func(n *NATSConfig) { n.Credentials = []byte("secret") }, "must be the content of a .creds file"},
		"CA":                  {func(n *NATSConfig) { n.TLS.CA = []byte("secret") }, "must be PEM"},
		"key alone":           {func(n *NATSConfig) { n.TLS.Key = []byte("secret") }, "cannot be used"},
		"user in the address": {func(n *NATSConfig) { n.URL = "nats://secret:x@host:4222" }, "they belong in a Secret"},
		"two ways":            {func(n *NATSConfig) { n.NKeySeed, n.Token = accountSeed, "secret" }, "2 ways to log in"},
		"monitoring":          {func(n *NATSConfig) { n.Monitoring = "http://secret@host:8222" }, "they belong in a Secret"},
		"an alternative":      {func(n *NATSConfig) { n.Alternatives = []string{"a.b"} }, `stream "a.b" must not`},
	} {
		t.Run(name, func(t *testing.T) {
			n := &NATSConfig{URL: "nats://host:4222", Stream: stream, Consumer: consumer}
			c.login(n)
			err := n.check()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want %q in it and no secret", err, c.want)
			}
		})
	}
}

func TestDynamoQueueNames(t *testing.T) {
	for namespace, want := range map[string]string{"dynamo": "dynamo_prefill_queue", "team/a": "team_a_prefill_queue", `a\b`: "a_b_prefill_queue"} {
		if got, worker := DynamoQueue(namespace); got != want || worker != "worker-group" {
			t.Errorf("%s: %s/%s, want %s/worker-group", namespace, got, worker, want)
		}
	}
	if got := strings.Join(OlderQueues("Qwen/Qwen3-32B"), " "); got != "prefill_queue Qwen_Qwen3-32B" {
		t.Errorf("older queues: %s", got)
	}
}
