package trace

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func all(t *Trace) (list []Request) {
	s := t.Source()
	for r, ok := s.Next(); ok; r, ok = s.Next() {
		list = append(list, r)
	}
	return list
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

const azure2023 = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n"

func TestFormatsAreToldApart(t *testing.T) {
	two := []Request{{InputTokens: 374, OutputTokens: 44}, {At: 4_314_579_000, InputTokens: 396, OutputTokens: 109}}
	for name, tc := range map[string]struct {
		text string
		want []Request
	}{
		"azure 2023":       {azure2023, two},
		"azure 2023 in gz": {zipped(azure2023), two},
		"azure 2024": {"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,10,5\n2024-05-10 00:00:01.009930+00:00,20,6\n",
			[]Request{{InputTokens: 10, OutputTokens: 5}, {At: time.Second, InputTokens: 20, OutputTokens: 6}}},
		"plain with other columns and a mark": {"\ufeffarrival_s,input,output,end_s\n0.5,10,5,9\n\n1.25,20,6,9\n",
			[]Request{{InputTokens: 10, OutputTokens: 5}, {At: 750 * time.Millisecond, InputTokens: 20, OutputTokens: 6}}},
		"plain, cached, no order": {"cached,arrival_s,input,output\n3,9,10,5\n0,8,20,6.0\n",
			[]Request{{InputTokens: 20, OutputTokens: 6}, {At: time.Second, InputTokens: 10, OutputTokens: 5, CachedTokens: 3}}},
		"burstgpt": {"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n" +
			"5,1,0.5,ChatGPT,472,18,490,Conversation log\n45,1,0.5,\"GPT-4, large\",87,0,87,API log\n118,2,1,GPT-4,417,276,693,API log\n",
			[]Request{{InputTokens: 472, OutputTokens: 18}, {At: 113 * time.Second, InputTokens: 417, OutputTokens: 276}}},
		"burstgpt, second release": {"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n10400005,GPT-4,87,1,88,API log\n",
			[]Request{{InputTokens: 472, OutputTokens: 18}, {At: 10_400_000 * time.Second, InputTokens: 87, OutputTokens: 1}}},
		"mooncake": {`{"timestamp": 40, "input_length": 600, "output_length": 4, "hash_ids": [7, 8]}` + "\n" +
			`{"timestamp": 1040, "input_length": 5, "output_length": 3, "turn": 2}`,
			[]Request{{InputTokens: 600, OutputTokens: 4, Blocks: []uint64{7, 8}}, {At: time.Second, InputTokens: 5, OutputTokens: 3}}},
	} {
		got, err := Read(strings.NewReader(tc.text), "x", Auto)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, all(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBrokenRowsAreNamedByFileLineAndReason(t *testing.T) {
	head := "arrival_s,input,output\n"
	for name, tc := range map[string]struct{ text, want string }{
		"nothing":          {"", "conv.csv holds no request"},
		"header alone":     {head, "conv.csv holds no request"},
		"unknown header":   {"a,b,c\n1,2,3\n", `conv.csv line 1: the first line "a,b,c" names no columns that are known; allowed are arrival_s`},
		"no number":        {head + "1,2,3\n2,x,3\n", `conv.csv line 3: input is "x"; allowed is a whole number up to 10000000`},
		"negative":         {head + "1,-2,3\n", `conv.csv line 2: input is "-2"`},
		"half a token":     {head + "1,2.5,3\n", `conv.csv line 2: input is "2.5"`},
		"too large":        {head + "1,2,99999999999\n", `conv.csv line 2: output is "99999999999"`},
		"zero":             {head + "1,0,3\n", "conv.csv line 2: input is 0 tokens; allowed is 1 to 10000000"},
		"not a time":       {head + "NaN,2,3\n", `conv.csv line 2: the arrival is "NaN"; allowed are seconds`},
		"columns":          {head + "1,2\n", "conv.csv line 2: 2 columns; the first line has 3"},
		"quote":            {head + "1,\"2,3\n", "conv.csv line 2: "},
		"all cached":       {"arrival_s,input,output,cached\n1,5,3,5\n", "conv.csv line 2: cached is 5 tokens; allowed is 0 to below the input of 5"},
		"azure time":       {"TIMESTAMP,ContextTokens,GeneratedTokens\nnoon,2,3\n", `conv.csv line 2: TIMESTAMP is "noon"; allowed is a time such as`},
		"longer than ever": {head + "0,1,1\n36e7,1,1\n", "conv.csv covers 100000h0m0s; allowed is up to 87600h0m0s"},
		"mooncake field":   {`{"timestamp": 1, "input_length": 5}`, "conv.csv line 1: timestamp (ms), input_length and output_length must all be there"},
		"mooncake type":    {`{"timestamp": "x", "input_length": 5, "output_length": 1}`, "conv.csv line 1: timestamp is a string; allowed is a number"},
		"mooncake token":   {`{"timestamp": 1, "input_length": 5.5, "output_length": 1}`, "conv.csv line 1: input_length is a number 5.5; allowed is a whole number"},
		"mooncake hash":    {`{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": ["a"]}`, "allowed is a list of whole numbers of 0 or more"},
		"mooncake cut":     {`{"timestamp": 1, "input_`, "conv.csv line 1: this is no JSON object in one line"},
		"mooncake blocks":  {`{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": [1,2,3]}`, "conv.csv line 1: 3 hash_ids for 5 tokens; a block has 512"},
		"many":             {head + strings.Repeat("1,x,1\n", 30), "conv.csv: 20 more rows like these"},
		"cut gzip":         {zipped(azure2023)[:40], "the compressed file was cut off"},
	} {
		_, err := Read(strings.NewReader(tc.text), "conv.csv", Auto)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q in it", name, err, tc.want)
		}
	}
	if _, err := Read(strings.NewReader(azure2023), "conv.csv", Plain); err == nil {
		t.Error("an Azure file was read as a plain one")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.csv"), Auto, nil); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestRowsWithoutWorkAreCounted(t *testing.T) {
	got, err := Open("-", Azure, strings.NewReader(azure2023+"2023-11-16 18:15:51.0,5,0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1 rows have no output (failed requests) and were left out"}, got.Notes); diff != "" || got.Len() != 2 {
		t.Errorf("%d requests, %s", got.Len(), diff)
	}
}

// The published traces, against the figures of their own papers and of ours.
func TestPublishedTraces(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: no published traces to read")
	}
	for file, want := range map[string]Summary{
		"AzureLLMInferenceTrace_conv.csv": {Requests: 19366, InputTokensMean: 1155, OutputTokensMean: 211},
		"mooncake_synthetic_trace.jsonl":  {Requests: 3993, InputTokensMean: 15325, OutputTokensMean: 149},
	} {
		got, err := Open(filepath.Join(dir, "traces", file), Auto, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := got.Summary()
		if s.Requests != want.Requests || int(s.InputTokensMean+0.5) != int(want.InputTokensMean) || int(s.OutputTokensMean+0.5) != int(want.OutputTokensMean) {
			t.Errorf("%s: %+v, want %+v", file, s, want)
		}
	}
}

// Whatever a file holds, it is refused with its name or it can be played in order.
func FuzzRead(f *testing.F) {
	for _, text := range []string{azure2023, "arrival_s,input,output\n1,2,3\n", "Timestamp,Request tokens,Response tokens\n5,4,3\n",
		`{"timestamp": 1e300, "input_length": 600, "output_length": 4, "hash_ids": [7]}`, zipped(azure2023), "arrival_s,input,output\n\"\",1,1\n", "{\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(bytes.NewReader(data), "name.csv", Auto)
		if err != nil {
			if !strings.Contains(err.Error(), "name.csv") {
				t.Fatalf("%q does not name the file", err)
			}
			return
		}
		last := time.Duration(0)
		for _, r := range all(got) {
			if err := check(&r); err != nil || r.At < last || r.At > got.Duration() {
				t.Fatalf("%+v after %v of %v: %v", r, last, got.Duration(), err)
			}
			last = r.At
		}
	})
}
