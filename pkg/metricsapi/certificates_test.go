package metricsapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clientCertificate is one that a client shows, signed by itself.
func clientCertificate(t *testing.T) (dir string, cert []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "keda"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	dir = t.TempDir()
	write(t, filepath.Join(dir, certFile), cert)
	write(t, filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	return dir, cert
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWrongCertificateDirectories(t *testing.T) {
	good, _ := certificateDir(t, "scaler")
	other, _ := certificateDir(t, "scaler")
	mixed := t.TempDir()
	for file, from := range map[string]string{certFile: good, keyFile: other} {
		content, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(mixed, file), content)
	}
	badCA, _ := certificateDir(t, "scaler")
	write(t, filepath.Join(badCA, caFile), []byte("no certificate"))
	for name, tc := range map[string]struct{ dir, says string }{
		"missing":         {filepath.Join(good, "none"), "want tls.crt and tls.key in it"},
		"empty":           {t.TempDir(), "want tls.crt and tls.key in it"},
		"another's key":   {mixed, "private key does not match"},
		"an empty ca.crt": {badCA, "holds no certificate in PEM"},
	} {
		_, err := NewScalerServer(ScalerOptions{Address: "127.0.0.1:0", CertDir: tc.dir}, nil)
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, tc.says)
		}
	}
}
