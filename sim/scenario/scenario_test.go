package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pdautoscaler/pdautoscaler/sim/des"
)

const small = `
model: qwen3-32b
gpu: h200
prefill: {tp: 2, replicas: 2}
decode: {tp: 2}
traffic: {generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}}
slo: {ttft: {p95: 2s}, tpot: {p95: 40ms}}
`

func build(t *testing.T, text string, o Options) *Scenario {
	t.Helper()
	f, err := Parse([]byte(text), "s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(f, "s.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t *testing.T, s *Scenario) *Report {
	t.Helper()
	r, err := s.Run(t.Context(), time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaults(t *testing.T) {
	s := build(t, small, Options{})
	if diff := cmp.Diff([]string{"static", "pdautoscaler"}, s.Policies); diff != "" {
		t.Error(diff)
	}
	spec := &s.Setup.Spec
	if spec.Prefill.Min != 1 || spec.Prefill.Max != 16 || s.Setup.Start.Prefill != 2 || s.Setup.Start.Decode != 1 || spec.Decode.GPUsPerReplica != 2 {
		t.Errorf("roles %+v, %+v from %+v", spec.Prefill, spec.Decode, s.Setup.Start)
	}
	if s.Setup.PrefillStartup != 100*time.Second || s.Engine.Decode.Startup != 2*time.Minute || s.Engine.Prefill.Grace != 3*time.Minute {
		t.Errorf("times %v, %+v", s.Setup.PrefillStartup, s.Engine)
	}
	if s.Engine.Service.MaxSequences != 256 || s.Engine.Service.PadTokens != 1 || s.Engine.Service.TransferBlocksPrefill || spec.BudgetGPUs != 0 {
		t.Errorf("service %+v", s.Engine.Service)
	}
	if spec.TTFT.Ms != 2000 || spec.TTFT.Quantile != 0.95 || spec.TPOT.Ms != 40 || spec.Behavior.IntervalSeconds != 15 {
		t.Errorf("objectives %+v, %+v, %+v", spec.TTFT, spec.TPOT, spec.Behavior)
	}
}

func TestEveryKeyArrives(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.csv"), []byte("arrival_s,input,output\n0,10,5\n1,20,6\n5,30,7\n9,10,5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := build(t, `
model: Qwen/Qwen3-32B
prefill: {gpu: h200, tp: 2, replicas: 3, min: 2, max: 5, kvTokens: 900000, batching: tokenBudget, maxBatchTokens: 4096, padTokens: 64, kvTransfer: blocking, cacheTokens: 5120}
decode: {gpu: h100, tp: 4, replicas: 2, max: 4, kvTokens: 123456, maxSeqs: 63}
link: {gbps: 400, latency: 2ms}
routing: kv-aware
traffic: {trace: t.csv, format: plain, start: 1s, duration: 8s, repeat: 2, speed: 2, rateScale: 3}
slo: {ttft: {p90: 1500ms}, tpot: {p99.9: 30ms}, ttftEndsAt: decode}
budget: {gpus: 24}
startup: {prefill: 10s, decode: 20s}
drain: {prefill: 5s, decode: 6s}
readings: {scrape: 5s, window: 30s, maxAge: 45s, noise: 0.1, outages: [{at: 1m, for: 2m}]}
faults: [{kind: kill, role: decode, at: 3s, replicas: 2}, {kind: stuckPending, role: prefill, at: 1s, for: 2s}]
interval: 20s
planner: {downWindow: 3m, headroom: -0.1, tolerance: 0.2, startup: 33s, rebalance: false}
policies: [oracle]
seed: 9
`, Options{Dir: dir})
	e, spec := &s.Engine, &s.Setup.Spec
	got := []any{e.Service.Prefill.KVCapacityTokens, e.Service.Decode.KVCapacityTokens, e.Service.Decode.GPUs, e.Service.MaxSequences, e.Service.PadTokens,
		e.Service.TransferBlocksPrefill, string(e.Batching), e.MaxBatchTokens, spec.Service.ChunkTokens, e.PrefixCacheTokens, string(e.Routing), string(e.Service.TTFTEndsAt),
		e.Service.Prefill.Transfer.LatencyMs, e.Prefill, e.Decode, spec.Prefill.Min, spec.Decode.Max, spec.BudgetGPUs, spec.TTFT.Quantile, spec.TPOT.Quantile, spec.TPOT.Ms,
		float64(spec.Behavior.IntervalSeconds), float64(spec.Behavior.DownWindowSeconds), spec.Behavior.Headroom, spec.Behavior.Tolerance, float64(spec.Behavior.StartupSeconds),
		float64(spec.Behavior.MaxAgeSeconds), spec.Rebalance.Enabled, s.Readings.Scrape, s.Readings.Window, s.Readings.Noise, s.Readings.Seed, len(s.Readings.Outages), len(e.Faults)}
	want := []any{900000.0, 123456.0, 4, 63, 64, true, "tokenBudget", 4096, 4096, 5120, "kv-aware", "decode",
		2.0, des.Pool{Replicas: 3, Startup: 10 * time.Second, Grace: 5 * time.Second}, des.Pool{Replicas: 2, Startup: 20 * time.Second, Grace: 6 * time.Second},
		2, 4, 24, 0.9, 0.999, 30.0, 20.0, 180.0, -0.1, 0.2, 33.0, 45.0, false, 5 * time.Second, 30 * time.Second, 0.1, uint64(9), 1, 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// 262144 B per token over 400 Gbit/s is 5.24 us.
	if got := e.Service.Prefill.Transfer.MsPerToken; got < 0.005242 || got > 0.005244 {
		t.Errorf("a token takes %v ms over the link", got)
	}
	// [1 s, 9 s) holds two requests; twice, in half the time, three of each.
	if s.Traffic.Len() != 12 || s.Traffic.Duration() != 8*time.Second {
		t.Errorf("%d requests in %v", s.Traffic.Len(), s.Traffic.Duration())
	}
}

func TestMistakesAreNamed(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(small, from, to, 1) }
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "s.yaml is empty"},
		"unknown key":      {small + "policy: [static]\n", "s.yaml line 8: key policy is unknown; docs/scenario.md lists those that are allowed"},
		"unknown deep key": {change("replicas: 2", "replica: 2"), "s.yaml line 4: key replica is unknown"},
		"twice":            {small + "gpu: h100\n", "s.yaml line 8: mapping key \"gpu\" already defined at line 3"},
		"wrong type":       {change("replicas: 2", "replicas: two"), `s.yaml line 4: "two" is not what the key takes; allowed is a whole number`},
		"duration":         {change("10m", "10"), `s.yaml line 6: "10" is no duration; allowed is a Go duration`},
		"negative":         {change("10m", "-10m"), `"-10m" is no duration`},
		"headroom":         {small + "planner: {headroom: 10}\n", "s.yaml: planner.headroom is 10; allowed is a share from -0.5 to 4"},
		"two documents":    {small + "---\nmodel: x\n", "s.yaml holds more than one document"},
		"no YAML":          {"a: [", "s.yaml"},
		"no model":         {change("model: qwen3-32b", ""), "s.yaml: model is missing"},
		"model":            {change("qwen3-32b", "gpt-9"), `s.yaml: model: model "gpt-9" is not in the catalogue`},
		"gpu":              {change("gpu: h200", ""), "s.yaml: gpu is missing"},
		"no config":        {change("qwen3-32b", "none.json"), "none.json"},
		"tp":               {change("tp: 2", "tp: 0"), "s.yaml: prefill.tp is 0; allowed is 1 or more"},
		"too big":          {change("decode: {tp: 2}", "decode: {gpu: l40s}"), "s.yaml: decode: model"},
		"min":              {change("replicas: 2", "min: 5, max: 4"), "s.yaml: prefill: min is 5 and max is 4"},
		"start":            {change("replicas: 2", "replicas: 20"), "s.yaml: prefill.replicas is 20; allowed is from min (1) to max (16)"},
		"budget":           {small + "budget: {gpus: 5}\n", "s.yaml: budget.gpus is 5 and the replicas at the start take 6"},
		"slo":              {change("p95: 2s", "p95: 2s, p99: 3s"), "s.yaml: slo.ttft: allowed is one percentile"},
		"percentile":       {change("p95: 40ms", "median: 40ms"), "s.yaml: slo.tpot: allowed is one percentile"},
		"end":              {small + "routing: best\n", `s.yaml: routing is "best"; allowed are ["least-loaded" "round-robin" "kv-aware"]`},
		"batching":         {change("replicas: 2", "batching: many"), `s.yaml: prefill.batching is "many"; allowed are ["single" "tokenBudget"]`},
		"cut replicas":     {change("replicas: 2", "replicas: 2.9"), `s.yaml line 4: "2.9" is not what the key takes; allowed is a whole number`},
		"cut budget":       {small + "budget: {gpus: 16.7}\n", `s.yaml line 8: "16.7" is not what the key takes; allowed is a whole number`},
		"cut in a list":    {small + "faults: [{kind: kill, role: decode, at: 1m}, {kind: kill, replicas: .5}]\n", `s.yaml line 8: ".5" is not what the key takes; allowed is a whole number`},
		"cut by merge":     {change("decode: {tp: 2}", "decode: {<<: &two {tp: 2.5}}"), `s.yaml line 5: "2.5" is not what the key takes; allowed is a whole number`},
		"cut seed":         {small + "seed: 1.5\n", `s.yaml line 8: "1.5" is not what the key takes; allowed is a whole number of 0 or more`},
		"seed":             {small + "seed: -1\n", `s.yaml line 8: "-1" is not what the key takes; allowed is a whole number of 0 or more`},
		"a list":           {small + "budget: [8]\n", "s.yaml line 8: this is not what the key takes; allowed is keys and values"},
		"policies":         {small + "policies: [static, magic]\n", `s.yaml: policy "magic" is unknown; allowed are aibrix-apa`},
		"policy twice":     {small + "policies: [static, static]\n", `policy "static" is named twice`},
		"no traffic":       {change("traffic:", "traffic: {} #"), "s.yaml: traffic: allowed is one of trace and generator"},
		"generator":        {change("rate: 4", "rate: -4"), "s.yaml: traffic: generator: rate is -4"},
		"trace":            {change("generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}", "trace: none.csv"), "none.csv"},
		"too long":         {change("generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}", "trace: '-'"), "s.yaml: traffic: it covers 2777h46m40s; allowed is up to 2400h0m0s: cut it by traffic.start and traffic.duration"},
		"lengths":          {change("generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}", "trace: '-', lengths: {input: {mean: 5}}"), "s.yaml: traffic: lengths are for rates without them"},
		"interval":         {small + "interval: 0s\n", "s.yaml: interval is 0s; allowed is 1s to 1h"},
		"noise":            {small + "readings: {noise: .nan}\n", "s.yaml: readings.noise is NaN"},
		"fault role":       {small + "faults: [{kind: kill, role: router}]\n", `s.yaml: faults[0].role is "router"; allowed are prefill and decode`},
		"fault":            {small + "faults: [{kind: fire, role: decode}]\n", `s.yaml: faults[0].kind is "fire"; allowed are ["kill" "failStart" "stuckPending"]`},
		"link":             {small + "link: {gbps: 0}\n", "s.yaml: link.gbps is 0"},
		"fit":              {small + "fit: none.json\n", "none.json"},
	} {
		f, err := Parse([]byte(tc.text), "s.yaml")
		if err == nil {
			var s *Scenario
			if s, err = Build(f, "s.yaml", Options{Dir: t.TempDir(), Stdin: strings.NewReader("arrival_s,input,output\n0,1,1\n1e7,1,1\n")}); err == nil {
				_, err = s.Run(t.Context(), time.Now, nil)
			}
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q in it", name, err, tc.want)
		}
	}
}

// The JSON has the names that others rely on, and no more.
func TestReportAsJSON(t *testing.T) {
	s := build(t, small+"policies: [static, pdautoscaler, oracle]\nbudget: {gpus: 12}\n", Options{})
	r := run(t, s)
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	keys := func(v any) (names []string) {
		for name := range v.(map[string]any) {
			names = append(names, name)
		}
		return names
	}
	for _, tc := range []struct {
		at   any
		want string
	}{
		{got, "policies simulation"},
		{got["simulation"], "requests seconds requestsPerSecond"},
		{got["policies"].([]any)[0], "name requests completed attainment ttftMs tpotMs gpuHours regret moves scaleUps scaleDowns maxGpus lowerBoundGpuHours gpuHoursBy"},
		{got["policies"].([]any)[0].(map[string]any)["ttftMs"], "mean p50 p90 p95 p99"},
	} {
		have := map[string]bool{}
		for _, k := range keys(tc.at) {
			have[k] = true
		}
		for k := range strings.FieldsSeq(tc.want) {
			if !have[k] {
				t.Errorf("%s is missing in %v", k, tc.at)
			}
			delete(have, k)
		}
		if len(have) > 0 {
			t.Errorf("%v are too many", have)
		}
	}
	for _, p := range r.Policies {
		if p.Requests != uint64(s.Traffic.Len()) || p.Completed != p.Requests || !(p.Attainment > 0.9) || !(p.TTFTMs.P50 <= p.TTFTMs.P99) || p.GPUHours < p.LowerBoundGPUHours {
			t.Errorf("%+v", p)
		}
	}
	var out bytes.Buffer
	if err := r.Table(&out); err != nil || strings.Count(out.String(), "\n") != 6 || !strings.Contains(out.String(), "pdautoscaler") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// told compares what a report tells.
var told = cmpopts.IgnoreUnexported(PolicyReport{})

// The same scenario gives the same report, and so does the stepwise engine.
func TestReportsAreRepeatable(t *testing.T) {
	text := small + "readings: {noise: 0.05}\nfaults: [{kind: kill, role: prefill, at: 3m}]\npolicies: [pdautoscaler, keda-queue]\n"
	plain := run(t, build(t, text, Options{}))
	again := run(t, build(t, text, Options{}))
	stepwise := run(t, build(t, text, Options{Stepwise: true}))
	if diff := cmp.Diff(plain.Policies, again.Policies, told); diff != "" {
		t.Errorf("another run differs: %s", diff)
	}
	if diff := cmp.Diff(plain.Policies, stepwise.Policies, told); diff != "" {
		t.Errorf("single steps differ: %s", diff)
	}
}

func TestOptionsReplaceTheFile(t *testing.T) {
	s := build(t, small, Options{Trace: "-", Policies: []string{"static"}, Stdin: strings.NewReader("arrival_s,input,output\n0,10,5\n1,20,6\n")})
	if s.Traffic.Len() != 2 || len(s.Policies) != 1 {
		t.Errorf("%d requests, %v", s.Traffic.Len(), s.Policies)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx, time.Now, nil); err == nil {
		t.Error("a run that was called off went on")
	}
}

// Whatever a file holds, it is refused in words or it can be built.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("prefill: &a {tp: 1}\ndecode: *a\n"))
	f.Add([]byte(small + "link: {gbps: 1e308}\nbudget: {gpus: -1}\nfaults: [{}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("trace")) || bytes.Contains(data, []byte(".json")) || bytes.Contains(data, []byte("repeat")) {
			return // reads files, or is long
		}
		file, err := Parse(data, "name.yaml")
		if err == nil {
			file.Traffic.Generator, file.Traffic.With, file.Traffic.Then = nil, nil, nil // what it may draw is tried in its own package
			_, err = Build(file, "name.yaml", Options{Dir: "/nonexistent", Stdin: strings.NewReader("")})
		}
		if err == nil || !strings.Contains(err.Error(), "name.yaml") {
			t.Fatalf("%v does not name the file", err)
		}
	})
}
