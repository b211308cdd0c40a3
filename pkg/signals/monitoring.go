package signals

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Each server's monitoring page shows consumers as that server sees them. Only
// the consumer's leader knows its state; of a follower the page says 0 or what
// was true long ago. So a page is believed only where the server that shows it is the
// leader that the page itself names; a single server names none.

// maxMonitoringBytes bounds one page.
const maxMonitoringBytes = 32 << 20

// newMonitor follows no redirect and uses no proxy. Nothing of the credentials
// goes there: the page needs none, or cannot be read.
func newMonitor(cfg *NATSConfig) *http.Client {
	transport := &http.Transport{IdleConnTimeout: 2 * time.Minute}
	if cfg.Monitoring != "" {
		transport.TLSClientConfig, _ = cfg.TLS.config() // check has looked at it
	}
	return &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// jetStreamPage is what is read of /jsz.
type jetStreamPage struct {
	Disabled bool `json:"disabled"`
	Accounts []struct {
		Name    string `json:"name"`
		Streams []struct {
			Name      string          `json:"name"`
			Consumers []consumerState `json:"consumer_detail"`
		} `json:"stream_detail"`
	} `json:"account_details"`
}

// consumerState is a consumer on the page.
type consumerState struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Cluster *struct {
		Leader string `json:"leader"`
	} `json:"cluster"`
	Delivered struct {
		Consumer uint64 `json:"consumer_seq"`
	} `json:"delivered"`
	NumAckPending int    `json:"num_ack_pending"`
	NumPending    uint64 `json:"num_pending"`
}

// askMonitoring reads the consumer's state from the monitoring page.
func (q *queue) askMonitoring(ctx context.Context) (*answer, error) {
	var server struct {
		Name string `json:"server_name"`
	}
	if err := q.getMonitoring(ctx, "/varz", nil, &server); err != nil {
		return nil, err
	}
	account := q.cfg.Account
	if account == "" {
		account = "$G"
	}
	var page jetStreamPage
	if err := q.getMonitoring(ctx, "/jsz", url.Values{"acc": {account}, "consumers": {"true"}, "config": {"true"}}, &page); err != nil {
		return nil, err
	}
	if page.Disabled {
		return nil, errors.New("JetStream is not enabled on it")
	}
	for _, name := range append([]string{q.cfg.Stream}, q.cfg.Alternatives...) {
		if c := page.consumer(account, name, q.cfg.Consumer); c != nil {
			if c.Cluster != nil && c.Cluster.Leader != server.Name {
				return nil, fmt.Errorf("the server %s does not lead the consumer (%s does), so that what it shows may be old",
					server.Name, cmp.Or(c.Cluster.Leader, "none that it knows of"))
			}
			return &answer{stream: name, monitored: true, info: &jetstream.ConsumerInfo{
				Created: c.Created, NumPending: c.NumPending, NumAckPending: c.NumAckPending,
				Delivered: jetstream.SequenceInfo{Consumer: c.Delivered.Consumer},
			}}, nil
		}
	}
	return nil, fmt.Errorf("the page shows no consumer %q of stream %q: %w", q.cfg.Consumer, q.cfg.Stream, errNoQueue)
}

// consumer finds one consumer on the page, nil where it is not there.
func (p *jetStreamPage) consumer(account, stream, consumer string) *consumerState {
	for i := range p.Accounts {
		for j := range p.Accounts[i].Streams {
			s := &p.Accounts[i].Streams[j]
			for k := range s.Consumers {
				if p.Accounts[i].Name == account && s.Name == stream && s.Consumers[k].Name == consumer {
					return &s.Consumers[k]
				}
			}
		}
	}
	return nil
}

func (q *queue) getMonitoring(ctx context.Context, path string, query url.Values, into any) error {
	address := strings.TrimSuffix(q.cfg.Monitoring, "/") + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("the address is not valid")
	}
	resp, err := q.monitor.Do(req)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errors.New("it did not answer in time")
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s, 200 is needed", path, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMonitoringBytes)).Decode(into); err != nil {
		return fmt.Errorf("%s is not the page of a NATS server: %w", path, err)
	}
	return nil
}
