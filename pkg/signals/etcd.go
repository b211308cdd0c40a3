package signals

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// EtcdConfig says where workers register themselves. It is a cross-check: what
// is registered is compared with the pods that are ready, and nothing else depends on it.
type EtcdConfig struct {
	// Endpoints are http(s) addresses. No others are asked, whatever members they tell of.
	Endpoints []string
	// PrefillPrefix and DecodePrefix are what the keys of a role's workers begin
	// with: "instances/dynamo/PrefillWorker/" of a Dynamo of 2025.
	PrefillPrefix, DecodePrefix string
	User, Password              string
	TLS                         TLSConfig
}

func (c *EtcdConfig) check() error {
	if len(c.Endpoints) == 0 || c.PrefillPrefix == "" || c.DecodePrefix == "" {
		return errors.New("signals: etcd needs an endpoint, and a prefix of prefill's and of decode's keys")
	}
	if strings.HasPrefix(c.PrefillPrefix, c.DecodePrefix) || strings.HasPrefix(c.DecodePrefix, c.PrefillPrefix) {
		return fmt.Errorf("signals: of the etcd prefixes %q and %q one begins with the other: a worker would count for both roles", c.PrefillPrefix, c.DecodePrefix)
	}
	for _, e := range c.Endpoints {
		if err := CheckURL(e); err != nil {
			return fmt.Errorf("signals: etcd: %w", err)
		}
	}
	if _, err := c.TLS.config(); err != nil {
		return fmt.Errorf("signals: etcd: %w", err)
	}
	return nil
}

// registry reads which workers are registered.
type registry struct {
	cfg     EtcdConfig
	timeout time.Duration
	client  *clientv3.Client

	// prefill and decode are what the latest collection found.
	prefill, decode planner.Reading
	err             error
	readAt          time.Time
}

func newRegistry(cfg *EtcdConfig, timeout time.Duration) *registry {
	none := planner.Unknown("etcd was not read yet")
	return &registry{cfg: *cfg, timeout: timeout, prefill: none, decode: none}
}

// read counts the registered workers of both roles.
func (r *registry) read(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	r.err = nil
	if err := r.connect(); err != nil {
		r.fail(err)
		return
	}
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { r.prefill, errs[0] = r.count(ctx, r.cfg.PrefillPrefix, now) })
	both.Go(func() { r.decode, errs[1] = r.count(ctx, r.cfg.DecodePrefix, now) })
	both.Wait()
	if err := errors.Join(errs[0], errs[1]); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("etcd did not answer within %v", r.timeout)
		}
		r.fail(err)
		return
	}
	r.readAt = now
}

func (r *registry) fail(err error) {
	r.err = err
	r.prefill, r.decode = planner.Unknown(err.Error()), planner.Unknown(err.Error())
}

// connect makes the client. It reaches for a server only when it is first
// asked, except to log in.
func (r *registry) connect() error {
	if r.client != nil {
		return nil
	}
	secured, err := r.cfg.TLS.config()
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: r.cfg.Endpoints, DialTimeout: r.timeout, TLS: secured, Username: r.cfg.User, Password: r.cfg.Password, Logger: zap.NewNop(),
	})
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	r.client = client
	return nil
}

// maxRegistered bounds the keys of one role.
const maxRegistered = 20000

// count returns how many workers hold a lease under a prefix. A worker registers
// each of its endpoints, all under the one lease that ends with it. A key
// without a lease stays when its worker dies: it says nothing.
func (r *registry) count(ctx context.Context, prefix string, now time.Time) (planner.Reading, error) {
	// With keys only, etcd 3.7 leaves the leases out.
	got, err := r.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithLimit(maxRegistered))
	if err != nil {
		return planner.Reading{}, fmt.Errorf("etcd: %w", err)
	}
	if got.More {
		return planner.Unknown(fmt.Sprintf("etcd has over %d keys under %q", maxRegistered, prefix)), nil
	}
	leases, lasting := map[int64]bool{}, 0
	for _, kv := range got.Kvs {
		if kv.Lease == 0 {
			lasting++
			continue
		}
		leases[kv.Lease] = true
	}
	if len(leases) == 0 && lasting > 0 {
		return planner.Unknown(fmt.Sprintf("the %d keys of etcd under %q have no lease, so that they outlive their workers", lasting, prefix)), nil
	}
	return reading(float64(len(leases)), now, "etcd "+prefix), nil
}

// compare says where the registered workers are not the ready pods; empty where they are.
func (r *registry) compare(listed []*pod) string {
	var notes []string
	for _, role := range []struct {
		kind       Kind
		registered planner.Reading
	}{{KindPrefill, r.prefill}, {KindDecode, r.decode}} {
		ready := 0
		for _, p := range of(listed, role.kind) {
			if p.target.Ready {
				ready++
			}
		}
		switch n := int(role.registered.Or(0)); {
		case !role.registered.Ok():
			notes = append(notes, role.registered.Why)
		case n < ready:
			notes = append(notes, fmt.Sprintf("%s ready and %d registered: %d take no requests", count(ready, role.kind), n, ready-n))
		case n > ready:
			notes = append(notes, fmt.Sprintf("%s ready and %d registered: some are not ready, or are no pods of this service", count(ready, role.kind), n))
		}
	}
	return join(notes)
}

// report says how etcd did, and what the comparison shows.
func (r *registry) report(listed []*pod, now time.Time) SourceReport {
	out := SourceReport{Source: "etcd " + strings.Join(r.cfg.Endpoints, ","), Kind: KindEtcd, OK: r.err == nil}
	if r.err != nil {
		out.Error = r.err.Error()
	} else {
		out.Detail = fmt.Sprintf("%.0f prefill and %.0f decode workers are registered", r.prefill.Or(0), r.decode.Or(0))
		out.Degraded = r.compare(listed)
	}
	if !r.readAt.IsZero() {
		out.Age = max(0, now.Sub(r.readAt))
	}
	return out
}

func (r *registry) close() {
	if r.client != nil {
		r.client.Close()
	}
}
