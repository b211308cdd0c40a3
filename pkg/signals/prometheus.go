package signals

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// prometheus reads the pods' pages as a Prometheus has read them. What it finds
// goes through the same steps as a page that was read from the pod itself, with
// the times of the samples, and so both ways give the same answers.
type prometheus struct {
	client *promClient
	// queries are those of the latest collection, shown to people.
	queries []string
	err     error
	partial string
	// ahead is how far the server's clock is ahead of ours, where that is more
	// than what an answer takes.
	ahead time.Duration
}

// sameClock is a difference between two clocks that is not corrected: the time
// of an answer is given in whole seconds, and the answer took its time.
const sameClock = 5 * time.Second

// reply is the outcome of one query.
type reply struct {
	promQuery
	answer *promAnswer
	err    error
}

// readPrometheus reads all pods through Prometheus. Every query has the
// timeout of its own; one that fails leaves the pods of its kind unread.
// It returns the pods and what stands for the exporters of their GPUs.
func (c *Collector) readPrometheus(ctx context.Context, listed []*pod, now time.Time) []*pod {
	var targets []Target
	for _, p := range listed {
		targets = append(targets, p.target)
	}
	queries := c.cfg.queries(targets)
	replies := make([]reply, len(queries))
	var all sync.WaitGroup
	for i, q := range queries {
		all.Go(func() {
			replies[i].promQuery = q
			replies[i].answer, replies[i].err = c.prom.client.query(ctx, q.text)
		})
	}
	all.Wait()
	c.prom.note(replies, now)
	var gpus []reply
	for i := range replies {
		if replies[i].kind == KindExporter {
			gpus = append(gpus, replies[i])
			continue
		}
		c.takeReply(&replies[i], listed, now)
	}
	for _, p := range listed {
		if readerOf(c.cfg.Engine, p.target.Kind) == nil {
			p.err = fmt.Sprintf("engine %s has no metrics of a %s: it is not read", c.cfg.Engine, p.target.Kind)
		}
	}
	if len(gpus) > 0 {
		listed = append(listed, c.takeGPUs(gpus, now))
	}
	return listed
}

// note keeps what the answers say of the server as a whole.
func (p *prometheus) note(replies []reply, now time.Time) {
	p.queries, p.err, p.partial = nil, nil, ""
	for _, r := range replies {
		p.queries = append(p.queries, r.text)
		switch {
		case r.err != nil:
			p.err = cmp.Or(p.err, r.err)
		default:
			p.partial = cmp.Or(p.partial, r.answer.partial)
			if ahead := r.answer.at.Sub(now); !r.answer.at.IsZero() && (ahead-p.ahead).Abs() > sameClock {
				p.ahead = ahead
				if ahead.Abs() <= sameClock {
					p.ahead = 0
				}
			}
		}
	}
}

// takeReply puts the pages of one kind of pod into their histories.
func (c *Collector) takeReply(got *reply, listed []*pod, now time.Time) {
	r := readerOf(c.cfg.Engine, got.kind)
	if r == nil {
		return
	}
	var pages map[*pod][]promPage
	if got.err == nil {
		c.prom.shift(got.answer)
		pages = pagesOf(got.promQuery, got.answer.series, listed, of(c.gone(), got.kind), r)
	}
	for _, p := range of(listed, got.kind) {
		switch all := pages[p]; {
		case got.err != nil:
			p.err = "prometheus: " + got.err.Error()
		case len(all) > 0:
			c.takePages(p, r, all, now)
		case len(p.points) > 0 && p.latestUp && now.Sub(p.latest.at) <= c.cfg.MaxAge:
			p.again(r) // no scrape since the last collection
		default:
			p.err = "prometheus has no series of the pod: it is not scraped, or its series have other labels"
		}
	}
}

// shift moves the times of an answer to our clock.
func (p *prometheus) shift(answer *promAnswer) {
	if p.ahead == 0 {
		return
	}
	for i := range answer.series {
		s := &answer.series[i]
		for j := range s.Values {
			s.Values[j].at = s.Values[j].at.Add(-p.ahead)
		}
		for j := range s.Histograms {
			s.Histograms[j].at = s.Histograms[j].at.Add(-p.ahead)
		}
	}
}

// takePages puts pages in the order of their time into a pod's history. The
// newest one says how the pod is.
func (c *Collector) takePages(p *pod, r *reader, pages []promPage, now time.Time) {
	for _, one := range pages {
		p.latestUp = one.up
		if one.up {
			c.take(p, r, one.page, one.at, now)
		}
	}
	if !p.latestUp {
		p.downSince(pages)
		return
	}
	p.again(r)
}

// again lets the newest page that was taken speak for the pod.
func (p *pod) again(r *reader) {
	p.answered, p.spoke, p.empty, p.err, p.notes = true, len(p.latest.measured) > 0, p.latest.empty, "", p.latest.notes
	p.judge(r, "prometheus read the pod")
}

// downSince: Prometheus itself could not read the pod.
func (p *pod) downSince(pages []promPage) {
	p.answered, p.spoke = false, false
	p.err = "prometheus could not read the pod at " + pages[len(pages)-1].at.UTC().Format(time.TimeOnly)
}

// takeGPUs makes one exporter of all GPUs' series: of each GPU the newest, so that
// one that went to another pod is not counted for the one that had it.
func (c *Collector) takeGPUs(replies []reply, now time.Time) *pod {
	key := podKey{kind: KindExporter, uid: "prometheus"}
	p := newPod(Target{Kind: KindExporter, UID: key.uid, Ready: true})
	p.listed = true
	c.pods[key] = p
	type reading struct {
		series series
		at     time.Time
	}
	newest := map[string]reading{}
	for _, got := range replies {
		if got.err != nil {
			p.err = "prometheus: " + got.err.Error()
			continue
		}
		p.answered = true
		c.prom.shift(got.answer)
		for i := range got.answer.series {
			s := &got.answer.series[i]
			if len(s.Values) == 0 {
				continue
			}
			v := s.Values[len(s.Values)-1]
			one := valueSeries(allLabels(s.Metric), v.value)
			one.at = v.at
			key := s.Metric["__name__"] + "\x00" + gpuOf(&one)
			if old, seen := newest[key]; !seen || v.at.After(old.at) {
				newest[key] = reading{one, v.at}
			}
		}
	}
	got := page{families: map[string]*family{}}
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		name, _, _ := strings.Cut(key, "\x00")
		got.add(name, gauge, newest[key].series)
		got.samples++
	}
	if p.answered {
		c.take(p, exporters, got, now, now)
		p.again(exporters)
		if got.samples == 0 {
			p.err = "prometheus has no GPU series of the pods: dcgm-exporter is not scraped, or does not name the pods"
		}
	}
	return p
}

// allLabels are the labels of a series but its name.
func allLabels(labels map[string]string) []*dto.LabelPair {
	var out []*dto.LabelPair
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "__name__" {
			out = append(out, &dto.LabelPair{Name: new(name), Value: new(labels[name])})
		}
	}
	return out
}

// partly takes back what cannot be said of an answer that may lack series:
// demand, zeros, and that a sum is all of it. What is over zero is at least that much.
func partly(s *planner.Signals, why string) {
	unknown := planner.Unknown("prometheus answered in part: " + why)
	s.RequestsPerSecond = unknown
	for _, r := range []*planner.Reading{&s.PrefillWaiting, &s.DecodeWaiting, &s.DecodeRunning, &s.DecodeKVUse, &s.DecodeKVUseMax,
		&s.PrefillTensorActive, &s.DecodeDRAMActive} {
		switch {
		case r.State == planner.StateZero:
			*r = unknown
		case r.Ok():
			r.Source = atLeast(r.Source)
		}
	}
}

// report says how the server did.
func (p *prometheus) report() SourceReport {
	r := SourceReport{Source: "prometheus " + p.client.cfg.URL, Kind: KindPrometheus, OK: p.err == nil, Queries: p.queries}
	if p.err != nil {
		r.Error = p.err.Error()
	}
	var notes []string
	if p.partial != "" {
		notes = append(notes, "the answer is in part: "+p.partial)
	}
	if p.ahead != 0 {
		notes = append(notes, fmt.Sprintf("its clock is %v off ours: ages are taken from its own", p.ahead.Round(time.Second)))
	}
	r.Detail = join(notes)
	return r
}
