package signals

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// promClient asks one Prometheus, or what speaks its HTTP API (Thanos,
// VictoriaMetrics, Mimir). It holds the credentials of one service and sends
// them to the host of its own address only: it follows no redirect and uses no proxy.
type promClient struct {
	cfg     *PrometheusConfig
	http    *http.Client
	timeout time.Duration
}

// maxAnswerBytes bounds one answer: a thousand pods with all their histograms are about 60 MB.
const maxAnswerBytes = 256 << 20

func newPromClient(cfg *PrometheusConfig, timeout time.Duration) (*promClient, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 2 * time.Minute, ForceAttemptHTTP2: true}
	var err error
	if transport.TLSClientConfig, err = cfg.TLS.config(); err != nil {
		return nil, fmt.Errorf("signals: prometheus: %w", err)
	}
	return &promClient{cfg: cfg, timeout: timeout, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// promAnswer is the answer to one query.
type promAnswer struct {
	series []promSeries
	// at is the server's time of the answer, zero where it does not say.
	at time.Time
	// partial is why the answer may lack series; empty where it is whole.
	partial string
}

// promSeries is one series with its samples, oldest first.
type promSeries struct {
	Metric map[string]string `json:"metric"`
	Values []promValue       `json:"values"`
	// Histograms are the samples of a native histogram.
	Histograms []promHistogram `json:"histograms"`
}

// query asks one instant query that selects a range. The answer has raw samples
// with their own times: nothing is looked back for or extrapolated.
func (c *promClient) query(ctx context.Context, query string) (*promAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answer, err := c.ask(ctx, http.MethodPost, query)
	if errors.Is(err, errMethod) { // a proxy that lets only GET through
		answer, err = c.ask(ctx, http.MethodGet, query)
	}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not answer in full within %v", c.cfg.URL, c.timeout)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.cfg.URL, err)
	}
	return answer, nil
}

// errMethod: the server does not take queries in this way.
var errMethod = errors.New("the server takes no query by this method")

func (c *promClient) ask(ctx context.Context, method, query string) (*promAnswer, error) {
	address := strings.TrimSuffix(c.cfg.URL, "/") + "/api/v1/query"
	form := url.Values{"query": {query}, "timeout": {fmt.Sprintf("%dms", c.timeout.Milliseconds())}}.Encode()
	var body io.Reader
	if method == http.MethodGet {
		address += "?" + form
	} else {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, errors.New("the address is not valid")
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", "pdautoscaler")
	c.cfg.authorize(req)
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped := errors.Unwrap(err); wrapped != nil {
			err = wrapped // the address is in the message already
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented {
		return nil, errMethod
	}
	answer, err := decodeAnswer(&io.LimitedReader{R: resp.Body, N: maxAnswerBytes}, resp)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		answer.at = date
	}
	return answer, nil
}

// decodeAnswer reads the envelope of the API.
func decodeAnswer(body *io.LimitedReader, resp *http.Response) (*promAnswer, error) {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return nil, fmt.Errorf("answered %s: redirects are not followed, so that credentials go to no other host; set the address it redirects to", resp.Status)
	}
	var got struct {
		Status    string   `json:"status"`
		ErrorType string   `json:"errorType"`
		Error     string   `json:"error"`
		Warnings  []string `json:"warnings"`
		// VictoriaMetrics says it in this way.
		IsPartial bool `json:"isPartial"`
		Data      struct {
			ResultType string       `json:"resultType"`
			Result     []promSeries `json:"result"`
		} `json:"data"`
	}
	err := json.NewDecoder(body).Decode(&got)
	switch {
	case body.N <= 0:
		return nil, fmt.Errorf("the answer is larger than %d bytes", int64(maxAnswerBytes))
	case got.Error != "":
		return nil, fmt.Errorf("answered %.200s: %.500s", got.ErrorType, got.Error)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answered %s, 200 is needed", resp.Status)
	case err != nil:
		return nil, fmt.Errorf("the answer is not that of a Prometheus: %w", err)
	case got.Status != "success":
		return nil, fmt.Errorf("the answer is not that of a Prometheus: its status is %.80q", got.Status)
	case got.Data.ResultType != "matrix":
		return nil, fmt.Errorf("the answer holds a %.80q where samples over time, a matrix, are needed", got.Data.ResultType)
	}
	answer := &promAnswer{series: got.Data.Result}
	for i := range answer.series { // all do so, and nobody promises it
		s := &answer.series[i]
		slices.SortStableFunc(s.Values, func(a, b promValue) int { return a.at.Compare(b.at) })
		slices.SortStableFunc(s.Histograms, func(a, b promHistogram) int { return a.at.Compare(b.at) })
	}
	switch {
	case len(got.Warnings) > 0:
		answer.partial = fmt.Sprintf("%.500s", strings.Join(got.Warnings, "; "))
	case got.IsPartial:
		answer.partial = "the answer is marked as partial"
	}
	return answer, nil
}

// authorize adds the credentials and the tenant to a request.
func (c *PrometheusConfig) authorize(req *http.Request) {
	switch {
	case c.BearerToken != "":
		req.Header.Set("Authorization", "Bearer "+c.BearerToken)
	case c.User != "" || c.Password != "":
		req.SetBasicAuth(c.User, c.Password)
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
}

func (c *promClient) close() { c.http.CloseIdleConnections() }

// TLSConfig says how a server's certificate is checked, and which one of our
// own is shown to it. The certificates and the key are PEM.
type TLSConfig struct {
	// CA are the authorities that the server's certificate must come from; empty is the system's.
	CA []byte
	// Certificate and Key are shown to servers that ask for them.
	Certificate, Key []byte
	// ServerName is the name in the server's certificate, where it is not the host of the address.
	ServerName string
	// InsecureSkipVerify takes any certificate. Only the pages of pods offer it.
	InsecureSkipVerify bool
}

// config returns nil where nothing is set.
func (t *TLSConfig) config() (*tls.Config, error) {
	if len(t.CA) == 0 && len(t.Certificate) == 0 && len(t.Key) == 0 && t.ServerName == "" && !t.InsecureSkipVerify {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify} //nolint:gosec // a person asked for it, for pods without an authority
	if len(bytes.TrimSpace(t.CA)) > 0 {
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("the CA holds no certificate: it must be PEM, -----BEGIN CERTIFICATE-----")
		}
	}
	if len(t.Certificate) > 0 || len(t.Key) > 0 {
		pair, err := tls.X509KeyPair(t.Certificate, t.Key)
		if err != nil {
			// The message of the library never holds the key itself.
			return nil, fmt.Errorf("the client certificate and its key cannot be used: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
