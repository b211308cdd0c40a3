package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// twoFiles writes two traces with the same prefix ids and returns their folder.
func twoFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.jsonl": `{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}` + "\n" +
			`{"timestamp": 10000, "input_length": 600, "output_length": 5, "hash_ids": [1, 3]}` + "\n",
		"b.jsonl": `{"timestamp": 0, "input_length": 700, "output_length": 6, "hash_ids": [1, 2]}` + "\n" +
			`{"timestamp": 4000, "input_length": 700, "output_length": 6, "hash_ids": [1, 4]}` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func requests(tr *trace.Trace) (all []trace.Request) {
	source := tr.Source()
	for r, ok := source.Next(); ok; r, ok = source.Next() {
		all = append(all, r)
	}
	return all
}

// Parts play at once and one after the other, each with changes of its own, and
// only those of one file have prefixes in common.
func TestTrafficOfSeveralParts(t *testing.T) {
	text := strings.Replace(small, "traffic: {generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}}",
		"traffic: {trace: a.jsonl, with: [{trace: b.jsonl, speed: 2}], then: [{trace: a.jsonl, duration: 5s}, {trace: b.jsonl}]}", 1)
	dir := twoFiles(t)
	got := requests(build(t, text, Options{Dir: dir}).Traffic)
	for i := range got {
		got[i].OutputTokens = 0
	}
	const b = 1 << 60 // how the ids of the second file are told from those of the first
	want := []trace.Request{
		{At: 0, InputTokens: 600, Blocks: []uint64{1, 2}},
		{At: 0, InputTokens: 700, Blocks: []uint64{b + 1, b + 2}},
		{At: 2 * time.Second, InputTokens: 700, Blocks: []uint64{b + 1, b + 4}},
		{At: 10 * time.Second, InputTokens: 600, Blocks: []uint64{1, 3}},
		{At: 10 * time.Second, InputTokens: 600, Blocks: []uint64{1, 2}},
		{At: 15 * time.Second, InputTokens: 700, Blocks: []uint64{b + 1, b + 2}}, // the part before was cut to 5 s
		{At: 19 * time.Second, InputTokens: 700, Blocks: []uint64{b + 1, b + 4}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	alone := requests(build(t, text, Options{Dir: dir, Trace: filepath.Join(dir, "b.jsonl")}).Traffic)
	if len(alone) != 2 || alone[0].Blocks[0] != 1 {
		t.Errorf("a trace that replaces the traffic is not alone: %+v", alone)
	}
	f, err := Parse([]byte(text), "s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.jsonl", "b.jsonl", "a.jsonl", "b.jsonl"}, f.Files()); diff != "" {
		t.Error(diff)
	}
}

// Generators that are written alike draw other requests.
func TestPartsDrawForThemselves(t *testing.T) {
	generator := "{generator: {duration: 10m, rate: 4, input: {mean: 1000, scv: 1}, output: {mean: 200, scv: 0.5}}"
	one := build(t, small, Options{}).Traffic
	both := build(t, strings.Replace(small, generator, generator+", with: ["+generator+"}]", 1), Options{}).Traffic
	at := map[time.Duration]int{}
	for _, r := range requests(both) {
		at[r.At]++
	}
	again := 0
	for _, r := range requests(one) {
		if at[r.At] == 0 {
			t.Fatalf("the request at %v is not there with a second part", r.At)
		}
		if at[r.At] > 1 {
			again++
		}
	}
	if n := float64(both.Len()) / float64(one.Len()); n < 1.8 || n > 2.2 || again > one.Len()/100 {
		t.Errorf("%d requests of one part, %d of two, %d at the same times", one.Len(), both.Len(), again)
	}
}

func TestPartsAreRefusedByTheirPlace(t *testing.T) {
	dir := twoFiles(t)
	for parts, want := range map[string]string{
		"with: [{trace: b.jsonl}, {}]":                 "s.yaml: traffic: with[1]: allowed is one of trace and generator",
		"then: [{trace: gone.csv}]":                    "s.yaml: traffic: then[0]: trace: open",
		"then: [{trace: b.jsonl, speed: 0}]":           "s.yaml: traffic: then[0]: trace: speed is 0",
		"then: [{trace: b.jsonl, then: []}]":           "key then is unknown",
		"with: [{trace: b.jsonl, repeat: 1.5}]":        `"1.5" is not what the key takes; allowed is a whole number`,
		"with: [" + strings.Repeat("{},", 16) + "]":    "traffic: with and then have 16 parts; allowed are up to 15",
		"then: [{trace: b.jsonl, repeat: 2000000000}]": "traffic: then[0]: trace: repeat is 2000000000",
	} {
		f, err := Parse([]byte(strings.Replace(small, "traffic: {generator: {", "traffic: {"+parts+", generator: {", 1)), "s.yaml")
		if err == nil {
			_, err = Build(f, "s.yaml", Options{Dir: dir})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", parts, err, want)
		}
	}
}
