package signals

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// epoch is when every test begins.
var epoch = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// interval is the time between two collections unless a test says otherwise.
const interval = 15 * time.Second

// patience is how long a source has that is meant to answer. On a busy machine an answer over loopback may take seconds.
const patience = time.Minute

// brief is how long one has that is meant to hang: the test waits for it to pass. Where others answer in the same time it is
// still as long as they need on a busy machine.
const brief = 2 * time.Second

// fakePod is a metrics page on loopback. Its fields may be changed between collections.
type fakePod struct {
	mu          sync.Mutex
	target      Target
	body        string
	status      int
	contentType string
	// hang keeps the answer back until the asker gives up.
	hang bool
	// hangs counts those that hang.
	hangs *atMost
}

// atMost is the largest number of things that went on at the same time.
type atMost struct {
	mu        sync.Mutex
	now, most int
}

func (a *atMost) during(f func()) {
	a.mu.Lock()
	a.now++
	a.most = max(a.most, a.now)
	a.mu.Unlock()
	f()
	a.mu.Lock()
	a.now--
	a.mu.Unlock()
}

func (a *atMost) seen() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most
}

func (p *fakePod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	body, status, contentType, hang, hangs := p.body, p.status, p.contentType, p.hang, p.hangs
	p.mu.Unlock()
	if hang {
		hangs.during(func() { <-r.Context().Done() })
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// set changes the pod's page.
func (p *fakePod) set(lines ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body = strings.Join(lines, "\n") + "\n"
}

// change changes how the pod answers.
func (p *fakePod) change(f func(p *fakePod)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// rig is a service of fake pods and the collector that reads them.
type rig struct {
	t         testing.TB
	collector *Collector
	now       time.Time
	pods      []*fakePod
	reports   []SourceReport
}

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	if cfg.Engine == "" {
		cfg.Engine = "dynamo-vllm"
	}
	if cfg.TTFTPercentile == 0 {
		cfg.TTFTPercentile, cfg.TPOTPercentile = 0.9, 0.9
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &rig{t: t, collector: c, now: epoch}
}

// pod adds a ready pod with an empty page.
func (r *rig) pod(kind Kind, name string) *fakePod {
	p := &fakePod{hangs: &atMost{}, status: http.StatusOK, contentType: "text/plain; version=0.0.4; charset=utf-8"}
	server := httptest.NewServer(p)
	r.t.Cleanup(server.Close)
	p.target = Target{Kind: kind, Namespace: "default", Pod: name, UID: "uid-" + name, Node: "node-0", URL: server.URL + "/metrics", Ready: true}
	r.pods = append(r.pods, p)
	return p
}

// remove takes a pod out of the targets.
func (r *rig) remove(gone *fakePod) {
	for i, p := range r.pods {
		if p == gone {
			r.pods = append(r.pods[:i:i], r.pods[i+1:]...)
			return
		}
	}
	r.t.Fatalf("%s is not a target", gone.target.Pod)
}

// collect collects once and moves the clock on by one interval.
func (r *rig) collect() planner.Signals {
	r.t.Helper()
	var targets []Target
	for _, p := range r.pods {
		targets = append(targets, p.target)
	}
	var s planner.Signals
	s, r.reports = r.collector.Collect(r.t.Context(), targets, r.now)
	r.now = r.now.Add(interval)
	return s
}

// report returns how the pod did in the latest collection.
func (r *rig) report(p *fakePod) SourceReport {
	r.t.Helper()
	return p.reportIn(r.t, r.reports)
}

// reportIn finds the report of the pod.
func (p *fakePod) reportIn(t testing.TB, reports []SourceReport) SourceReport {
	t.Helper()
	for _, one := range reports {
		if one.Kind == p.target.Kind && one.Pod == p.target.Pod {
			return one
		}
	}
	t.Fatalf("no report of %s", p.target.Pod)
	return SourceReport{}
}

func wantKnown(t testing.TB, what string, got planner.Reading, want float64) {
	t.Helper()
	if got.State != planner.StateKnown || math.Abs(got.Value-want) > 1e-9*max(1, want) {
		t.Errorf("%s = %+v, want %v", what, got, want)
	}
}

func wantZero(t testing.TB, what string, got planner.Reading) {
	t.Helper()
	if got.State != planner.StateZero || got.Value != 0 {
		t.Errorf("%s = %+v, want a confirmed zero", what, got)
	}
}

func wantUnknown(t testing.TB, what string, got planner.Reading, why string) {
	t.Helper()
	if got.State != planner.StateUnknown || got.Ok() {
		t.Errorf("%s = %+v, want unknown", what, got)
	} else if !strings.Contains(got.Why, why) || got.Why == "" {
		t.Errorf("%s is unknown because %q, want %q in it", what, got.Why, why)
	}
}

// frontend2025 is the page of the Dynamo frontend of 2025.
func frontend2025(finished, inFlight float64) []string {
	return []string{
		"# TYPE nv_llm_http_service_requests_total counter",
		fmt.Sprintf(`nv_llm_http_service_requests_total{endpoint="chat_completions",model="qwen3-32b",request_type="stream",status="success"} %v`, finished),
		"# TYPE nv_llm_http_service_inflight_requests gauge",
		fmt.Sprintf(`nv_llm_http_service_inflight_requests{model="qwen3-32b"} %v`, inFlight),
	}
}

// worker is a vLLM worker's counters of requests.
func worker(finished, running, waiting float64) []string {
	return []string{
		"# TYPE vllm:request_success_total counter",
		fmt.Sprintf(`vllm:request_success_total{engine="0",finished_reason="stop",model_name="qwen3-32b"} %v`, finished),
		"# TYPE vllm:num_requests_running gauge",
		fmt.Sprintf(`vllm:num_requests_running{engine="0",model_name="qwen3-32b"} %v`, running),
		"# TYPE vllm:num_requests_waiting gauge",
		fmt.Sprintf(`vllm:num_requests_waiting{engine="0",model_name="qwen3-32b"} %v`, waiting),
	}
}

// exported is a histogram's lines.
func exported(name string, b *buckets) []string {
	out := []string{"# TYPE " + name + " histogram"}
	for i, bound := range b.bounds {
		out = append(out, fmt.Sprintf(`%s_bucket{model="m",le="%v"} %v`, name, bound, b.upTo[i]))
	}
	return append(out, fmt.Sprintf(`%s_bucket{model="m",le="+Inf"} %v`, name, b.count),
		fmt.Sprintf(`%s_sum{model="m"} %v`, name, b.sum), fmt.Sprintf(`%s_count{model="m"} %v`, name, b.count))
}

// lines puts pages together.
func lines(parts ...[]string) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
