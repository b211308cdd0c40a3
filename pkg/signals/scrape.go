package signals

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// PageConfig says how pages behind TLS are asked for. What it holds is shown to
// addresses with https alone.
type PageConfig struct {
	// TLS says how the pods' certificates are checked. These rarely hold the
	// addresses that pods are asked at: ServerName is then what they do hold.
	TLS TLSConfig
	// BearerToken is sent with every request, and only to a server whose certificate was checked.
	BearerToken string
}

// check says what is wrong, without a credential in the message.
func (p *PageConfig) check() error {
	switch {
	case !headerText.MatchString(p.BearerToken):
		return errors.New("the bearer token holds a line break or another character that no header can carry")
	case p.BearerToken != "" && p.TLS.InsecureSkipVerify:
		return errors.New("a bearer token is sent only to a server whose certificate is checked: give its CA instead of skipping the check")
	}
	return nil
}

// scraper reads metrics pages straight from pods.
type scraper struct {
	pods, exporters *pageClient
	timeout         time.Duration
	maxBytes        int64
}

// pageClient asks for the pages of one sort of pods.
type pageClient struct {
	http  *http.Client
	token string
	// shared: the connections are not this client's alone.
	shared bool
}

func newScraper(cfg Config) (*scraper, error) {
	pods, err := newPageClient(&cfg.Pods)
	if err != nil {
		return nil, fmt.Errorf("signals: pods: %w", err)
	}
	exporters, err := newPageClient(&cfg.Exporters)
	if err != nil {
		return nil, fmt.Errorf("signals: exporters: %w", err)
	}
	return &scraper{pods: pods, exporters: exporters, timeout: cfg.Timeout, maxBytes: cfg.MaxBodyBytes}, nil
}

// newPageClient uses no proxy and follows no redirect: a pod is asked itself, or not at all.
func newPageClient(cfg *PageConfig) (*pageClient, error) {
	secure, err := cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	c := &pageClient{token: cfg.BearerToken, shared: secure == nil}
	transport := plainPages
	if !c.shared {
		transport = pageTransport(secure)
	}
	c.http = &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// mostIdle bounds the connections that wait for the next collection. One costs
// some 25 kB, and opening it anew next to nothing: with thousands of pods, most
// are closed before they are used again.
const mostIdle = 512

// plainPages carries the pages of all collectors that need nothing of their own.
var plainPages = pageTransport(nil)

func pageTransport(secure *tls.Config) *http.Transport {
	return &http.Transport{
		MaxIdleConns:        mostIdle,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     2 * time.Minute,
		WriteBufferSize:     1 << 10,
		TLSClientConfig:     secure,
	}
}

// read gets and parses the page of a target within the scraper's timeout.
func (s *scraper) read(ctx context.Context, t *Target, wanted map[string]bool) (page, error) {
	client, url := s.pods, t.URL
	if t.Kind == KindExporter {
		client = s.exporters
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	p, err := s.get(ctx, client, url, wanted)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return page{}, fmt.Errorf("%s did not answer in full within %v", url, s.timeout)
	}
	if err != nil {
		return page{}, fmt.Errorf("%s: %w", url, err)
	}
	return p, nil
}

func (s *scraper) get(ctx context.Context, c *pageClient, url string, wanted map[string]bool) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return page{}, errors.New("the address is not valid: it must be like http://10.1.2.3:8000/metrics")
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5")
	req.Header.Set("User-Agent", "pdautoscaler")
	if c.token != "" && req.URL.Scheme == "https" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped := errors.Unwrap(err); wrapped != nil {
			err = wrapped // the address is in the message already
		}
		return page{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("answered %s, 200 is needed", resp.Status)
	}
	return parsePage(resp.Body, resp.Header.Get("Content-Type"), wanted, s.maxBytes)
}

func (s *scraper) close() {
	for _, c := range []*pageClient{s.pods, s.exporters} {
		if !c.shared {
			c.http.CloseIdleConnections()
		}
	}
}
