package controller

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/signals"
)

// collectorConfig says what to read of the service, with the credentials that
// its Secrets hold. The error is one sentence: what is missing or not allowed, and where.
func (c *Reconciler) collectorConfig(ctx context.Context, r *round) (signals.Config, error) {
	s := &r.pda.Spec.Signals
	secrets := &secretReader{ctx: ctx, reader: c.live, store: &r.svc.secrets, namespace: r.pda.Namespace, now: r.now, named: map[string]bool{}}
	config := signalsConfig(r.pda)
	config.Pods = pageOf(secrets, &s.Direct.PageAccess, r.pda.Namespace)
	if s.DCGM != nil {
		config.Exporters = pageOf(secrets, &s.DCGM.PageAccess, s.DCGM.Namespace)
	}
	var urls []string
	if p := s.Prometheus; p != nil {
		host := signals.HostOf(p.URL)
		config.Prometheus = &signals.PrometheusConfig{
			URL: p.URL, Headers: p.Headers, TLS: tlsOf(secrets, p.TLS, host), BearerToken: secrets.text(p.BearerToken, host),
			PodLabel: p.PodLabel, NamespaceLabel: p.NamespaceLabel, Matchers: p.Matchers, GPUs: s.DCGM != nil, Timeout: p.Timeout.Duration,
		}
		if p.BasicAuth != nil {
			config.Prometheus.User, config.Prometheus.Password = secrets.text(&p.BasicAuth.Username, host), secrets.text(&p.BasicAuth.Password, host)
		}
		urls = append(urls, p.URL)
	}
	if n := s.NATS; n != nil {
		completeNATS(config.NATS, n, r.pda.Spec.Model.ServedName, secrets)
		urls = append(urls, strings.Split(n.URL, ",")...)
		if n.Monitoring != "" {
			urls = append(urls, n.Monitoring)
		}
	}
	if e := s.Etcd; e != nil {
		var hosts []string
		for _, endpoint := range e.Endpoints {
			hosts = append(hosts, signals.HostOf(endpoint))
		}
		config.Etcd = &signals.EtcdConfig{Endpoints: e.Endpoints, PrefillPrefix: e.PrefillPrefix, DecodePrefix: e.DecodePrefix, TLS: tlsOf(secrets, e.TLS, hosts...)}
		if e.BasicAuth != nil {
			config.Etcd.User, config.Etcd.Password = secrets.text(&e.BasicAuth.Username, hosts...), secrets.text(&e.BasicAuth.Password, hosts...)
		}
		urls = append(urls, e.Endpoints...)
	}
	if err := secrets.done(); err != nil {
		return config, err
	}
	return config, c.signalHosts.check(urls)
}

// completeNATS adds what the resource says besides the address and the names.
func completeNATS(config *signals.NATSConfig, n *v1alpha1.NATSSignals, model string, secrets *secretReader) {
	var hosts []string
	for address := range strings.SplitSeq(n.URL, ",") {
		hosts = append(hosts, signals.HostOf(strings.TrimSpace(address)))
	}
	if n.DynamoNamespace != "" {
		config.Stream, config.Consumer = signals.DynamoQueue(n.DynamoNamespace)
	}
	if n.Detect {
		config.Alternatives = signals.OlderQueues(model)
	}
	config.Monitoring = n.Monitoring
	config.TLS = tlsOf(secrets, n.TLS, hosts...)
	if a := n.Auth; a != nil {
		config.User, config.Password = secrets.text(a.Username, hosts...), secrets.text(a.Password, hosts...)
		config.Token, config.Credentials = secrets.text(a.Token, hosts...), secrets.value(a.Credentials, hosts...)
		config.NKeySeed = secrets.value(a.NKey, hosts...)
	}
}

// tlsOf reads certificates and a key.
func tlsOf(secrets *secretReader, t *v1alpha1.TLS, hosts ...string) signals.TLSConfig {
	if t == nil {
		return signals.TLSConfig{}
	}
	return signals.TLSConfig{
		// An authority is no secret; it may go anywhere.
		CA: secrets.value(t.CA), Certificate: secrets.value(t.Certificate, hosts...), Key: secrets.value(t.Key, hosts...), ServerName: t.ServerName,
	}
}

// podsOf is how a Secret lists the pods of a namespace as where it may be sent.
func podsOf(namespace string) string { return "pods." + namespace }

// pageOf reads what the metrics pages of a namespace's pods are asked for with.
func pageOf(secrets *secretReader, a *v1alpha1.PageAccess, namespace string) signals.PageConfig {
	page := signals.PageConfig{BearerToken: secrets.text(a.BearerToken, podsOf(namespace))}
	if a.TLS != nil {
		page.TLS = tlsOf(secrets, &a.TLS.TLS, podsOf(namespace))
		page.TLS.InsecureSkipVerify = a.TLS.InsecureSkipVerify
	}
	return page
}

// withPaths gives the pages of the workers the path that the resource or the engine says.
func withPaths(pda *v1alpha1.PDAutoscaler, targets []signals.Target) []signals.Target {
	for i := range targets {
		t := &targets[i]
		where := v1alpha1.FrontendPath
		if t.Kind == signals.KindPrefill || t.Kind == signals.KindDecode {
			where = pda.Spec.Signals.WorkerPath()
		}
		if u, err := url.Parse(t.URL); err == nil && u.Path != where {
			u.Path = where
			t.URL = u.String()
		}
	}
	return targets
}

// hostPatterns are the hosts that signals may be read from, besides the
// service's own pods; none is any. A pattern is a name with * for a part of it, and
// a port or none: "*.monitoring.svc:9090", "10.0.0.7".
type hostPatterns []string

// check refuses an address whose host no pattern allows.
func (h hostPatterns) check(urls []string) error {
	if len(h) == 0 {
		return nil
	}
	for _, address := range urls {
		host := signals.HostOf(strings.TrimSpace(address))
		if !h.allow(host) {
			return fmt.Errorf("signals may not be read from %s: the controller's flag --signal-hosts allows %s", host, strings.Join(h, ", "))
		}
	}
	return nil
}

func (h hostPatterns) allow(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return false // no host at all
	}
	for _, pattern := range h {
		for _, what := range []string{host, name} {
			if ok, err := path.Match(strings.ToLower(pattern), what); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// checkHostPatterns refuses patterns that match nothing.
func checkHostPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" || strings.Contains(p, "/") {
			return fmt.Errorf("the signal host %q is not valid: it must be a host, with * for a part of it, and a port or none", p)
		}
	}
	return nil
}
