package signals

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// PrometheusConfig says which Prometheus has the pods' metrics, and how its
// series name a pod. It replaces the reading of the pods themselves; the queue is still asked itself.
type PrometheusConfig struct {
	// URL is the address before /api/v1, http or https, without user, query or fragment.
	URL string

	// At most one of bearer token and user with password is used.
	BearerToken string
	User        string
	Password    string
	// Headers are added to every query, such as X-Scope-OrgID. They may not be
	// those that carry credentials or make up the request itself.
	Headers map[string]string
	TLS     TLSConfig

	// PodLabel and NamespaceLabel name the labels of the pod that a series is of.
	// Defaults: pod and namespace.
	PodLabel       string
	NamespaceLabel string
	// Matchers are further labels that every series must have, such as the
	// cluster where one Prometheus holds several.
	Matchers map[string]string

	// GPUs asks for the series of dcgm-exporter too.
	GPUs bool
	// Timeout of one query; 0 is Config.Timeout.
	Timeout time.Duration
}

var (
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	headerText = regexp.MustCompile(`^[ -~]*$`)
)

// refusedHeaders are those that a resource may not set: credentials have fields
// of their own, and the others would change what is asked of whom.
var refusedHeaders = []string{"Authorization", "Proxy-Authorization", "Cookie", "Host", "Content-Length", "Content-Type",
	"Connection", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "User-Agent"}

// withDefaults fills gaps, or says what is wrong. No message repeats a credential.
func (c PrometheusConfig) withDefaults() (*PrometheusConfig, error) {
	if err := CheckURL(c.URL); err != nil {
		return nil, fmt.Errorf("signals: prometheus: %w", err)
	}
	if c.BearerToken != "" && (c.User != "" || c.Password != "") {
		return nil, fmt.Errorf("signals: prometheus has a bearer token and a user: give one of them")
	}
	for _, secret := range []string{c.BearerToken, c.User, c.Password} {
		if !headerText.MatchString(secret) {
			return nil, fmt.Errorf("signals: a credential of prometheus holds a line break or another character that no header can carry")
		}
	}
	if strings.Contains(c.User, ":") {
		return nil, fmt.Errorf("signals: the user of prometheus holds a colon, which basic authentication cannot carry")
	}
	for name, value := range c.Headers {
		if !headerName.MatchString(name) || !headerText.MatchString(value) {
			return nil, fmt.Errorf("signals: the header %.80q of prometheus or its value is not one that HTTP can carry", name)
		}
		if slices.Contains(refusedHeaders, http.CanonicalHeaderKey(name)) {
			return nil, fmt.Errorf("signals: the header %s of prometheus may not be set: credentials have fields of their own", name)
		}
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("signals: the timeout of prometheus is %v: it must be over 0, or 0 for that of the other sources", c.Timeout)
	}
	if c.PodLabel == "" {
		c.PodLabel = "pod"
	}
	if c.NamespaceLabel == "" {
		c.NamespaceLabel = "namespace"
	}
	for _, name := range append(slices.Sorted(maps.Keys(c.Matchers)), c.PodLabel, c.NamespaceLabel) {
		if !labelName.MatchString(name) {
			return nil, fmt.Errorf("signals: %.80q is no label of prometheus: letters, digits and _ are allowed", name)
		}
	}
	return &c, nil
}

// CheckURL says what is wrong with the address of a Prometheus. The address is
// not repeated, because it may hold what should not be there.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("the address is not valid: it must be like http://prometheus.monitoring:9090")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the address begins with %.20q: it must begin with http:// or https://", u.Scheme)
	case u.User != nil:
		return fmt.Errorf("the address holds a user or a password: they belong in a Secret")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(address, "#"):
		return fmt.Errorf("the address has a query or a fragment: only a path is allowed after the host")
	}
	return nil
}

// HostOf returns the host and port of an address, the scheme's port where it names none.
func HostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
