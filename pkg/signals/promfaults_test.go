package signals

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// busyRig is a service that was read for a while: 2 requests a second, one waits for decode.
func busyRig(t *testing.T, cfg Config) *promRig {
	r := newPromRig(t, cfg)
	f, d := r.pod(KindFrontend, "f"), r.pod(KindDecode, "d")
	for i := range 6 {
		f.set(frontend2025(float64(30*i), 0)...)
		d.set(append(worker(float64(30*i), 3, 1), "vllm:kv_cache_usage_perc 0.5")...)
		r.step(true)
	}
	return r
}

// F1: no answer of a Prometheus that is not one is taken for zero. What was read
// before holds until it is too old.
func TestF1PrometheusOutageIsNotZero(t *testing.T) {
	say := func(status int, contentType, body string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			io.WriteString(w, body)
			return true
		}
	}
	const empty = `{"status":"success","data":{"resultType":"matrix","result":[]}}`
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   string
	}{
		"error 500":        {say(500, "text/plain", "oops"), "answered 500 Internal Server Error, 200 is needed"},
		"error with words": {say(422, "application/json", `{"status":"error","errorType":"execution","error":"too many samples"}`), "answered execution: too many samples"},
		"timeout":          {func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, "did not answer in full within 50ms"},
		"unauthorized":     {say(401, "text/plain", "no"), "answered 401 Unauthorized"},
		"a login page":     {say(200, "text/html", "<html>"), "the answer is not that of a Prometheus"},
		"cut off":          {say(200, "application/json", empty[:40]), "the answer is not that of a Prometheus"},
		"a vector":         {say(200, "application/json", `{"status":"success","data":{"resultType":"vector","result":[]}}`), `holds a "vector"`},
		"no status":        {say(200, "application/json", `{"data":{"resultType":"matrix"}}`), `its status is ""`},
		"empty":            {say(200, "application/json", empty), "prometheus has no series of the pod"},
		"a bad sample": {say(200, "application/json",
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up"},"values":[[1,"x"]]}]}}`), "the answer is not that of a Prometheus"},
		"connection lost": {func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			r := busyRig(t, Config{})
			if name == "timeout" { // what went before was meant to be answered
				r.through.prom.client.timeout = 50 * time.Millisecond
			}
			r.prom.set(func(f *fakePrometheus) { f.intercept = c.answer })
			var s planner.Signals
			for range 6 {
				s = r.step(false)
				if r := s.RequestsPerSecond; r.State == planner.StateZero || r.Ok() && r.Value == 0 {
					t.Fatalf("demand = %+v", r)
				}
			}
			wantUnknown(t, "demand", s.RequestsPerSecond, "gave no count of requests: prometheus")
			if !strings.Contains(s.RequestsPerSecond.Why, c.want) {
				t.Errorf("demand is unknown because %q, want %q in it", s.RequestsPerSecond.Why, c.want)
			}
			wantUnknown(t, "KV use", s.DecodeKVUse, "prometheus")
			if s.DecodeSilent != 1 {
				t.Errorf("%d silent pods, want 1", s.DecodeSilent)
			}
		})
	}
}

// F2: 0/0 is NaN where a rate is divided by a rate. Raw counters that do not move are a confirmed zero.
func TestF2IdleThroughPrometheusIsAConfirmedZero(t *testing.T) {
	r := newPromRig(t, Config{})
	f := r.pod(KindFrontend, "f")
	f.set(lines(frontend2025(12, 0), exported("nv_llm_http_service_time_to_first_token_seconds", bucketsFrom(dynamoITL, .02)))...)
	var s planner.Signals
	for range 6 {
		s = r.step(true)
	}
	wantZero(t, "demand", s.RequestsPerSecond)
	wantUnknown(t, "TTFT", s.TTFTMs.Reading, "no request finished in the window")
}

// A NaN, an infinity and a negative value in the store are unknown, each for itself.
func TestValuesThatAreNoNumbers(t *testing.T) {
	for _, value := range []string{"NaN", "+Inf", "-5"} {
		t.Run(value, func(t *testing.T) {
			r := newPromRig(t, Config{Engine: "vllm"})
			d := r.pod(KindDecode, "d")
			d.set(append(worker(1, 3, 1), "vllm:kv_cache_usage_perc "+value)...)
			s := r.step(true)
			wantUnknown(t, "KV use", s.DecodeKVUse, "vllm:kv_cache_usage_perc is")
			wantKnown(t, "decode running", s.DecodeRunning, 3)
		})
	}
}

// Data that may be incomplete never says that there is little to do.
func TestWarningsAreNoReasonToScaleDown(t *testing.T) {
	r := busyRig(t, Config{})
	wantKnown(t, "demand", r.collectThrough().RequestsPerSecond, 2)
	r.prom.set(func(f *fakePrometheus) { f.warnings = []string{"store 10.0.0.7 did not answer"} })
	s := r.collectThrough()
	wantUnknown(t, "demand", s.RequestsPerSecond, "in part: store 10.0.0.7 did not answer")
	wantKnown(t, "decode waiting", s.DecodeWaiting, 1)
	if !strings.HasPrefix(s.DecodeWaiting.Source, "at least") {
		t.Errorf("source = %q, want it marked", s.DecodeWaiting.Source)
	}
	if got := r.throughReports[0]; !got.OK || !strings.Contains(got.Detail, "in part") {
		t.Errorf("report = %+v", got)
	}
	r.prom.set(func(f *fakePrometheus) { f.warnings = nil })
	r.prom.set(func(f *fakePrometheus) {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, `{"status":"success","isPartial":true,"data":{"resultType":"matrix","result":[]}}`)
			return true
		}
	})
	wantUnknown(t, "demand of VictoriaMetrics", r.collectThrough().RequestsPerSecond, "marked as partial")
}

// A zero in part of the data is not confirmed.
func TestPartialZeroIsUnknown(t *testing.T) {
	r := newPromRig(t, Config{Engine: "vllm"})
	r.pod(KindDecode, "d").set(worker(1, 0, 0)...)
	wantZero(t, "decode waiting", r.step(true).DecodeWaiting)
	r.prom.set(func(f *fakePrometheus) { f.warnings = []string{"x"} })
	wantUnknown(t, "decode waiting", r.collectThrough().DecodeWaiting, "in part")
}

// One query that fails leaves the others alone: each has a deadline of its own, and all are asked side by side.
func TestOneQueryThatHangsBlocksNoOther(t *testing.T) {
	r := busyRig(t, Config{})
	r.through.prom.client.timeout = brief
	var mu sync.Mutex
	asked, gaveUp := 0, []int{} // the others asked so far, and how many they were whenever one was given up
	r.prom.set(func(f *fakePrometheus) {
		f.intercept = func(_ http.ResponseWriter, req *http.Request) bool {
			hangs := strings.Contains(req.Form.Get("query"), "DCGM")
			if hangs {
				<-req.Context().Done()
			}
			mu.Lock()
			defer mu.Unlock()
			if hangs {
				gaveUp = append(gaveUp, asked)
			} else {
				asked++
			}
			return hangs
		}
	})
	s := r.step(true)
	await(t, "the server to hear that a query was given up", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(gaveUp) > 0
	})
	mu.Lock()
	defer mu.Unlock()
	if slices.ContainsFunc(gaveUp, func(before int) bool { return before < asked }) || asked == 0 {
		t.Errorf("of %d other queries only %v were asked while one hung", asked, gaveUp)
	}
	wantKnown(t, "KV use", s.DecodeKVUse, 0.5)
	wantUnknown(t, "DRAM", s.DecodeDRAMActive, "did not answer in full")
}

// A service cannot have its credentials sent elsewhere: a redirect is an error,
// and the other host never hears of it.
func TestCredentialsStayWithTheirHost(t *testing.T) {
	var heard atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := newPromRig(t, Config{Prometheus: &PrometheusConfig{BearerToken: "secret"}})
			r.pod(KindDecode, "d")
			r.prom.set(func(f *fakePrometheus) {
				f.intercept = func(w http.ResponseWriter, req *http.Request) bool {
					http.Redirect(w, req, other.URL+"/api/v1/query", status)
					return true
				}
			})
			wantUnknown(t, "KV use", r.step(false).DecodeKVUse, "redirects are not followed")
		})
	}
	if n := heard.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

// No proxy of the environment sees a query.
func TestNoProxyIsUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	c, err := newPromClient(&PrometheusConfig{URL: "http://prometheus.example"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if transport := c.http.Transport.(*http.Transport); transport.Proxy != nil {
		t.Error("queries go through a proxy")
	}
}

// A credential is in no report and in no error.
func TestCredentialsAreNeverShown(t *testing.T) {
	const secret = "s3cr3t-t0ken"
	r := newPromRig(t, Config{Prometheus: &PrometheusConfig{BearerToken: secret}})
	r.pod(KindDecode, "d")
	r.prom.set(func(f *fakePrometheus) {
		f.intercept = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true }
	})
	s := r.step(false)
	if text := fmt.Sprintf("%+v %+v", s, r.throughReports); strings.Contains(text, secret) {
		t.Errorf("the token is shown: %s", text)
	}
	_, err := PrometheusConfig{URL: "http://" + secret + ":x@host"}.withDefaults()
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("error = %v, want one that does not repeat the address", err)
	}
}

// What goes over the wire.
func TestQueriesCarryCredentialsAndTenant(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    PrometheusConfig
		header map[string]string
	}{
		"token": {PrometheusConfig{BearerToken: "abc"}, map[string]string{"Authorization": "Bearer abc"}},
		"basic": {PrometheusConfig{User: "me", Password: "pw"}, map[string]string{"Authorization": "Basic bWU6cHc="}},
		"tenant": {PrometheusConfig{Headers: map[string]string{"X-Scope-OrgID": "team-a"}},
			map[string]string{"X-Scope-Orgid": "team-a", "Authorization": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newPromRig(t, Config{Prometheus: &c.cfg})
			r.pod(KindDecode, "d")
			r.step(false)
			_, requests := r.prom.asked()
			got := requests[0]
			for name, want := range c.header {
				if got.Header.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, got.Header.Get(name), want)
				}
			}
			if got.Method != http.MethodPost || got.URL.Path != "/api/v1/query" || got.URL.RawQuery != "" {
				t.Errorf("%s %s, want POST /api/v1/query", got.Method, got.URL)
			}
		})
	}
}

// A proxy that lets only GET through is asked by GET; a path before /api stays.
func TestQueriesByGetAndBehindAPath(t *testing.T) {
	cfg := &PrometheusConfig{}
	r := newPromRig(t, Config{Engine: "vllm", Prometheus: cfg})
	cfg.URL = r.prom.url + "/select/0/prometheus/"
	cfg.GPUs = false
	var err error
	if r.through, err = New(Config{Engine: "vllm", TTFTPercentile: .9, TPOTPercentile: .9, Timeout: patience, Prometheus: cfg}); err != nil {
		t.Fatal(err)
	}
	d := r.pod(KindDecode, "d")
	d.set(worker(1, 3, 1)...)
	var mu sync.Mutex
	var paths []string
	r.prom.set(func(f *fakePrometheus) {
		f.intercept = func(w http.ResponseWriter, req *http.Request) bool {
			mu.Lock()
			paths = append(paths, req.Method+" "+req.URL.Path)
			mu.Unlock()
			if req.Method == http.MethodPost {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			return false
		}
	})
	wantKnown(t, "decode running", r.step(true).DecodeRunning, 3)
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(paths, ", "); got != "POST /select/0/prometheus/api/v1/query, GET /select/0/prometheus/api/v1/query" {
		t.Errorf("asked %s", got)
	}
}

func TestPrometheusConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  PrometheusConfig
		want string
	}{
		"no address":          {PrometheusConfig{}, "the address is not valid"},
		"no host":             {PrometheusConfig{URL: "http://:9090"}, "the address is not valid"},
		"another scheme":      {PrometheusConfig{URL: "file:///etc/passwd"}, "the address is not valid"},
		"a socket":            {PrometheusConfig{URL: "unix://host/x"}, `begins with "unix"`},
		"a user":              {PrometheusConfig{URL: "http://me@host"}, "they belong in a Secret"},
		"a user and password": {PrometheusConfig{URL: "https://me:pw@host"}, "they belong in a Secret"},
		"a query":             {PrometheusConfig{URL: "http://host/?a=b"}, "only a path is allowed"},
		"a fragment":          {PrometheusConfig{URL: "http://host/#x"}, "only a path is allowed"},
		"two ways in":         {PrometheusConfig{URL: "http://host", BearerToken: "a", User: "b"}, "give one of them"},
		"a token of lines":    {PrometheusConfig{URL: "http://host", BearerToken: "a\nX-Evil: b"}, "no header can carry"},
		"a colon":             {PrometheusConfig{URL: "http://host", User: "a:b", Password: "c"}, "holds a colon"},
		"authorization":       {PrometheusConfig{URL: "http://host", Headers: map[string]string{"authorization": "x"}}, "may not be set"},
		"host":                {PrometheusConfig{URL: "http://host", Headers: map[string]string{"HOST": "x"}}, "may not be set"},
		"a header of lines":   {PrometheusConfig{URL: "http://host", Headers: map[string]string{"X-A": "x\r\nb"}}, "HTTP can carry"},
		"a label":             {PrometheusConfig{URL: "http://host", PodLabel: `pod"}`}, "is no label"},
		"a matcher":           {PrometheusConfig{URL: "http://host", Matchers: map[string]string{"a-b": "x"}}, "is no label"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.cfg.withDefaults(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
	for _, address := range []string{"http://prometheus:9090", "https://thanos.example/prometheus", "http://10.0.0.1/select/0/prometheus/", "http://[::1]:9090"} {
		if _, err := (PrometheusConfig{URL: address}).withDefaults(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
