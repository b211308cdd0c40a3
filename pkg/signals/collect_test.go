package signals

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// F28: each source has its own deadline and all run side by side: pods that
// hang cost one timeout together and hide nobody.
func TestF28PodsThatHangBlockNobody(t *testing.T) {
	r := newRig(t, Config{Timeout: brief, Concurrency: 8})
	var good []*fakePod
	for i := range 14 {
		p := r.pod(KindDecode, fmt.Sprintf("d%02d", i))
		p.set(worker(1, 1, 0)...)
		if i < 7 {
			p.hang = true
		} else {
			good = append(good, p)
		}
	}
	for range 2 {
		together := &atMost{}
		for _, p := range r.pods[:7] {
			p.change(func(p *fakePod) { p.hangs = together })
		}
		s := r.collect()
		if n := together.seen(); n != 7 {
			t.Errorf("at most %d pods hung at the same time: the 7 that hang for %v each were waited for in turn", n, brief)
		}
		wantKnown(t, "decode running of the others", s.DecodeRunning, 7)
		if s.DecodeSilent != 7 {
			t.Errorf("silent = %d, want 7", s.DecodeSilent)
		}
		for _, p := range r.pods[:7] {
			if got := r.report(p); got.OK || !strings.Contains(got.Error, "did not answer in full within "+brief.String()) {
				t.Errorf("report = %+v, want a deadline", got)
			}
		}
		for _, p := range good {
			if got := r.report(p); !got.OK || got.Error != "" || got.Age != 0 {
				t.Errorf("report = %+v, want it OK and fresh", got)
			}
		}
	}
}

// Pods that failed before are asked last: with one page at a time, those that
// hang come after the good one.
func TestPodsThatFailedAreReadLast(t *testing.T) {
	r := newRig(t, Config{Concurrency: 1})
	var mu sync.Mutex
	var asked []string
	for _, name := range []string{"bad", "good"} {
		p := r.pod(KindDecode, name)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			mu.Lock()
			asked = append(asked, name)
			mu.Unlock()
			if name == "bad" {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			fmt.Fprintln(w, "vllm:num_requests_running 1")
		}))
		t.Cleanup(server.Close)
		p.target.URL = server.URL
	}
	r.collect()
	r.collect()
	if got := strings.Join(asked, " "); got != "bad good good bad" {
		t.Errorf("asked %s, want bad good good bad", got)
	}
}

func TestCollectStopsWithItsContext(t *testing.T) {
	r := newRig(t, Config{Timeout: time.Hour})
	p := r.pod(KindDecode, "d")
	p.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, reports := r.collector.Collect(ctx, []Target{p.target}, r.now)
	if s.DecodeSilent != 1 || reports[0].OK {
		t.Errorf("silent = %d, report = %+v, want the pod not read", s.DecodeSilent, reports[0])
	}
}

func TestPagesThatAreRefused(t *testing.T) {
	valid := strings.Join(worker(1, 1, 1), "\n") + "\n"
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		url     string
		want    string
	}{
		"huge": {handler: func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 10 {
				fmt.Fprint(w, strings.Repeat("# nothing\n", 100))
			}
		}, want: "the page is larger than 65536 bytes"},
		"small but huge when unpacked": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 1 << 10 {
				fmt.Fprint(z, strings.Repeat("# nothing\n", 100))
			}
			z.Close()
		}, want: "the page is larger than 65536 bytes"},
		"not found": {handler: http.NotFound, want: "answered 404 Not Found, 200 is needed"},
		"redirected": {handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/metrics", http.StatusFound)
		}, want: "answered 302 Found"},
		"cut off": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			fmt.Fprint(w, valid)
		}, want: "the page was cut off"},
		"nobody listens": {url: "http://127.0.0.1:1/metrics", want: "connection refused"},
		"no address":     {url: "http://%zz", want: "the address is not valid"},
		"no scheme":      {url: "127.0.0.1/metrics", want: "unsupported protocol scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{MaxBodyBytes: 64 << 10})
			p := r.pod(KindDecode, "d")
			p.target.URL = c.url
			if c.handler != nil {
				server := httptest.NewServer(c.handler)
				t.Cleanup(server.Close)
				p.target.URL = server.URL + "/metrics"
			}
			s := r.collect()
			wantUnknown(t, "decode running", s.DecodeRunning, c.want)
			if got := r.report(p); got.OK || strings.Count(got.Error, p.target.URL) != 1 || got.Pod != "d" || got.Kind != KindDecode {
				t.Errorf("report = %+v, want one with the address, once", got)
			}
		})
	}
}

// A target that is listed twice is read and counted once.
func TestDuplicateTargetsCountOnce(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindDecode, "d")
	p.set(worker(1, 4, 0)...)
	asked := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		p.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	p.target.URL = server.URL
	s, reports := r.collector.Collect(t.Context(), []Target{p.target, p.target}, r.now)
	wantKnown(t, "decode running", s.DecodeRunning, 4)
	if asked.Load() != 1 || len(reports) != 1 {
		t.Errorf("asked %d times, %d reports, want 1 and 1", asked.Load(), len(reports))
	}
}

func TestCollectNothing(t *testing.T) {
	r := newRig(t, Config{})
	s := r.collect()
	for what, got := range map[string]struct {
		why  string
		have string
	}{
		"demand":         {"there is no pod to read demand from", s.RequestsPerSecond.Why},
		"decode running": {"there is no decode pod to read", s.DecodeRunning.Why},
		"TTFT":           {"there is no prefill pod to read", s.TTFTMs.Why},
		"activity":       {"there is no prefill pod", s.PrefillTensorActive.Why},
		"arrival SCV":    {"in no engine's metrics", s.ArrivalSCV.Why},
	} {
		if !strings.Contains(got.have, got.why) {
			t.Errorf("%s: %q, want %q", what, got.have, got.why)
		}
	}
	if len(r.reports) != 0 {
		t.Errorf("reports = %v, want none", r.reports)
	}
}

// A page that gives its own times is as old as it says.
func TestReadingsAreAsOldAsThePageSays(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindDecode, "d")
	at := r.now.Add(-20 * time.Second)
	p.set(fmt.Sprintf("vllm:num_requests_running 3 %d", at.UnixMilli()))
	s := r.collect()
	wantKnown(t, "decode running", s.DecodeRunning, 3)
	if !s.DecodeRunning.At.Equal(at) {
		t.Errorf("at %v, want %v", s.DecodeRunning.At, at)
	}
	if got := r.report(p); got.Age != 20*time.Second {
		t.Errorf("report = %+v, want an age of 20s", got)
	}
	for range 4 {
		s = r.collect()
	}
	wantUnknown(t, "decode running", s.DecodeRunning, "is 1m20s old")
}

// The clock of the machine may be set back; nothing is worked out across that.
func TestClockGoesBack(t *testing.T) {
	r := newRig(t, Config{})
	p := r.pod(KindFrontend, "f")
	finished := 0.0
	r.steady(p, 5, &finished, 2)
	r.now = r.now.Add(-time.Hour)
	p.set(frontend2025(finished, 0)...)
	wantUnknown(t, "demand", r.collect().RequestsPerSecond, "long enough")
	p.set(frontend2025(finished+30, 0)...)
	wantKnown(t, "demand", r.collect().RequestsPerSecond, 2)
}

// Pods come and go for months: what is gone is forgotten.
func TestPodsThatAreGoneAreForgotten(t *testing.T) {
	r := newRig(t, Config{})
	for i := range 50 {
		p := r.pod(KindDecode, "d")
		p.target.UID = fmt.Sprint(i)
		p.set(worker(1, 1, 0)...)
		r.collect()
		r.remove(p)
	}
	if n := len(r.collector.pods); n > 6 {
		t.Errorf("%d pods are remembered, want those of the last minute", n)
	}
	p := r.pod(KindDecode, "stays")
	p.set(worker(1, 1, 0)...)
	for range 50 {
		r.collect()
	}
	for _, p := range r.collector.pods {
		if len(p.points) > 10 {
			t.Errorf("%d points are kept of a pod, want two minutes' worth", len(p.points))
		}
	}
}

// What was read before the clock went back, of a pod that does not answer any more, is not news for as long as it went back.
func TestClockGoesBackWhileAPodIsSilent(t *testing.T) {
	r := newRig(t, Config{})
	p, gone := r.pod(KindFrontend, "f"), r.pod(KindFrontend, "g")
	finished := 0.0
	gone.set(frontend2025(0, 0)...)
	r.steady(p, 5, &finished, 2)
	gone.set(frontend2025(600, 0)...)
	r.steady(p, 1, &finished, 2)
	r.remove(gone)
	r.now = r.now.Add(-time.Hour)
	p.change(func(p *fakePod) { p.status = 500 })
	wantUnknown(t, "demand at once", r.collect().RequestsPerSecond, "500")
	for range 20 { // far over the maximum age
		wantUnknown(t, "demand", r.collect().RequestsPerSecond, "500")
	}
	p.change(func(p *fakePod) { p.status = 200 })
	wantKnown(t, "demand", r.steady(p, 5, &finished, 2).RequestsPerSecond, 2)
}
