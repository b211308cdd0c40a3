package signals

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// parse reads a page as a vLLM decode pod's.
func parse(body, contentType string) (page, error) {
	return parsePage(strings.NewReader(body), contentType, vllmDecode.wanted, 1<<20)
}

func TestParseReadsBothFormats(t *testing.T) {
	text := `# HELP vllm:request_success_total Finished requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="m"} 7.0
vllm:request_success_total{finished_reason="length",model_name="m"} 2.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3
# TYPE vllm:request_generation_tokens histogram
vllm:request_generation_tokens_bucket{le="10",model_name="m"} 1
vllm:request_generation_tokens_bucket{le="100",model_name="m"} 8
vllm:request_generation_tokens_bucket{le="+Inf",model_name="m"} 9
vllm:request_generation_tokens_sum{model_name="m"} 612
vllm:request_generation_tokens_count{model_name="m"} 9
`
	open := strings.NewReplacer("# TYPE vllm:request_success_total counter", "# TYPE vllm:request_success counter",
		"# HELP vllm:request_success_total", "# HELP vllm:request_success",
		`{finished_reason="stop",model_name="m"} 7.0`, `{finished_reason="stop",model_name="m"} 7.0 # {trace="x"} 1.0 1700000000.5`).Replace(text) + "# EOF\n"
	for name, c := range map[string]struct{ body, contentType string }{
		"text":                   {text, "text/plain; version=0.0.4; charset=utf-8"},
		"text 1.0.0":             {text, "text/plain; version=1.0.0; escaping=allow-utf-8"},
		"no content type":        {text, ""},
		"openmetrics":            {open, openMetrics},
		"openmetrics no version": {open, "application/openmetrics-text"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(c.body, c.contentType)
			if err != nil {
				t.Fatal(err)
			}
			s := vllmDecode.read(p, "", epoch, epoch, DefaultMaxAge)
			if got := s.measured[requestsFinished].total(); got != 9 {
				t.Errorf("finished = %v, want 9", got)
			}
			if got := s.measured[requestsRunning].total(); got != 3 {
				t.Errorf("running = %v, want 3", got)
			}
			want := &buckets{bounds: []float64{10, 100}, upTo: []float64{1, 8}, count: 9, sum: 612}
			if diff := cmp.Diff(want, s.measured[outputTokens].series[0].hist, cmp.AllowUnexported(buckets{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefusesPagesThatAreNone(t *testing.T) {
	long := `vllm:num_requests_running{model_name="` + strings.Repeat("m", maxLine) + `"} 1` + "\n"
	for name, c := range map[string]struct{ body, contentType, want string }{
		"html":              {"<html>", "text/html", "not metrics"},
		"json":              {"{}", "application/json", "not metrics"},
		"broken type":       {"", "text/", "not metrics"},
		"protobuf":          {"", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", "not metrics"},
		"too large":         {strings.Repeat("# a comment\n", 1<<17), "", "larger than 1048576 bytes"},
		"long line":         {long, "", "line longer than"},
		"garbage value":     {"\n\nvllm:num_requests_running banana\n", "", "line 3"},
		"cut in a line":     {"vllm:num_requests_running 1", "", "unexpected end"},
		"openmetrics, half": {"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 1\n", openMetrics, "ends early"},
		"openmetrics, more": {"# EOF\nvllm:num_requests_running 1\n", openMetrics, "ends early"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.body, c.contentType)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
	broken := io.MultiReader(strings.NewReader("vllm:num_requests_running 1\n"), iotest.ErrReader(errors.New("connection reset")))
	if _, err := parsePage(broken, "", vllmDecode.wanted, 1<<20); err == nil || !strings.Contains(err.Error(), "cut off: connection reset") {
		t.Errorf("a page that was cut off: error = %v", err)
	}
}

func TestParseTurnsOpenMetricsIntoText(t *testing.T) {
	for name, c := range map[string]struct {
		line, want string
	}{
		"plain":              {"x 1", "x 1"},
		"time":               {"x 1 1700000000.25", "x 1 1700000000250"},
		"exemplar":           {`x{a="b"} 1 # {t="1"} 0.5 2`, `x{a="b"} 1`},
		"time and exemplar":  {`x{a="b"} 1 2 # {t="1"} 0.5 2`, `x{a="b"} 1 2000`},
		"brace in a label":   {`x{a="} # {",b="c"} 1`, `x{a="} # {",b="c"} 1`},
		"escaped quote":      {`x{a="\"} 9 # {"} 1`, `x{a="\"} 9 # {"} 1`},
		"escaped backslash":  {`x{a="\\"} 9 # {"} 1`, `x{a="\\"} 9`},
		"labels not closed":  {`x{a="b 1`, `x{a="b 1`},
		"time is no number":  {"x 1 soon", "x 1 soon"},
		"counter":            {"# TYPE x counter", "# TYPE x_total counter"},
		"counter with total": {"# TYPE x_total counter", "# TYPE x_total counter"},
		"gauge":              {"# TYPE x gauge", "# TYPE x gauge"},
		"unknown":            {"# TYPE x unknown", ""},
		"stateset":           {"# TYPE x stateset", ""},
	} {
		t.Run(name, func(t *testing.T) {
			line := []byte(c.line + "\n")
			if diff := cmp.Diff(c.want+"\n", string(appendAsText(nil, line, nameIn(line)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What an engine exports besides must not spoil what is wanted of it.
func TestParseSkipsWhatIsNotWanted(t *testing.T) {
	p, err := parse("# TYPE x info\nthis is { not a metric\nvllm:num_requests_running 4\nvllm:num_requests_running_by_whom banana\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.families) != 1 || p.samples != 3 || p.families["vllm:num_requests_running"].series[0].value != 4 {
		t.Errorf("page = %v, want the running requests only", p)
	}
}

func TestParseMarksSeriesThatCannotBeUsed(t *testing.T) {
	histogram := "# TYPE vllm:request_generation_tokens histogram\n"
	for name, c := range map[string]struct {
		body, want string
		what       quantity
	}{
		"NaN gauge":         {"vllm:num_requests_running NaN\n", "is NaN", requestsRunning},
		"infinite gauge":    {"vllm:num_requests_running +Inf\n", "is +Inf", requestsRunning},
		"negative counter":  {"vllm:request_success_total -1\n", "is -1", requestsFinished},
		"share in per cent": {"vllm:kv_cache_usage_perc 87\n", "is 87, but a share lies in 0..1", kvUse},
		"twice, different":  {"vllm:num_requests_running{a=\"1\",b=\"2\"} 1\nvllm:num_requests_running{b=\"2\",a=\"1\"} 2\n", "twice, as 1 and as 2", requestsRunning},
		"old":               {"vllm:num_requests_running 1 1000\n", "old", requestsRunning},
		"histogram as gauge": {"# TYPE vllm:num_requests_running histogram\nvllm:num_requests_running_bucket{le=\"1\"} 1\n" +
			"vllm:num_requests_running_sum 1\nvllm:num_requests_running_count 1\n", "", requestsRunning},
		"gauge as histogram": {"# TYPE vllm:request_generation_tokens gauge\nvllm:request_generation_tokens 5\n", "is not a histogram", outputTokens},
		"NaN sum":            {histogram + "vllm:request_generation_tokens_bucket{le=\"1\"} 1\nvllm:request_generation_tokens_sum NaN\nvllm:request_generation_tokens_count 1\n", "has the sum NaN", outputTokens},
		"no sum":             {histogram + "vllm:request_generation_tokens_bucket{le=\"1\"} 1\nvllm:request_generation_tokens_count 1\n", "has no sum", outputTokens},
		"NaN bucket":         {histogram + "vllm:request_generation_tokens_bucket{le=\"1\"} NaN\nvllm:request_generation_tokens_sum 1\nvllm:request_generation_tokens_count 1\n", "has a bucket 1 with NaN", outputTokens},
		"not cumulative":     {histogram + "vllm:request_generation_tokens_bucket{le=\"1\"} 4\nvllm:request_generation_tokens_bucket{le=\"2\"} 3\nvllm:request_generation_tokens_sum 1\nvllm:request_generation_tokens_count 4\n", "fewer observations up to 2 than up to 1", outputTokens},
		"bucket twice":       {histogram + "vllm:request_generation_tokens_bucket{le=\"1\"} 1\nvllm:request_generation_tokens_bucket{le=\"1\"} 3\nvllm:request_generation_tokens_sum 1\nvllm:request_generation_tokens_count 3\n", "has the bucket 1 twice", outputTokens},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(c.body, "")
			if err != nil {
				t.Fatal(err)
			}
			s := vllmDecode.read(p, "", epoch, epoch, DefaultMaxAge)
			if m, ok := s.measured[c.what]; ok {
				t.Errorf("read %v, want nothing", m)
			}
			if !strings.Contains(join(s.notes), c.want) {
				t.Errorf("notes = %q, want %q among them", join(s.notes), c.want)
			}
		})
	}
}

// A series that is exported twice with one value is one series.
func TestParseCountsEqualDuplicatesOnce(t *testing.T) {
	one := "vllm:request_generation_tokens_bucket{le=\"1\"} 4\nvllm:request_generation_tokens_bucket{le=\"+Inf\"} 5\n" +
		"vllm:request_generation_tokens_sum 9\nvllm:request_generation_tokens_count 5\n"
	p, err := parse("# TYPE vllm:request_generation_tokens histogram\n"+one+one+"vllm:num_requests_running 2\nvllm:num_requests_running 2\n", "")
	if err != nil {
		t.Fatal(err)
	}
	s := vllmDecode.read(p, "", epoch, epoch, DefaultMaxAge)
	if got := s.measured[requestsRunning].total(); got != 2 {
		t.Errorf("running = %v, want 2", got)
	}
	want := &buckets{bounds: []float64{1}, upTo: []float64{4}, count: 5, sum: 9}
	if diff := cmp.Diff(want, s.measured[outputTokens].series[0].hist, cmp.AllowUnexported(buckets{})); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse checks that no two pages in a row make anything panic, or make a
// reading that is not a finite number of zero or more.
func FuzzParse(f *testing.F) {
	seeds := []string{"", "# EOF\n", "vllm:num_requests_running 1\n",
		strings.Join(frontend2025(3, 1), "\n") + "\n", strings.Join(worker(1, 2, 3), "\n") + "\n",
		strings.Join(exported("vllm:request_generation_tokens", bucketsFrom(dynamoTokens, 40, 3000)), "\n") + "\n# EOF\n",
		strings.Join(exported(frontendTTFT, bucketsFrom(dynamoITL, .02, 9)), "\n") + "\n",
		strings.Join(exported("vllm:inter_token_latency_seconds", bucketsFrom([]float64{1e308}, 1e300)), "\n") + "\n",
		"# TYPE vllm:request_success counter\nvllm:request_success_total{a=\"b\"} 1 1.5 # {x=\"y\"} 1 2\n# EOF\n",
		"{\"vllm:num_requests_running\",a=\"b\"} 1\n", "vllm:kv_cache_usage_perc{a=\"\\", "# TYPE vllm:num_requests_running stateset\n# EOF\n",
		"DCGM_FI_PROF_DRAM_ACTIVE{UUID=\"GPU-0\",pod=\"decode\",namespace=\"default\"} 0.5\n"}
	for i, seed := range seeds {
		f.Add([]byte(seed), []byte(seeds[(i+1)%len(seeds)]), false)
		f.Add([]byte(seed), []byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, first, second []byte, open bool) {
		contentType := ""
		if open {
			contentType = openMetrics
		}
		c, err := New(Config{Engine: "dynamo-vllm", TTFTPercentile: 0.9, TPOTPercentile: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		v := view{cfg: &c.cfg}
		for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode, KindExporter} {
			v.listed = append(v.listed, newPod(Target{Kind: kind, Namespace: "default", Pod: string(kind), Ready: true}))
		}
		for i, body := range [][]byte{first, second} {
			v.now = epoch.Add(time.Duration(i) * interval)
			for _, p := range v.listed {
				words := readerOf(c.cfg.Engine, p.target.Kind)
				if got, err := parsePage(bytes.NewReader(body), contentType, words.wanted, 1<<20); err == nil {
					c.take(p, words, got, v.now, v.now)
				}
			}
			s := c.signals(&v)
			if _, err := json.Marshal(s); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			soundReadings(t, &s)
		}
	})
}

// soundReadings fails where a reading is neither known, zero nor unknown with its cause.
func soundReadings(t rapid.TB, s *planner.Signals) {
	t.Helper()
	for what, r := range map[string]planner.Reading{"demand": s.RequestsPerSecond, "input": s.InputTokens, "input SCV": s.InputSCV,
		"output": s.OutputTokens, "output SCV": s.OutputSCV, "cached": s.CachedShare, "TTFT": s.TTFTMs.Reading, "TPOT": s.TPOTMs.Reading,
		"prefill waiting": s.PrefillWaiting, "decode waiting": s.DecodeWaiting, "running": s.DecodeRunning, "KV": s.DecodeKVUse,
		"fullest": s.DecodeKVUseMax, "tensor": s.PrefillTensorActive, "DRAM": s.DecodeDRAMActive} {
		if r.State == planner.StateKnown && !r.Ok() || r.State == planner.StateUnknown && r.Why == "" || r.State == "" {
			t.Fatalf("%s = %+v", what, r)
		}
	}
}
