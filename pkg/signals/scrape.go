package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// scraper reads metrics pages straight from pods.
type scraper struct {
	client   *http.Client
	timeout  time.Duration
	maxBytes int64
}

// newScraper uses no proxy and follows no redirect: a pod is asked itself, or not at all.
func newScraper(cfg Config) *scraper {
	return &scraper{timeout: cfg.Timeout, maxBytes: cfg.MaxBodyBytes, client: &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 1,
			IdleConnTimeout:     2 * time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// read gets and parses one page within the scraper's timeout.
func (s *scraper) read(ctx context.Context, url string, wanted map[string]bool) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	p, err := s.get(ctx, url, wanted)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return page{}, fmt.Errorf("%s did not answer in full within %v", url, s.timeout)
	}
	if err != nil {
		return page{}, fmt.Errorf("%s: %w", url, err)
	}
	return p, nil
}

func (s *scraper) get(ctx context.Context, url string, wanted map[string]bool) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return page{}, errors.New("the address is not valid: it must be like http://10.1.2.3:8000/metrics")
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5")
	req.Header.Set("User-Agent", "pdautoscaler")
	resp, err := s.client.Do(req)
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

func (s *scraper) close() { s.client.CloseIdleConnections() }
