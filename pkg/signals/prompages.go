package signals

import (
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// promPage is one metrics page as Prometheus read it at a time.
type promPage struct {
	at time.Time
	// up is false where Prometheus tried to read the page and failed.
	up   bool
	page page
}

// origin is one page as one scraper read it. Its labels are those of the target:
// what the scrape configuration added, and the series of the page have besides
// their own. Prometheus' own series up has them and nothing else.
type origin struct {
	labels map[string]string
	series []*promSeries
	// scraped are the times at which the page was read, and whether that succeeded.
	scraped []promValue
	samples map[time.Time]float64 // how many samples were on it
}

// usualLabels are taken for the labels of a target where there is no series up.
var usualLabels = []string{"job", "instance", "prometheus", "prometheus_replica", "replica"}

// pagesOf puts the pages of one kind of pod together again, by pod. What a gone
// pod of the same name was read from is not of the new one: its series may have
// the same labels, as on the network of the same node.
func pagesOf(q promQuery, all []promSeries, listed, gone []*pod, r *reader) map[*pod][]promPage {
	byName := map[string]*pod{}
	for _, p := range listed {
		if p.target.Kind == q.kind {
			byName[p.target.Namespace+"/"+p.target.Pod] = p
		}
	}
	before := map[string]time.Time{}
	for _, p := range gone {
		name := p.target.Namespace + "/" + p.target.Pod
		if n := len(p.points); n > 0 && p.points[n-1].at.After(before[name]) {
			before[name] = p.points[n-1].at
		}
	}
	series := map[*pod][]*promSeries{}
	for i := range all {
		// Others are of a pod that is not there any more, or of another service.
		if p := byName[all[i].Metric[q.namespace]+"/"+all[i].Metric[q.pod]]; p != nil {
			series[p] = append(series[p], &all[i])
		}
	}
	out := map[*pod][]promPage{}
	for p, of := range series {
		after := before[p.target.Namespace+"/"+p.target.Pod]
		if n := len(p.points); n > 0 {
			after = p.points[n-1].at
		}
		var pages []promPage
		for _, o := range atOneAddress(originsOf(q, of), p.target.URL) {
			pages = append(pages, o.pages(r, after)...)
		}
		slices.SortStableFunc(pages, func(a, b promPage) int { return a.at.Compare(b.at) })
		out[p] = pages
	}
	return out
}

// originsOf tells apart the scrapers of one pod.
func originsOf(q promQuery, all []*promSeries) []*origin {
	var out []*origin
	for _, s := range all {
		if s.Metric["__name__"] == upName {
			labels := maps.Clone(s.Metric)
			delete(labels, "__name__")
			out = append(out, &origin{labels: labels, samples: map[time.Time]float64{}, scraped: s.Values})
		}
	}
	// The one with the most labels first: it may be that of another plus a replica's.
	slices.SortStableFunc(out, func(a, b *origin) int { return len(b.labels) - len(a.labels) })
	for _, s := range all {
		if s.Metric["__name__"] == upName {
			continue
		}
		i := slices.IndexFunc(out, func(o *origin) bool { return o.holds(s) })
		if i < 0 {
			i = len(out)
			out = append(out, &origin{labels: usually(q, s.Metric), samples: map[time.Time]float64{}})
		}
		out[i].add(s)
	}
	return out
}

func (o *origin) holds(s *promSeries) bool {
	for name, value := range o.labels {
		if s.Metric[name] != value {
			return false
		}
	}
	return true
}

func usually(q promQuery, labels map[string]string) map[string]string {
	out := map[string]string{}
	for _, name := range append([]string{q.pod, q.namespace}, usualLabels...) {
		if value, ok := labels[name]; ok {
			out[name] = value
		}
	}
	return out
}

// atOneAddress returns the origins that are to be read: those of one address,
// because what a pod serves at two is not one page. Two scrapers of one address
// are two views of the same page. That of the target is preferred, then the one with the most series.
func atOneAddress(all []*origin, target string) []*origin {
	host := ""
	if u, err := url.Parse(target); err == nil {
		host = u.Host
	}
	series := map[string]int{}
	for _, o := range all {
		series[o.labels["instance"]] += len(o.series)
	}
	best := ""
	for i, instance := range slices.Sorted(maps.Keys(series)) {
		switch n, most := series[instance], series[best]; {
		case i == 0, most == 0 && n > 0:
			best = instance
		case n == 0 || best == host && most > 0:
		case instance == host || n > most:
			best = instance
		}
	}
	return slices.DeleteFunc(all, func(o *origin) bool { return o.labels["instance"] != best })
}

func (o *origin) add(s *promSeries) {
	if s.Metric["__name__"] != samplesName {
		o.series = append(o.series, s)
		return
	}
	for _, v := range s.Values {
		o.samples[v.at] = v.value
	}
}

// pages are the pages of one origin that are newer than a time.
func (o *origin) pages(r *reader, after time.Time) []promPage {
	scraped := slices.Clone(o.scraped)
	if len(scraped) == 0 {
		// Some do not keep up: then a page was read whenever a series has a sample.
		seen := map[time.Time]bool{}
		for _, s := range o.series {
			for _, at := range s.times() {
				if !seen[at] {
					seen[at] = true
					scraped = append(scraped, promValue{at: at, value: 1})
				}
			}
		}
	}
	slices.SortFunc(scraped, func(a, b promValue) int { return a.at.Compare(b.at) })
	var out []promPage
	var before time.Time
	for _, s := range scraped {
		if s.at.After(after) && !s.at.Equal(before) {
			p := promPage{at: s.at, up: s.value == 1}
			if p.up {
				p.page = o.page(r, before, s.at)
			}
			out = append(out, p)
		}
		before = s.at
	}
	return out
}

// page is what the origin's series were in a scrape: their newest samples since
// the one before. A series without one was not on the page.
func (o *origin) page(r *reader, before, at time.Time) page {
	out := page{families: map[string]*family{}}
	hists := map[string]*histParts{}
	for _, s := range o.series {
		name := s.Metric["__name__"]
		if h := s.histogramAt(before, at); h != nil {
			out.samples++
			one := series{labels: o.ownLabels(s), hist: h.hist, wrong: h.wrong}
			one.key = keyOf(one.labels)
			out.add(name, histogram, one)
			continue
		}
		v, ok := s.valueAt(before, at)
		if !ok {
			continue
		}
		out.samples++
		if base, part, yes := r.histogramPart(name); yes {
			labels := o.ownLabels(s)
			key := base + "\x02" + keyWithout(labels, "le")
			if hists[key] == nil {
				hists[key] = &histParts{base: base, labels: slices.DeleteFunc(labels, func(l *dto.LabelPair) bool { return l.GetName() == "le" })}
			}
			hists[key].take(part, s.Metric["le"], v)
			continue
		}
		out.add(name, gauge, valueSeries(o.ownLabels(s), v))
	}
	for _, key := range slices.Sorted(maps.Keys(hists)) {
		h := hists[key]
		one := series{labels: h.labels, key: keyOf(h.labels)}
		one.hist, one.wrong = bucketsOf(&h.dto)
		out.add(h.base, histogram, one)
	}
	if n, ok := o.samples[at]; ok {
		out.samples = int(n)
	} else {
		out.samples = max(out.samples, 1) // it may be empty, but nobody says so
	}
	return out
}

// add puts a series on the page. A classic and a native histogram of one name
// are the same observations: the native one, which is finer, is read.
func (p *page) add(name string, form form, s series) {
	f := p.families[name]
	if f == nil {
		f = &family{form: form}
		p.families[name] = f
	}
	for i := range f.series {
		if f.series[i].key == s.key {
			return
		}
	}
	if f.form != form && s.wrong == "" {
		s.wrong = "is a histogram in one series and a number in another"
	}
	f.series = append(f.series, s)
}

// histParts are the series of one classic histogram.
type histParts struct {
	base   string
	labels []*dto.LabelPair
	dto    dto.Histogram
}

func (h *histParts) take(part, le string, value float64) {
	switch part {
	case "_sum":
		h.dto.SampleSum = &value
	case "_count":
		h.dto.SampleCountFloat = &value
	default:
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil || math.IsNaN(bound) {
			return // no bound at all
		}
		h.dto.Bucket = append(h.dto.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCountFloat: &value})
	}
}

// histogramPart splits the name of a series of a classic histogram.
func (r *reader) histogramPart(name string) (base, part string, ok bool) {
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, found := strings.CutSuffix(name, part); found && r.wanted[base] && r.wanted[name] {
			return base, part, true
		}
	}
	return "", "", false
}

// ownLabels are the labels of a series that were on the page. One that the
// target has too was renamed by the scraper.
func (o *origin) ownLabels(s *promSeries) []*dto.LabelPair {
	var out []*dto.LabelPair
	for _, name := range slices.Sorted(maps.Keys(s.Metric)) {
		if _, targets := o.labels[name]; targets || name == "__name__" {
			continue
		}
		own := name
		if before, renamed := strings.CutPrefix(name, "exported_"); renamed {
			if _, targets := o.labels[before]; targets {
				own = before
			}
		}
		out = append(out, &dto.LabelPair{Name: &own, Value: new(s.Metric[name])})
	}
	return out
}

// valueAt is the newest sample after before and not after at.
func (s *promSeries) valueAt(before, at time.Time) (float64, bool) {
	for _, v := range slices.Backward(s.Values) {
		if !v.at.After(at) {
			return v.value, v.at.After(before)
		}
	}
	return 0, false
}

func (s *promSeries) histogramAt(before, at time.Time) *promHistogram {
	for i := len(s.Histograms) - 1; i >= 0; i-- {
		if h := &s.Histograms[i]; !h.at.After(at) {
			if h.at.After(before) {
				return h
			}
			return nil
		}
	}
	return nil
}

// times are those of all samples.
func (s *promSeries) times() []time.Time {
	out := make([]time.Time, 0, len(s.Values)+len(s.Histograms))
	for _, v := range s.Values {
		out = append(out, v.at)
	}
	for _, h := range s.Histograms {
		out = append(out, h.at)
	}
	return out
}
