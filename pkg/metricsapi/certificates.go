package metricsapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	certutil "k8s.io/client-go/util/cert"
)

// The files of a certificate directory, named as in a Secret of type kubernetes.io/tls.
const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
	caFile   = "ca.crt"
)

// selfMade returns a new certificate for a server that has none, with its key,
// both PEM. It is another one after every start and on every replica, so that
// nobody can be given it to trust: an APIService in front of it needs
// insecureSkipTLSVerify.
func selfMade(host string) (cert, key []byte, err error) {
	cert, key, err = certutil.GenerateSelfSignedCertKey(host, nil, []string{"localhost"})
	if err != nil {
		return nil, nil, fmt.Errorf("no serving certificate could be made: %w", err)
	}
	return cert, key, nil
}

// checkCertDir refuses a directory without a usable certificate and key.
func checkCertDir(flag, dir string) error {
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile)); err != nil {
		return fmt.Errorf("%s is %s: want %s and %s in it, a certificate and its key in PEM: %w", flag, dir, certFile, keyFile, err)
	}
	return nil
}

// dirTLS serves what a directory holds at the time of each connection, so that a
// renewed certificate needs no restart. Where the directory has a ca.crt, a
// client must show a certificate that it signed. One that was there and is gone
// may be in the middle of being replaced: until it is back nobody is answered,
// for otherwise everybody would be.
func dirTLS(dir string) (*tls.Config, error) {
	var known atomic.Bool // whose clients are answered was said once
	load := func() (*tls.Config, error) {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
		if err != nil {
			return nil, err
		}
		c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
		ca, err := os.ReadFile(filepath.Join(dir, caFile))
		if errors.Is(err, os.ErrNotExist) && !known.Load() {
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", filepath.Join(dir, caFile))
		}
		known.Store(true)
		return c, nil
	}
	first, err := load()
	if err != nil {
		return nil, err
	}
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return load() }
	return first, nil
}
