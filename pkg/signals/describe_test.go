package signals

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every word has a name, a unit and a form, and no name serves two words of one page; but for the gaps between tokens, which
// stand in for the time per output token of requests.
func TestVocabulariesAreSound(t *testing.T) {
	for _, engine := range Engines() {
		words, err := Vocabulary(engine)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string]string{}
		for _, w := range words {
			if w.Unit == "" || w.Form == "" || len(w.Spellings) == 0 {
				t.Errorf("%s: %+v lacks something", engine, w)
			}
			for _, s := range w.Spellings {
				key := string(w.Kind) + " " + w.Form + " " + s
				if other, ok := used[key]; ok && w.Reading != string(tokenGap) {
					t.Errorf("%s: %s is %s and %s", engine, key, other, w.Reading)
				}
				used[key] = w.Reading
			}
			if w.Form == string(counter) {
				for _, s := range w.Spellings {
					if !strings.HasSuffix(s, "_total") {
						t.Errorf("%s: the counter %s is written without _total, so its name in the text format would not be found", engine, s)
					}
				}
			}
		}
	}
	if _, err := Vocabulary("tgi"); err == nil {
		t.Error("a vocabulary of an engine that is not known")
	}
}

// Describe says which of the spellings a page has.
func TestDescribeSaysWhichSpellingMatched(t *testing.T) {
	r := newRig(t, Config{Engine: "vllm"})
	r.pod(KindDecode, "new").set(append(worker(1, 1, 0), "vllm:kv_cache_usage_perc 0.5")...)
	r.pod(KindDecode, "old").set("vllm:request_success 1", "vllm:gpu_cache_usage_perc 0.5")
	r.pod(KindDecode, "away").change(func(p *fakePod) { p.status = 500 })
	r.collect()
	got := map[string]string{}
	for _, m := range r.collector.Describe() {
		got[m.Pod+": "+m.Reading] = m.Spelling
	}
	want := map[string]string{
		"new: requests finished": "vllm:request_success_total", "old: requests finished": "vllm:request_success",
		"new: requests running": "vllm:num_requests_running", "old: requests running": "",
		"new: requests turned away": "", "old: requests turned away": "",
		"new: requests waiting": "vllm:num_requests_waiting", "old: requests waiting": "",
		"new: tokens generated": "", "old: tokens generated": "",
		"new: drafts of speculative decoding": "", "old: drafts of speculative decoding": "",
		"new: draft tokens accepted": "", "old: draft tokens accepted": "",
		"new: time in the engine's queue": "", "old: time in the engine's queue": "",
		"new: time per output token": "", "old: time per output token": "",
		"new: time between two tokens": "", "old: time between two tokens": "",
		"new: output tokens of a request": "", "old: output tokens of a request": "",
		"new: share of KV cache in use": "vllm:kv_cache_usage_perc", "old: share of KV cache in use": "vllm:gpu_cache_usage_perc",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
