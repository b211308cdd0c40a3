package signals

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakePrometheus scrapes a rig's pods by itself and answers range selectors as
// Prometheus does: raw samples with their times, nothing else. The real one is in test/signals.
type fakePrometheus struct {
	t      testing.TB
	mu     sync.Mutex
	url    string
	series map[string]*fakeSeries
	order  []string
	// now is the server's clock.
	now time.Time
	// queries and requests are what was asked.
	queries  []string
	requests []*http.Request
	warnings []string
	// intercept answers instead, where it returns true.
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

type fakeSeries struct {
	labels  map[string]string
	samples []promValue
	native  []string // raw JSON of [time, histogram] pairs
}

func newFakePrometheus(t testing.TB) *fakePrometheus {
	f := &fakePrometheus{t: t, series: map[string]*fakeSeries{}, now: epoch}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// set changes the server between two questions.
func (f *fakePrometheus) set(change func(f *fakePrometheus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// asked returns the questions so far.
func (f *fakePrometheus) asked() (queries []string, requests []*http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.queries), slices.Clone(f.requests)
}

// put adds a sample.
func (f *fakePrometheus) put(at time.Time, value float64, labels map[string]string) {
	s := f.of(labels)
	f.set(func(*fakePrometheus) { s.samples = append(s.samples, promValue{at, value}) })
}

func (f *fakePrometheus) of(labels map[string]string) *fakeSeries {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprint(labels)
	if f.series[key] == nil {
		f.series[key] = &fakeSeries{labels: labels}
		f.order = append(f.order, key)
	}
	return f.series[key]
}

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
var labelPair = regexp.MustCompile(`([a-zA-Z_]\w*)="([^"]*)"`)

// scrape reads a pod's page at a time, with the labels that a scrape configuration adds.
func (f *fakePrometheus) scrape(p *fakePod, at time.Time, extra map[string]string) {
	p.mu.Lock()
	body, up := p.body, p.status == http.StatusOK && !p.hang
	p.mu.Unlock()
	target := map[string]string{"pod": p.target.Pod, "namespace": p.target.Namespace, "job": "engines",
		"instance": strings.TrimSuffix(strings.TrimPrefix(p.target.URL, "http://"), "/metrics")}
	maps.Copy(target, extra)
	with := func(name string, own map[string]string) map[string]string {
		labels := map[string]string{"__name__": name}
		maps.Copy(labels, target)
		for name, value := range own {
			if _, taken := target[name]; taken {
				name = "exported_" + name
			}
			if value != "" {
				labels[name] = value
			}
		}
		return labels
	}
	if !up {
		f.put(at, 0, with(upName, nil))
		return
	}
	samples := 0.0
	for line := range strings.Lines(body) {
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			f.t.Fatal(err)
		}
		own := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(m[2], -1) {
			own[pair[1]] = pair[2]
		}
		f.put(at, value, with(m[1], own))
		samples++
	}
	f.put(at, 1, with(upName, nil))
	f.put(at, samples, with(samplesName, nil))
}

var selector = regexp.MustCompile(`^\{(.*)\}\[(\d+)s\]$`)
var matcher = regexp.MustCompile(`([a-zA-Z_]\w*)(=~|=)"((?:[^"\\]|\\.)*)"`)

func (f *fakePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		f.t.Error(err)
	}
	query := r.Form.Get("query")
	f.mu.Lock()
	f.queries = append(f.queries, query)
	f.requests = append(f.requests, r)
	intercept := f.intercept
	f.mu.Unlock()
	if intercept != nil && intercept(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m := selector.FindStringSubmatch(query)
	if m == nil {
		f.t.Errorf("the query is not one range selector: %s", query)
		return
	}
	seconds, _ := strconv.Atoi(m[2])
	from := f.now.Add(-time.Duration(seconds) * time.Second)
	var matchers []func(labels map[string]string) bool
	for _, one := range matcher.FindAllStringSubmatch(m[1], -1) {
		name := one[1]
		value := strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(one[3])
		if one[2] == "=" {
			matchers = append(matchers, func(l map[string]string) bool { return l[name] == value })
			continue
		}
		expr := regexp.MustCompile("^(?:" + value + ")$")
		matchers = append(matchers, func(l map[string]string) bool { return expr.MatchString(l[name]) })
	}
	var result []any
	for _, key := range f.order {
		s := f.series[key]
		if slices.ContainsFunc(matchers, func(match func(map[string]string) bool) bool { return !match(s.labels) }) {
			continue
		}
		var values []any
		for _, v := range s.samples {
			if v.at.After(from) && !v.at.After(f.now) {
				values = append(values, []any{float64(v.at.UnixMilli()) / 1000, formatValue(v.value)})
			}
		}
		var native []json.RawMessage
		for _, h := range s.native {
			native = append(native, json.RawMessage(h))
		}
		if len(values)+len(native) == 0 {
			continue
		}
		one := map[string]any{"metric": s.labels}
		if len(values) > 0 {
			one["values"] = values
		}
		if len(native) > 0 {
			one["histograms"] = native
		}
		result = append(result, one)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", f.now.UTC().Format(http.TimeFormat))
	answer := map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": result}}
	if len(f.warnings) > 0 {
		answer["warnings"] = f.warnings
	}
	json.NewEncoder(w).Encode(answer)
}

func formatValue(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// promRig is two collectors of one service: one reads the pods, the other a
// Prometheus that reads the pods.
type promRig struct {
	*rig
	prom *fakePrometheus
	// through reads the Prometheus.
	through        *Collector
	throughReports []SourceReport
}

func newPromRig(t testing.TB, cfg Config) *promRig {
	through := cfg.Prometheus
	if cfg.Prometheus = nil; through == nil {
		through = &PrometheusConfig{GPUs: true}
	}
	r := &promRig{rig: newRig(t, cfg), prom: newFakePrometheus(t)}
	cfg = r.collector.cfg
	if through.URL == "" {
		through.URL = r.prom.url
	}
	cfg.Prometheus = through
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r.through = c
	return r
}

// scrape lets Prometheus read all pods now.
func (r *promRig) scrape() {
	for _, p := range r.pods {
		r.prom.scrape(p, r.now, nil)
	}
}
