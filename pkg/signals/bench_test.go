package signals

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// vllmPage is a page as large as vLLM's: its histograms, and what Python and
// the web server export beside them.
func vllmPage(finished float64) string {
	var out []string
	bounds := make([]float64, 25)
	for i := range bounds {
		bounds[i] = 0.01 * float64(int(1)<<i)
	}
	for _, name := range []string{"time_to_first_token_seconds", "inter_token_latency_seconds", "request_time_per_output_token_seconds",
		"e2e_request_latency_seconds", "request_queue_time_seconds", "request_inference_time_seconds", "request_prefill_time_seconds",
		"request_decode_time_seconds", "request_prompt_tokens", "request_generation_tokens", "request_params_n", "request_params_max_tokens",
		"iteration_tokens_total"} {
		out = append(out, exported("vllm:"+name, bucketsFrom(bounds, .02, .3, 4))...)
	}
	for i := range 200 {
		out = append(out, fmt.Sprintf(`http_request_duration_seconds_bucket{handler="/v1/completions",le="%d.0",method="POST"} %d.0`, i, i))
	}
	return strings.Join(lines(out, worker(finished, 3, 1), []string{"vllm:kv_cache_usage_perc 0.42"}), "\n") + "\n"
}

// thousand is a collector and a thousand pods on loopback, half prefill and half
// decode, each with the whole page of a vLLM engine. The pages come from one
// server under a thousand paths, so that what is measured is the reader.
func thousand(tb testing.TB) (collect func(), pageBytes int) {
	tb.Helper()
	const pods = 1000
	page := vllmPage(100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, page)
	}))
	tb.Cleanup(server.Close)
	c, err := New(Config{Engine: EngineAuto, TTFTPercentile: .9, TPOTPercentile: .9, Timeout: time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	var targets []Target
	for i := range pods {
		kind := KindPrefill
		if i%2 == 0 {
			kind = KindDecode
		}
		targets = append(targets, Target{Kind: kind, Namespace: "default", Pod: fmt.Sprint(i), UID: fmt.Sprint(i), URL: fmt.Sprintf("%s/%d", server.URL, i), Ready: true})
	}
	now := epoch
	collect = func() {
		s, _ := c.Collect(tb.Context(), targets, now)
		if s.DecodeSilent+s.PrefillSilent > 0 {
			tb.Fatalf("%d pods are silent", s.DecodeSilent+s.PrefillSilent)
		}
		now = now.Add(interval)
	}
	for range 10 { // the histories are as long as they get
		collect()
	}
	return collect, pods * len(page)
}

// inUse is the memory that the process holds for its heap and stacks.
func inUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkCollect1000 reads a thousand pods. It prints the time of one
// collection and the memory that the process holds while it reads, the pods' server included.
func BenchmarkCollect1000(b *testing.B) {
	collect, pageBytes := thousand(b)
	worst, mostBytes := time.Duration(0), uint64(0)
	b.SetBytes(int64(pageBytes))
	b.ResetTimer()
	before, n := cpuTime(b), 0
	for b.Loop() {
		began := time.Now()
		collect()
		worst, mostBytes = max(worst, time.Since(began)), max(mostBytes, inUse())
		n++
	}
	// On a machine with other work the time on the clock says little.
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(n), "cpu-s/collection")
	b.ReportMetric(worst.Seconds(), "worst-s/collection")
	b.ReportMetric(float64(mostBytes)/1e6, "MB-in-use")
}

// The cost of a thousand pods stays within 2 s of two cores and 150 MB. What
// counts is the time of the cores: that of the clock is other programs' too.
func TestThousandPodsKeepToTheirCost(t *testing.T) {
	if os.Getenv("PDAUTOSCALER_LONG") == "" {
		t.Skip("takes half a minute: set PDAUTOSCALER_LONG=1")
	}
	collect, _ := thousand(t)
	const collections, cores, most, mostBytes = 3, 2, 2 * time.Second, 150e6
	before, held := cpuTime(t), uint64(0)
	for range collections {
		collect()
		held = max(held, inUse())
	}
	each := (cpuTime(t) - before) / collections
	t.Logf("%v of %d cores and %.0f MB for a collection of a thousand pods", each/cores, cores, float64(held)/1e6)
	if each/cores > most || float64(held) > mostBytes {
		t.Errorf("a collection takes %v of %d cores and %.0f MB, at most %v and %.0f MB are allowed", each/cores, cores, float64(held)/1e6, most, mostBytes/1e6)
	}
}

// cpuTime is what the process has had of all cores.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkParse parses one such page.
func BenchmarkParse(b *testing.B) {
	page := vllmPage(100)
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if _, err := parsePage(strings.NewReader(page), "", vllmDecode.wanted, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPrometheus200 reads two hundred such pods through a Prometheus
// that has four scrapes of each. Its answers are made once.
func BenchmarkPrometheus200(b *testing.B) {
	const pods, scrapes = 200, 4
	f := newFakePrometheus(b)
	answers := map[string][]byte{}
	var targets []Target
	for i := range pods {
		kind := KindPrefill
		if i%2 == 0 {
			kind = KindDecode
		}
		p := &fakePod{body: vllmPage(100), status: http.StatusOK, target: Target{Kind: kind, Namespace: "default", Pod: fmt.Sprint(kind, i), UID: fmt.Sprint(i), URL: "http://10.0.0.1:8000/metrics", Ready: true}}
		targets = append(targets, p.target)
		for j := range scrapes {
			f.scrape(p, epoch.Add(time.Duration(j)*interval), nil)
		}
	}
	f.now = epoch.Add(scrapes * interval)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		f.mu.Lock()
		answer := answers[query]
		f.mu.Unlock()
		if answer == nil {
			record := httptest.NewRecorder()
			f.ServeHTTP(record, r)
			answer = record.Body.Bytes()
			f.set(func(*fakePrometheus) { answers[query] = answer })
		}
		w.Header()["Date"] = nil
		w.Write(answer)
	}))
	b.Cleanup(server.Close)
	collect := func() {
		c, err := New(Config{Engine: "vllm", TTFTPercentile: .9, TPOTPercentile: .9, MaxAge: 2 * time.Minute, Timeout: time.Minute, Prometheus: &PrometheusConfig{URL: server.URL}})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if s, reports := c.Collect(b.Context(), targets, f.now); s.DecodeSilent+s.PrefillSilent > 0 {
			b.Fatalf("%d pods are silent: %+v", s.DecodeSilent+s.PrefillSilent, reports[1])
		}
	}
	collect()
	b.ResetTimer()
	before, n := cpuTime(b), 0
	for b.Loop() {
		collect()
		n++
	}
	b.ReportMetric((cpuTime(b)-before).Seconds()/float64(n), "cpu-s/collection")
	bytes := 0
	for _, answer := range answers {
		bytes += len(answer)
	}
	b.ReportMetric(float64(bytes)/1e6, "MB-answered")
}
