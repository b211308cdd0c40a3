package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLS names the files of a served port's certificates. All empty is plain HTTP.
type TLS struct {
	CertFile, KeyFile string
	// ClientCAFile holds the certificates that clients' own are checked against;
	// with it, /metrics is for those alone. The kubelet has none for its probes.
	ClientCAFile string
}

// Config returns the server's configuration, nil for plain HTTP. The files are
// read now, so that a wrong one is found at the start, and again whenever they change.
func (t TLS) Config() (*tls.Config, error) {
	switch {
	case t == TLS{}:
		return nil, nil
	case t.CertFile == "" || t.KeyFile == "":
		return nil, errors.New("TLS needs both a certificate and its key: --tls-cert and --tls-key")
	}
	loaded := &certificates{files: t}
	config, err := loaded.current(nil)
	if err != nil {
		return nil, err
	}
	outer := config.Clone()
	outer.GetConfigForClient = loaded.current
	return outer, nil
}

// certificates is the configuration made of files as they were last.
type certificates struct {
	files TLS

	mu      sync.Mutex
	changed [3]time.Time
	config  *tls.Config
}

// current returns the configuration of the files as they are now. Files that have
// become wrong, or are half written, leave the former in use.
func (c *certificates) current(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changed [3]time.Time
	for i, name := range []string{c.files.CertFile, c.files.KeyFile, c.files.ClientCAFile} {
		if info, err := os.Stat(name); name != "" && err == nil {
			changed[i] = info.ModTime()
		}
	}
	if c.config != nil && changed == c.changed {
		return c.config, nil
	}
	config, err := c.files.load()
	if err != nil {
		if c.config != nil {
			return c.config, nil // the former certificate is better than none
		}
		return nil, err
	}
	c.config, c.changed = config, changed
	return config, nil
}

func (t TLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the certificate %s with the key %s cannot be used: %w", t.CertFile, t.KeyFile, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if t.ClientCAFile == "" {
		return config, nil
	}
	text, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("the clients' certificate authority cannot be read: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the clients' certificate authority %s holds no certificate in PEM", t.ClientCAFile)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}
