package signals

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// collectThrough collects through Prometheus at the rig's time, without moving it.
func (r *promRig) collectThrough() planner.Signals {
	r.t.Helper()
	var targets []Target
	for _, p := range r.pods {
		targets = append(targets, p.target)
	}
	r.prom.set(func(f *fakePrometheus) { f.now = r.now })
	var s planner.Signals
	s, r.throughReports = r.through.Collect(r.t.Context(), targets, r.now)
	return s
}

// reportThrough is how a pod did through Prometheus.
func (r *promRig) reportThrough(p *fakePod) SourceReport {
	r.t.Helper()
	return p.reportIn(r.t, r.throughReports)
}

// Both ways go through the same steps, so with the same samples they say the same.
func TestPrometheusSaysWhatThePodsSay(t *testing.T) {
	for _, engine := range []string{"vllm", "sglang", "trtllm"} {
		t.Run(engine, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "dynamo-" + engine})
			f, p, d := r.pod(KindFrontend, "f"), r.pod(KindPrefill, "p"), r.pod(KindDecode, "d")
			x := r.pod(KindExporter, "x")
			x.set(`DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{UUID="GPU-0",pod="p",namespace="default"} 0.7`,
				`DCGM_FI_PROF_DRAM_ACTIVE{UUID="GPU-1",pod="d",namespace="default"} 0.6`)
			var direct, through planner.Signals
			for i := range 7 {
				n := 150 * (i + 1)
				prefill, decode := servicePages(engine, n)
				p.set(prefill...)
				d.set(decode...)
				f.set(lines(frontend2025(float64(n), 3),
					[]string{fmt.Sprintf(`nv_llm_http_service_requests_total{endpoint="completions",model="qwen3-32b",status="error"} %d`, i)},
					exported("nv_llm_http_service_time_to_first_token_seconds", bucketsFrom([]float64{0, .1, .25, .5, 1}, repeat(n, .3)...)),
					exported("nv_llm_http_service_inter_token_latency_seconds", bucketsFrom(dynamoITL, repeat(n, .02)...)))...)
				r.scrape()
				through = r.collectThrough()
				direct = r.collect()
			}
			for _, report := range r.throughReports {
				if !report.OK {
					t.Errorf("%+v", report)
				}
			}
			ignore := cmp.FilterPath(func(p cmp.Path) bool { s := p.Last().String(); return s == ".Source" || s == ".At" }, cmp.Ignore())
			if diff := cmp.Diff(direct, through, ignore); diff != "" {
				t.Errorf("direct - through Prometheus: %s", diff)
			}
			if !direct.RequestsPerSecond.Ok() || !direct.PrefillTensorActive.Ok() || !direct.TPOTMs.Ok() {
				t.Errorf("nothing was compared: %+v", direct)
			}
		})
	}
}

// The samples of Prometheus have a past: a controller that starts has rates at once.
func TestPrometheusGivesRatesAtOnce(t *testing.T) {
	r := newPromRig(t, Config{})
	f := r.pod(KindFrontend, "f")
	for i := range 5 {
		f.set(frontend2025(float64(30*i), 0)...)
		r.scrape()
		r.now = r.now.Add(interval)
	}
	r.now = r.now.Add(-interval)
	wantKnown(t, "demand in the first collection", r.collectThrough().RequestsPerSecond, 2)
}

// The number of queries does not depend on the number of pods, and no query is
// longer than a server takes.
func TestQueriesAreConstantInPods(t *testing.T) {
	count := func(pods int) (n, longest int) {
		r := newPromRig(t, Config{})
		for i := range pods {
			for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode} {
				name := fmt.Sprintf("dynamo-pd-%s-%04d-abcde", kind, i)
				r.pods = append(r.pods, &fakePod{target: Target{Kind: kind, Namespace: "default", Pod: name, UID: name, URL: "http://127.0.0.1:1/metrics", Ready: true}})
			}
		}
		r.collectThrough()
		queries, _ := r.prom.asked()
		for _, q := range queries {
			longest = max(longest, len(q))
		}
		return len(queries), longest
	}
	few, _ := count(1)
	many, longest := count(1000)
	if few != many || many > 12 {
		t.Errorf("%d queries for 3 pods and %d for 3000, want the same and at most 12", few, many)
	}
	if longest > 16<<10 {
		t.Errorf("a query has %d bytes, which VictoriaMetrics refuses", longest)
	}
	t.Logf("%d queries, the longest of %d bytes", many, longest)
}

// The report shows the queries, so that a person can ask them again.
func TestReportShowsTheQueries(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm", Prometheus: &PrometheusConfig{Matchers: map[string]string{"cluster": `a"b`}}})
	r.pod(KindDecode, "d.1")
	r.collectThrough()
	got := r.throughReports[0]
	if got.Kind != KindPrometheus || len(got.Queries) != 1 {
		t.Fatalf("report = %+v", got)
	}
	for _, part := range []string{`namespace="default"`, `pod=~"d\\.1"`, `cluster="a\"b"`, `vllm:num_requests_running`, `}[60s]`} {
		if !strings.Contains(got.Queries[0], part) {
			t.Errorf("%s is not in %s", part, got.Queries[0])
		}
	}
}

// gap advances the clock by one interval, with what Prometheus scrapes in it.
func (r *promRig) step(scrape bool) planner.Signals {
	if scrape {
		r.scrape()
	}
	s := r.collectThrough()
	r.now = r.now.Add(interval)
	return s
}

// An instant query would give the last value of a pod that is gone for five
// minutes (lookback). Here a pod that is no target counts no more, one that Prometheus
// could not read is silent, and a value that nobody renewed is too old after a while.
func TestDeadPodsGaugeDoesNotStay(t *testing.T) {
	for name, c := range map[string]struct {
		kill func(r *promRig, p *fakePod)
		want string
		// after is how many collections later.
		after int
	}{
		"it is gone":     {func(r *promRig, p *fakePod) { r.remove(p) }, "", 1},
		"its page fails": {func(_ *promRig, p *fakePod) { p.change(func(p *fakePod) { p.status = 500 }) }, "prometheus could not read the pod", 1},
		"it is no longer scraped": {func(r *promRig, p *fakePod) {
			r.prom.set(func(f *fakePrometheus) { f.intercept = nil })
			r.remove(p)
			r.pods = append(r.pods, p)
			p.hang = true
		}, "", 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "vllm"})
			dead, alive := r.pod(KindDecode, "dead"), r.pod(KindDecode, "alive")
			dead.set(append(worker(1, 1, 0), "vllm:kv_cache_usage_perc 0.95")...)
			alive.set(append(worker(1, 1, 0), "vllm:kv_cache_usage_perc 0.2")...)
			wantKnown(t, "fullest", r.step(true).DecodeKVUseMax, 0.95)
			c.kill(r, dead)
			var s planner.Signals
			for range c.after {
				s = r.step(true)
			}
			wantKnown(t, "fullest", s.DecodeKVUseMax, 0.2)
			if c.want != "" {
				if got := r.reportThrough(dead); got.OK || !strings.Contains(got.Error, c.want) || s.DecodeSilent != 1 {
					t.Errorf("report = %+v, %d silent, want one that says %q", got, s.DecodeSilent, c.want)
				}
			}
		})
	}
}

// What stops being scraped is unknown once its last sample is too old, and not before.
func TestScrapesThatStop(t *testing.T) {
	r := newPromRig(t, Config{})
	f := r.pod(KindFrontend, "f")
	for i := range 5 {
		f.set(frontend2025(float64(30*i), 0)...)
		r.step(true)
	}
	wantKnown(t, "demand 15 s after the last scrape", r.step(false).RequestsPerSecond, 2)
	for range 3 {
		r.step(false)
	}
	wantUnknown(t, "demand", r.step(false).RequestsPerSecond, "prometheus has no series of the pod")
}

// Scrapes that come late fill the past in: the rate is over the samples' own times.
func TestLateScrapes(t *testing.T) {
	r := newPromRig(t, Config{})
	f := r.pod(KindFrontend, "f")
	for i := range 4 {
		f.set(frontend2025(float64(30*i), 0)...)
		r.step(true)
	}
	var late []time.Time
	for range 2 { // two scrapes that the server has not stored yet
		late = append(late, r.now)
		wantKnown(t, "demand while scrapes are late", r.step(false).RequestsPerSecond, 2)
	}
	for i, at := range late {
		f.set(frontend2025(float64(30*(4+i)), 0)...)
		r.prom.scrape(f, at, nil)
	}
	wantKnown(t, "demand when they have come", r.step(false).RequestsPerSecond, 2)
}

// Two replicas of one Prometheus without deduplication, and two jobs that
// scrape the same pod, show every series twice: a request counts once.
func TestDuplicateSeriesCountOnce(t *testing.T) {
	for name, extra := range map[string][]map[string]string{
		"two replicas": {{"prometheus_replica": "a"}, {"prometheus_replica": "b"}},
		"two jobs":     {{"job": "podmonitor", "endpoint": "http"}, {"job": "servicemonitor", "endpoint": "web", "service": "s"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "dynamo-vllm"})
			f, d := r.pod(KindFrontend, "f"), r.pod(KindDecode, "d")
			var s planner.Signals
			for i := range 8 {
				for j, labels := range extra {
					at := r.now.Add(time.Duration(j)*5*time.Second - 10*time.Second)
					n := float64(150*i) + 10*float64(at.Sub(r.now)/time.Second) + 100
					f.set(lines(frontend2025(n, 0), []string{fmt.Sprintf(`nv_llm_http_service_requests_total{endpoint="completions",model="qwen3-32b"} %v`, n)})...)
					d.set(append(worker(n, 3, 1), "vllm:kv_cache_usage_perc 0.5")...)
					r.prom.scrape(f, at, labels)
					r.prom.scrape(d, at, labels)
				}
				s = r.step(false)
			}
			wantKnown(t, "demand of two endpoints", s.RequestsPerSecond, 20)
			wantKnown(t, "decode running", s.DecodeRunning, 3)
		})
	}
}

// A sidecar's page is not the engine's, and neither hides the other's absence.
func TestOtherPagesOfThePod(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	d := r.pod(KindDecode, "d")
	var s planner.Signals
	for i := range 4 {
		d.set(worker(float64(i), 3, 1)...)
		r.prom.scrape(d, r.now, nil)
		d.set("envoy_requests_total 5", "vllm:num_requests_running 77")
		r.prom.scrape(d, r.now.Add(-time.Second), map[string]string{"instance": "127.0.0.1:9901", "container": "proxy"})
		s = r.step(false)
	}
	wantKnown(t, "decode running", s.DecodeRunning, 3)

	// Read at an address that the resource does not name, with an idle page beside it.
	r = newPromRig(t, Config{Engine: "vllm"})
	d = r.pod(KindDecode, "d")
	for range 3 {
		d.set(worker(1, 3, 1)...)
		r.prom.scrape(d, r.now, map[string]string{"instance": "10.0.0.1:9090"})
		d.set("envoy_requests_total 5")
		r.prom.scrape(d, r.now, map[string]string{"instance": "10.0.0.1:15020"})
		s = r.step(false)
	}
	wantKnown(t, "decode running", s.DecodeRunning, 3)
}

// Pods of the same name elsewhere are none of ours.
func TestPodsOfOtherNamespaces(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	d := r.pod(KindDecode, "d")
	d.set(worker(1, 3, 1)...)
	r.prom.scrape(d, r.now, nil)
	d.set(worker(1, 99, 1)...)
	r.prom.scrape(d, r.now, map[string]string{"namespace": "other"})
	r.prom.scrape(d, r.now, map[string]string{"pod": "d2"})
	wantKnown(t, "decode running", r.step(false).DecodeRunning, 3)
}

// The server's clock may be off: ages are its own, and nothing is lost or new by that.
func TestClockSkew(t *testing.T) {
	for _, ahead := range []time.Duration{-10 * time.Minute, -3 * time.Second, 3 * time.Second, 10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			r := newPromRig(t, Config{})
			f := r.pod(KindFrontend, "f")
			var s planner.Signals
			for i := range 6 {
				f.set(frontend2025(float64(30*i), 0)...)
				r.prom.scrape(f, r.now.Add(ahead), nil)
				r.prom.set(func(f *fakePrometheus) { f.now = r.now.Add(ahead) })
				var targets []Target
				for _, p := range r.pods {
					targets = append(targets, p.target)
				}
				s, r.throughReports = r.through.Collect(t.Context(), targets, r.now)
				r.now = r.now.Add(interval)
			}
			wantKnown(t, "demand", s.RequestsPerSecond, 2)
			if age := r.now.Add(-interval).Sub(s.RequestsPerSecond.At); age.Abs() > sameClock {
				t.Errorf("the reading is %v old, want about 0", age)
			}
			if said := r.throughReports[0].Detail != ""; said != (ahead.Abs() > sameClock) {
				t.Errorf("the report says %q of a clock that is %v ahead", r.throughReports[0].Detail, ahead)
			}
		})
	}
}

// A restart between two scrapes: what was counted since is the growth.
func TestPrometheusOverARestart(t *testing.T) {
	r := newPromRig(t, Config{})
	f := r.pod(KindFrontend, "f")
	var s planner.Signals
	for _, n := range []float64{1000, 1030, 1060, 30, 60} {
		f.set(frontend2025(n, 0)...)
		s = r.step(true)
	}
	wantKnown(t, "demand", s.RequestsPerSecond, 2)
	if got := r.reportThrough(f); strings.Contains(got.Detail, "restarted") {
		t.Errorf("the restart is long past, and the report says %q", got.Detail)
	}
}

// A page without a sample is not a page that was not read: Dynamo's frontend has
// none before its first request. Prometheus' own series tell the two apart.
func TestEmptyPageThroughPrometheus(t *testing.T) {
	r := newPromRig(t, Config{})
	used, unused := r.pod(KindFrontend, "used"), r.pod(KindFrontend, "unused")
	var s planner.Signals
	for i := range 6 {
		used.set(frontend2025(float64(30*i), 0)...)
		s = r.step(true)
	}
	wantKnown(t, "demand beside a frontend that was never used", s.RequestsPerSecond, 2)
	if got := r.reportThrough(unused); got.OK || !strings.Contains(got.Error, "prometheus read the pod with an empty page") {
		t.Errorf("report = %+v", got)
	}
	// One with other names may be a version that calls them otherwise.
	unused.set("some_requests_total 5")
	wantUnknown(t, "demand beside a frontend of another kind", r.step(true).RequestsPerSecond, "frontend pod unused gave no count of requests")
}

// A bucket whose bound is not told, because a scrape configuration drops the label, is left out: it is no restart at every page.
func TestBucketWithoutABound(t *testing.T) {
	for _, le := range []string{"", "high", "NaN"} {
		r := newPromRig(t, Config{Engine: "vllm"})
		p := r.pod(KindPrefill, "p")
		var s planner.Signals
		for i := range 6 {
			p.set(lines(worker(float64(30*i), 50, 0), []string{fmt.Sprintf(`vllm:time_to_first_token_seconds_bucket{le=%q} %v`, le, 30*i),
				fmt.Sprintf("vllm:time_to_first_token_seconds_sum %v", 3*i), fmt.Sprintf("vllm:time_to_first_token_seconds_count %v", 30*i)})...)
			s = r.step(true)
		}
		wantKnown(t, "demand", s.RequestsPerSecond, 2)
		if got := r.reportThrough(p).Detail; got != "" {
			t.Errorf("%q: the report says %q", le, got)
		}
	}
}

// Our clock is set back by an hour: what was read before it is not the newest for an hour.
func TestPrometheusWhileTheClockGoesBack(t *testing.T) {
	r := newPromRig(t, Config{})
	f, d, gone := r.pod(KindFrontend, "f"), r.pod(KindDecode, "d"), r.pod(KindFrontend, "g")
	off, n := time.Hour, 0.0
	collect := func() planner.Signals {
		t.Helper()
		n++
		f.set(frontend2025(30*n, 0)...)
		d.set(worker(5, n, 0)...)
		var targets []Target
		for _, p := range r.pods {
			r.prom.scrape(p, r.now, nil)
			targets = append(targets, p.target)
		}
		r.prom.set(func(f *fakePrometheus) { f.now = r.now })
		s, _ := r.through.Collect(t.Context(), targets, r.now.Add(off))
		r.now = r.now.Add(interval)
		return s
	}
	for i := range 6 {
		gone.set(frontend2025(60*float64(i), 0)...)
		collect()
	}
	r.remove(gone)
	off = 0
	wantKnown(t, "running at once", collect().DecodeRunning, 7)
	for range 5 {
		collect()
	}
	s := collect()
	wantKnown(t, "running", s.DecodeRunning, 13)
	wantKnown(t, "demand", s.RequestsPerSecond, 2)
	if age := r.now.Add(-interval).Sub(s.RequestsPerSecond.At); age.Abs() > sameClock {
		t.Errorf("the reading is %v old, want about 0", age)
	}
}

// On the network of its node, a pod that is made anew has the name and the address of the one before: what that one held is not the new one's.
func TestPrometheusTellsPodsByUID(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	r.pod(KindPrefill, "p").set(worker(5, 0, 0)...)
	d := r.pod(KindDecode, "d")
	d.set(worker(100, 40, 7)...)
	wantKnown(t, "running", r.step(true).DecodeRunning, 40)
	d.target.UID = "later"
	wantUnknown(t, "running before the new one was read", r.step(false).DecodeRunning, "prometheus has no series of the pod")
	d.set(worker(1, 2, 0)...)
	wantKnown(t, "running", r.step(true).DecodeRunning, 2)
	if got := r.reportThrough(d).Detail; got != "" {
		t.Errorf("of the first page of a new pod the report says %q", got)
	}
}
