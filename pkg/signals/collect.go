package signals

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Collector reads one service. It keeps earlier samples per pod, so one
// Collector must see all collections of its service. It may be used by one
// goroutine at a time.
type Collector struct {
	cfg     Config
	scraper *scraper
	queue   *queue // nil without NATS
	pods    map[podKey]*pod
	// lengths are the last known lengths and shares of requests.
	lengths map[quantity]knownLengths
	// activity is the mean over a role's GPUs at each collection of the window.
	activity map[quantity][]timed
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
	c := &Collector{cfg: cfg, scraper: newScraper(cfg), pods: map[podKey]*pod{},
		lengths: map[quantity]knownLengths{}, activity: map[quantity][]timed{}}
	if cfg.NATS != nil {
		c.queue = newQueue(cfg)
	}
	return c, nil
}

// Close ends the connections.
func (c *Collector) Close() {
	c.scraper.close()
	if c.queue != nil {
		c.queue.close()
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
	listed := c.list(targets)
	queueErr := c.readAll(ctx, listed, now)
	c.forgetGone(now)

	v := view{cfg: &c.cfg, now: now, queue: c.queue, queueErr: queueErr}
	v.listed = listed
	for _, p := range c.pods {
		if !p.listed {
			v.gone = append(v.gone, p)
		}
	}
	return c.signals(&v), c.reports(listed, queueErr, now)
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

// list returns the pods of the targets, each once and in their order.
func (c *Collector) list(targets []Target) []*pod {
	for _, p := range c.pods {
		p.listed = false
	}
	var listed []*pod
	for _, t := range targets {
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

// readAll reads all pages and the queue in parallel. Pages that failed before
// are read last, so that pods that hang never keep a good one waiting.
func (c *Collector) readAll(ctx context.Context, listed []*pod, now time.Time) (queueErr error) {
	order := slices.Clone(listed)
	slices.SortStableFunc(order, func(a, b *pod) int { return cmp.Compare(a.failures, b.failures) })
	var all sync.WaitGroup
	if c.queue != nil {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
			defer cancel()
			info, err := c.queue.ask(ctx)
			if queueErr = err; err == nil {
				c.queue.record(info, now)
			}
		})
	}
	free := make(chan struct{}, c.cfg.Concurrency)
	for _, p := range order {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			c.readOne(ctx, p, now)
		})
	}
	all.Wait()
	return queueErr
}

// readOne reads one page into its pod's history.
func (c *Collector) readOne(ctx context.Context, p *pod, now time.Time) {
	v := vocabularyOf(c.cfg.Engine, p.target.Kind)
	if v == nil {
		p.err = fmt.Sprintf("engine %s has no metrics of a %s: it is not read", c.cfg.Engine, p.target.Kind)
		return
	}
	got, err := c.scraper.read(ctx, p.target.URL, v.wanted)
	if err != nil {
		p.err = err.Error()
		p.failures++
		return
	}
	p.failures, p.answered, p.empty = 0, true, got.samples == 0
	p.observe(v.read(got, c.cfg.Model, now, c.cfg.MaxAge), v, c.cfg.Window+c.cfg.MaxAge)
	switch {
	case p.spoke:
	case p.empty:
		p.err = fmt.Sprintf("%s answers with an empty page: nothing was counted there yet", p.target.URL)
	case len(p.notes) > 0:
		p.err = fmt.Sprintf("%s answers, but nothing on it can be used: %s", p.target.URL, join(p.notes))
	default:
		p.err = fmt.Sprintf("%s answers, but has none of %s", p.target.URL, v.names())
	}
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
	for _, p := range listed {
		r := SourceReport{Source: p.name(), Kind: p.target.Kind, Pod: p.target.Pod, OK: p.spoke, Error: p.err, Detail: join(p.notes)}
		if p.spoke || len(p.points) > 0 {
			r.Age = now.Sub(p.latest.at)
		}
		out = append(out, r)
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
		}
		out = append(out, r)
	}
	return out
}

// name is the pod for people.
func (p *pod) name() string { return string(p.target.Kind) + " pod " + p.target.Pod }
