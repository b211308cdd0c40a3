package scenario

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sweepOf(t *testing.T, keys ...string) *Sweep {
	t.Helper()
	var all []SweepKey
	for _, k := range keys {
		key, err := ParseSweep(k)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	s, err := NewSweep([]byte(strings.Replace(small, "10m", "3m", 1)), "s.yaml", all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseSweep(t *testing.T) {
	for text, want := range map[string]SweepKey{
		"decode.tp=1,2, 4":                        {"decode.tp", []string{"1", "2", "4"}},
		"readings.outages=[],[{at: 1m, for: 2m}]": {"readings.outages", []string{"[]", "[{at: 1m, for: 2m}]"}},
		"slo.ttft={p95: 2s},{p99: 2s}":            {"slo.ttft", []string{"{p95: 2s}", "{p99: 2s}"}},
	} {
		got, err := ParseSweep(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"decode.tp": `"decode.tp" is no sweep; allowed is KEY=VALUE`, "=1,2": "is no sweep", "a..b=1": "is no sweep", "seed=": "value 1 is empty",
		"seed=1,,2": "value 2 is empty", "seed=1,1": "the value 1 is there twice",
	} {
		if _, err := ParseSweep(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", text, err, want)
		}
	}
}

// Every combination is a point, and a key may be new, deep, or in a list.
func TestPointsAreTheProduct(t *testing.T) {
	s := sweepOf(t, "prefill.tp=1,2", "budget.gpus=8,16,24", "decode.kvTokens=300000")
	if s.Points() != 6 {
		t.Fatalf("%d points", s.Points())
	}
	if diff := cmp.Diff(map[string]string{"prefill.tp": "2", "budget.gpus": "16", "decode.kvTokens": "300000"}, s.Set(4)); diff != "" {
		t.Error(diff)
	}
	f, name, err := s.File(4)
	if err != nil || *f.Prefill.TP != 2 || f.Budget.GPUs != 16 || f.Decode.KVTokens != 300000 || *f.Decode.TP != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	if name != "s.yaml with prefill.tp=2 budget.gpus=16 decode.kvTokens=300000" {
		t.Error(name)
	}
	for text, want := range map[string]string{
		"budget.gpu=8":       "s.yaml with budget.gpu=8: key gpu is unknown; docs/scenario.md lists those that are allowed",
		"budget.gpus=8,many": `s.yaml with budget.gpus=many: "many" is not what the key takes; allowed is a whole number`,
		"model.size=8":       `s.yaml with model.size=8: key size is below a value, "qwen3-32b"`,
		"faults.0.at=1s":     "s.yaml with faults.0.at=1s: ",
		"interval=soon":      `s.yaml with interval=soon: "soon" is no duration`,
	} {
		key, err := ParseSweep(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewSweep([]byte(small), "s.yaml", []SweepKey{key}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v; want %q before it", text, err, want)
		}
	}
	key, _ := ParseSweep("seed=1,2")
	if _, err := NewSweep([]byte(small), "s.yaml", []SweepKey{key, key}); err == nil || !strings.Contains(err.Error(), "seed is there twice") {
		t.Error(err)
	}
}

// A value that is set in one role is not set in another that shares it by an alias.
func TestSweepsResolveAliases(t *testing.T) {
	text := strings.Replace(strings.Replace(small, "prefill: {tp: 2, replicas: 2}", "prefill: &role {tp: 2, replicas: 2}", 1), "decode: {tp: 2}", "decode: *role", 1)
	s, err := NewSweep([]byte(text), "s.yaml", []SweepKey{{"decode.tp", []string{"4"}}})
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := s.File(0)
	if err != nil || *f.Prefill.TP != 2 || *f.Decode.TP != 4 {
		t.Errorf("prefill %d, decode %d, %v", *f.Prefill.TP, *f.Decode.TP, err)
	}
}

func shard(t *testing.T, s *Sweep, index, of int) *Shard {
	t.Helper()
	got, err := s.Run(t.Context(), SweepOptions{Index: index, Of: of, Options: Options{Policies: []string{"static", "pdautoscaler", "oracle"}}})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sweepJSON(t *testing.T, s *Shard) []byte {
	t.Helper()
	r, err := s.Report()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Shards that went through files, in any order and some of them twice, join into the very bytes that one machine writes.
func TestShardsJoinIntoWhatOneMachineMakes(t *testing.T) {
	s := sweepOf(t, "budget.gpus=6,12", "seed=1,2,3")
	want := sweepJSON(t, shard(t, s, 0, 1))
	var file bytes.Buffer
	for _, i := range []int{3, 0, 2, 1, 0} {
		if err := json.NewEncoder(&file).Encode(shard(t, s, i, 4)); err != nil {
			t.Fatal(err)
		}
	}
	shards, err := ReadShards(&file, "shards.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Join(shards)
	if err != nil {
		t.Fatal(err)
	}
	if got := sweepJSON(t, whole); !bytes.Equal(want, got) {
		t.Fatalf("(-one machine +shards)\n%s", cmp.Diff(string(want), string(got)))
	}

	// What is pooled over the seeds is what all their requests together show.
	r, err := whole.Report()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Points) != 6 || len(r.Pooled) != 2 || r.Pooled[0].Set["budget.gpus"] != "6" {
		t.Fatalf("%d points, %d pooled", len(r.Points), len(r.Pooled))
	}
	for i, p := range r.Pooled {
		for k, pooled := range p.Policies {
			requests, least, hours := uint64(0), 1.0, 0.0
			for _, point := range r.Points[3*i : 3*i+3] {
				requests += point.Policies[k].Requests
				least = min(least, point.Policies[k].Attainment)
				hours += point.Policies[k].GPUHours / 3
			}
			if pooled.Requests != requests || pooled.Seeds != 3 || pooled.AttainmentMin != least || math.Abs(pooled.GPUHours-hours) > 1e-9 || pooled.TTFTMs.P99 < pooled.TTFTMs.P50 {
				t.Errorf("%+v; its parts have %d requests, %v attained at least and %v GPU-hours on average", pooled, requests, least, hours)
			}
			if pooled.Regret == nil && pooled.Name == "oracle" {
				t.Error("the oracle has no regret of its own")
			}
		}
	}
	var table bytes.Buffer
	if err := r.Table(&table); err != nil || !strings.Contains(table.String(), "all 3") || strings.Count(table.String(), "pdautoscaler") != 8 {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestShardsThatDoNotBelongTogether(t *testing.T) {
	s, other := sweepOf(t, "seed=1,2"), sweepOf(t, "seed=1,3")
	a, b := shard(t, s, 0, 2), shard(t, s, 1, 2)
	if _, err := Join([]*Shard{a}); err == nil || !strings.Contains(err.Error(), "of 2 shards these are missing: [1]") {
		t.Error(err)
	}
	if _, err := Join([]*Shard{a, shard(t, other, 1, 2)}); err == nil || !strings.Contains(err.Error(), "of another sweep") {
		t.Error(err)
	}
	changed := *b
	changed.Runs = append([]Run(nil), b.Runs...)
	changed.Runs[0].Report.GPUHours++
	if _, err := Join([]*Shard{a, b, &changed}); err == nil || !strings.Contains(err.Error(), "shard 1 is there twice") {
		t.Error(err)
	}
	if _, err := Join(nil); err == nil {
		t.Error("nothing was joined")
	}
	if _, err := a.Report(); err == nil || !strings.Contains(err.Error(), "join all of them first") {
		t.Error(err)
	}
	if _, err := s.Run(t.Context(), SweepOptions{Index: 2, Of: 2}); err == nil || !strings.Contains(err.Error(), "shard 2 of 2") {
		t.Error(err)
	}
	if _, err := s.Run(t.Context(), SweepOptions{Of: 1, Options: Options{Policies: []string{"magic"}}}); err == nil || !strings.Contains(err.Error(), `policy "magic" is unknown`) {
		t.Error(err)
	}
}

// Whatever a file holds, it is refused with its name, or its shards can be joined or refused without a panic.
func FuzzReadShards(f *testing.F) {
	f.Add([]byte(`{"version":1,"sweep":[{"key":"seed","values":["1"]}],"index":0,"of":1,"policies":["static"],"runs":[{"point":0,"report":{"name":"static"},"ttft":"AAAAAAAAAAAAAAAAAAAAAA==","tpot":"AAAAAAAAAAAAAAAAAAAAAA=="}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"of":1,"sweep":[{"values":[]}],"policies":["x"]}{`))
	f.Fuzz(func(t *testing.T, data []byte) {
		shards, err := ReadShards(bytes.NewReader(data), "name.json")
		if err != nil {
			if !strings.Contains(err.Error(), "name.json") {
				t.Fatalf("%v does not name the file", err)
			}
			return
		}
		if whole, err := Join(shards); err == nil {
			if _, err := whole.Report(); err != nil {
				t.Fatalf("joined, and then %v", err)
			}
		}
	})
}
