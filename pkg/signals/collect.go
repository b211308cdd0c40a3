package signals

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Collector reads one service. It keeps earlier samples per pod, so one
// Collector must see all collections of its service. It may be used by one
// goroutine at a time.
type Collector struct {
	cfg     Config
	scraper *scraper
	prom    *prometheus // nil where pods are read themselves
	queue   *queue      // nil without NATS
	etcd    *registry   // nil without etcd
	pods    map[podKey]*pod
	// lengths are the last known lengths and shares of requests.
	lengths  map[quantity]knownLengths
	readings []Reading
	// prefill and decode are what the latest collection adds to the one before.
	prefill, decode calibrate.Interval
	// activity is the mean over a role's GPUs at each collection of the window.
	activity map[quantity][]timed
	// collected is the time of the latest collection.
	collected time.Time
}

// podKey tells one metrics page from another. A pod may have several.
type podKey struct {
	kind     Kind
	uid, url string
}

func keyOfTarget(t Target) podKey {
	if t.UID == "" {
		return podKey{t.Kind, t.Namespace + "/" + t.Pod, t.URL}
	}
	return podKey{t.Kind, t.UID, t.URL}
}

// New returns a collector for one service. It waits for no source: those that
// are away are unknown until they come.
func New(cfg Config) (*Collector, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	pages, err := newScraper(cfg)
	if err != nil {
		return nil, err
	}
	c := &Collector{cfg: cfg, scraper: pages, pods: map[podKey]*pod{},
		lengths: map[quantity]knownLengths{}, activity: map[quantity][]timed{}}
	if cfg.Prometheus != nil {
		client, err := newPromClient(cfg.Prometheus, cmp.Or(cfg.Prometheus.Timeout, cfg.Timeout))
		if err != nil {
			return nil, err
		}
		c.prom = &prometheus{client: client}
	}
	if cfg.NATS != nil {
		c.queue = newQueue(cfg)
	}
	if cfg.Etcd != nil {
		c.etcd = newRegistry(cfg.Etcd, cfg.Timeout)
	}
	return c, nil
}

// Close ends the connections.
func (c *Collector) Close() {
	c.scraper.close()
	if c.prom != nil {
		c.prom.client.close()
	}
	if c.queue != nil {
		c.queue.close()
	}
	if c.etcd != nil {
		c.etcd.close()
	}
}

// Collect reads all targets and the queue at once and returns what they say of
// the window that ends now, and how each source did, in the order of the
// targets and the queue last. A source that fails is in the reports and leaves
// unknown what only it could tell; Collect itself never fails. It returns when
// every source has answered or passed its own deadline, or ctx ends.
//
// A reading's At is when its window ended: the time of the oldest among the
// newest samples it was made from.
func (c *Collector) Collect(ctx context.Context, targets []Target, now time.Time) (planner.Signals, []SourceReport) {
	if now.Before(c.collected) {
		c.clockWentBack()
	}
	c.collected = now
	listed, queueErr := c.readAll(ctx, c.list(targets), now)
	c.forgetGone(now)

	v := view{cfg: &c.cfg, now: now, queue: c.queue, queueErr: queueErr}
	v.listed = listed
	v.gone = c.gone()
	s := c.signals(&v)
	if c.prom != nil && c.prom.partial != "" {
		partly(&s, c.prom.partial)
	}
	c.readings = c.others(&v, &s)
	c.prefill, c.decode = v.intervals(&s, c.prom != nil && c.prom.partial != "")
	return s, c.reports(listed, queueErr, now)
}

// signals works out all readings.
func (c *Collector) signals(v *view) planner.Signals {
	s := planner.Signals{
		RequestsPerSecond: v.requestsPerSecond(),
		ArrivalSCV:        planner.Unknown("the time between arrivals is in no engine's metrics"),
		TTFTMs:            v.latency(ttft, c.cfg.TTFTPercentile, KindPrefill),
		TPOTMs:            v.latency(tpot, c.cfg.TPOTPercentile, KindDecode),
		PrefillWaiting:    v.prefillWaiting(),
		DecodeWaiting:     v.waiting(KindDecode, decodeQueued),
		DecodeRunning:     v.sum(KindDecode, requestsRunning),
		PrefillSilent:     v.silent(KindPrefill),
		DecodeSilent:      v.silent(KindDecode),
	}
	s.DecodeKVUse, s.DecodeKVUseMax = v.kvUse()
	s.InputTokens, s.InputSCV = c.remember(inputTokens, v.now, func() knownLengths { return v.lengths(inputTokens, KindPrefill) })
	s.OutputTokens, s.OutputSCV = c.remember(outputTokens, v.now, func() knownLengths { return v.lengths(outputTokens, KindDecode) })
	s.CachedShare, _ = c.remember(cacheHits, v.now, func() knownLengths { return knownLengths{mean: v.cachedShare()} })
	s.PrefillTensorActive = c.overWindow(tensorActive, v.activity(KindPrefill, tensorActive))
	s.DecodeDRAMActive = c.overWindow(dramActive, v.activity(KindDecode, dramActive))
	return s
}

// clockWentBack forgets what was read at times that are still to come: it would
// pass for new until they have come, and what Prometheus reads meanwhile for old.
func (c *Collector) clockWentBack() {
	for _, p := range c.pods {
		p.forget()
		p.wentBack = true
	}
	clear(c.lengths)
}

// list returns the pods of the targets, each once and in their order.
func (c *Collector) list(targets []Target) []*pod {
	for _, p := range c.pods {
		p.listed = false
	}
	var listed []*pod
	for _, t := range targets {
		if c.prom != nil && t.Kind == KindExporter {
			continue // one Prometheus has them all
		}
		key := keyOfTarget(t)
		p := c.pods[key]
		if p == nil {
			p = newPod(t)
			c.pods[key] = p
		}
		if p.listed {
			continue
		}
		p.target, p.listed, p.answered, p.spoke, p.empty, p.err, p.notes = t, true, false, false, false, "", nil
		listed = append(listed, p)
	}
	return listed
}

// readAll reads all pages and the queue in parallel. It returns what was read:
// the pods, and what stands for other pages.
func (c *Collector) readAll(ctx context.Context, listed []*pod, now time.Time) (read []*pod, queueErr error) {
	var all sync.WaitGroup
	if c.queue != nil {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
			defer cancel()
			got, err := c.queue.ask(ctx)
			if queueErr = err; err == nil {
				c.queue.record(got, now)
			}
		})
	}
	if c.etcd != nil {
		all.Go(func() { c.etcd.read(ctx, now) })
	}
	if c.prom != nil {
		listed = c.readPrometheus(ctx, listed, now)
	} else {
		c.readPods(ctx, listed, now)
	}
	all.Wait()
	return listed, queueErr
}

// readPods reads the pages of the pods themselves. Those that failed before are
// read last, so that pods that hang never keep a good one waiting.
func (c *Collector) readPods(ctx context.Context, listed []*pod, now time.Time) {
	order := slices.Clone(listed)
	slices.SortStableFunc(order, func(a, b *pod) int { return cmp.Compare(a.failures, b.failures) })
	var all sync.WaitGroup
	free := make(chan struct{}, c.cfg.Concurrency)
	for _, p := range order {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			c.readOne(ctx, p, now)
		})
	}
	all.Wait()
}

// readOne reads one page into its pod's history.
func (c *Collector) readOne(ctx context.Context, p *pod, now time.Time) {
	r := readerOf(c.cfg.Engine, p.target.Kind)
	if r == nil {
		p.err = fmt.Sprintf("engine %s has no metrics of a %s: it is not read", c.cfg.Engine, p.target.Kind)
		return
	}
	got, err := c.scraper.read(ctx, &p.target, r.wanted)
	if err != nil {
		p.err = err.Error()
		p.failures++
		return
	}
	p.failures = 0
	c.take(p, r, got, now, now)
	p.judge(r, p.target.URL+" answers")
}

// take puts one page of a pod, as it was at a time, into its history.
func (c *Collector) take(p *pod, r *reader, got page, at, now time.Time) {
	p.words = r.choose(got)
	s := p.words.read(got, c.cfg.Model, at, now, c.cfg.MaxAge)
	s.empty = got.samples == 0
	p.answered, p.empty = true, s.empty
	p.observe(s, p.words, c.cfg.Window+c.cfg.MaxAge)
}

// judge says what is wrong with a page that answered, if anything is. how
// begins the sentence.
func (p *pod) judge(r *reader, how string) {
	switch {
	case p.spoke:
	case p.empty:
		p.err = how + " with an empty page: nothing was counted there yet"
	case len(p.notes) > 0:
		p.err = how + ", but nothing on it can be used: " + join(p.notes)
	default:
		p.err = how + ", but has none of " + r.names()
	}
}

// gone returns the pods that are no targets any more.
func (c *Collector) gone() []*pod {
	var out []*pod
	for _, p := range c.pods {
		if !p.listed {
			out = append(out, p)
		}
	}
	return out
}

// forgetGone drops pods that are no targets any more and have nothing left in the window.
func (c *Collector) forgetGone(now time.Time) {
	for key, p := range c.pods {
		if n := len(p.points); !p.listed && (n == 0 || !p.points[n-1].at.After(now.Add(-c.cfg.Window))) {
			delete(c.pods, key)
		}
	}
}

// reports says how each source did.
func (c *Collector) reports(listed []*pod, queueErr error, now time.Time) []SourceReport {
	var out []SourceReport
	if c.prom != nil {
		out = append(out, c.prom.report())
	}
	for _, p := range listed {
		r := SourceReport{Source: p.name(), Kind: p.target.Kind, Pod: p.target.Pod, OK: p.spoke, Error: p.err, Detail: join(p.notes)}
		r.Engine, r.Names = p.spoken()
		r.Degraded = p.lacksProfiling()
		if p.spoke || len(p.points) > 0 {
			r.Age = max(0, now.Sub(p.latest.at))
		}
		out = append(out, r)
	}
	if c.etcd != nil {
		out = append(out, c.etcd.report(listed, now))
	}
	if q := c.queue; q != nil {
		r := SourceReport{Source: q.name(), OK: queueErr == nil}
		if queueErr != nil {
			r.Error = queueErr.Error()
		}
		if n := len(q.points); n > 0 {
			last := q.points[n-1]
			r.Age = now.Sub(last.at)
			r.Detail = fmt.Sprintf("%d waiting, %d delivered and not acknowledged", last.waiting, last.working)
			if q.monitored {
				r.Detail += ", as the monitoring page of the consumer's leader says"
			}
		}
		out = append(out, r)
	}
	return out
}

// name is the pod for people.
func (p *pod) name() string {
	if p.target.Pod == "" {
		return "GPU series of prometheus"
	}
	return string(p.target.Kind) + " pod " + p.target.Pod
}
