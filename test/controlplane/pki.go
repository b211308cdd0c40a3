package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLife is how long certificates are valid: a control plane of this package lives for minutes, at most for days.
const certificateLife = 30 * 24 * time.Hour

// A certificateAuthority signs the certificates of one control plane. It lives in memory; its key is never written.
type certificateAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// A keyPair is a certificate and its private key, both PEM.
type keyPair struct{ cert, key []byte }

func newCertificateAuthority(commonName string) (*certificateAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificateTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &certificateAuthority{cert, key, pemBlock("CERTIFICATE", der)}, nil
}

// issueClient signs a certificate with which a client is known as a user of some groups.
func (ca *certificateAuthority) issueClient(user string, groups ...string) (keyPair, error) {
	template, err := certificateTemplate(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return keyPair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return ca.issue(template)
}

// issueServer signs a certificate for a server that is reached by these names and addresses.
func (ca *certificateAuthority) issueServer(commonName string, names []string, addresses []net.IP) (keyPair, error) {
	template, err := certificateTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return keyPair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = names, addresses
	return ca.issue(template)
}

func (ca *certificateAuthority) issue(template *x509.Certificate) (keyPair, error) {
	template.KeyUsage = x509.KeyUsageDigitalSignature
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return keyPair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{pemBlock("CERTIFICATE", der), keyPEM}, nil
}

func certificateTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(certificateLife),
	}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pemBlock("EC PRIVATE KEY", der), nil
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// pki is the key material of one control plane, with the paths its files are written to.
type pki struct {
	dir        string
	cluster    *certificateAuthority // signs servers and users
	frontProxy *certificateAuthority // signs the aggregation layer's calls to extension API servers
}

// newPKI makes all keys and writes those that components read from files.
func newPKI(dir string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cluster, err := newCertificateAuthority("cluster-ca")
	if err != nil {
		return nil, err
	}
	frontProxy, err := newCertificateAuthority("front-proxy-ca")
	if err != nil {
		return nil, err
	}
	p := &pki{dir, cluster, frontProxy}
	server, err := cluster.issueServer("kube-apiserver",
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		[]net.IP{net.IPv4(127, 0, 0, 1), serviceAPIServer})
	if err != nil {
		return nil, err
	}
	proxy, err := frontProxy.issueClient(frontProxyUser)
	if err != nil {
		return nil, err
	}
	serviceAccount, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serviceAccountKey, err := encodeKey(serviceAccount)
	if err != nil {
		return nil, err
	}
	serviceAccountPub, err := x509.MarshalPKIXPublicKey(&serviceAccount.PublicKey)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"ca.crt":                 cluster.pem,
		"front-proxy-ca.crt":     frontProxy.pem,
		"apiserver.crt":          server.cert,
		"apiserver.key":          server.key,
		"front-proxy-client.crt": proxy.cert,
		"front-proxy-client.key": proxy.key,
		"service-account.key":    serviceAccountKey,
		"service-account.pub":    pemBlock("PUBLIC KEY", serviceAccountPub),
	} {
		if err := os.WriteFile(p.path(name), content, 0o600); err != nil {
			return nil, fmt.Errorf("write key material: %w", err)
		}
	}
	return p, nil
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }
