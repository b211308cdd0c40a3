package trace

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func put(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var oneShape = &Shape{Input: Tokens{Mean: 100}, Output: Tokens{Mean: 10}}

// A folder as it is published: two clients, one with lengths by window, one whose first window has none, zipped.
func TestRatesAsTheyArePublished(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "chunk-0-trace.csv", "0,0,0,,0,0\n600,2,1.5,Gamma,0.4,1\n1200,4,0,,0,0\n")
	put(t, dir, "chunk-0-dataset.json", `{"0": {"input_tokens": "{100: 0.25, 300: 0.75}", "output_tokens": "{10: 1.0}", "reason_ratio": "{0.0: 1.0}"},
		"1200": {"input_tokens": "{1000: 1.0}", "output_tokens": "{20: 0.5, 40: 0.5}"}}`)
	put(t, dir, "chunk-1-trace.csv.gz", zipped("0,1,0.7,Weibull,1.5,2\n600,1,0.7,Weibull,1.5,2\n"))
	put(t, dir, "chunk-1-dataset.json", `{"0": {"text_tokens": "{}", "output_tokens": "{}"}, "600": {"text_tokens": "{7: 1.0}", "image_tokens": "{1000: 1.0}", "audio_tokens": "{0: 1.0}", "output_tokens": "{5: 1.0}"}}`)
	put(t, dir, "README.md", "not a trace")
	tr, err := OpenRates(dir, Rates{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if tr.Duration() != 30*time.Minute {
		t.Errorf("the trace covers %v", tr.Duration())
	}
	var counts [4]float64 // client 0 in its second and third window, client 1 in its first and second
	var inputs [4]float64
	last := time.Duration(0)
	for _, r := range all(tr) {
		if r.At < last {
			t.Fatalf("%v after %v", r.At, last)
		}
		last = r.At
		k := 0
		switch {
		case r.InputTokens == 1007 && r.OutputTokens == 5 && r.At < 10*time.Minute:
			k = 2
		case r.InputTokens == 1007 && r.OutputTokens == 5:
			k = 3
		case r.InputTokens == 1000 && (r.OutputTokens == 20 || r.OutputTokens == 40) && r.At >= 20*time.Minute:
			k = 1
		case (r.InputTokens == 100 || r.InputTokens == 300) && r.OutputTokens == 10 && r.At >= 10*time.Minute && r.At < 20*time.Minute:
			k = 0
		default:
			t.Fatalf("%+v is of no client", r)
		}
		counts[k]++
		inputs[k] += float64(r.InputTokens)
	}
	for k, want := range []float64{1200, 2400, 600, 600} {
		if math.Abs(counts[k]-want) > 5*math.Sqrt(2.5*want) {
			t.Errorf("part %d has %v requests, want about %v", k, counts[k], want)
		}
	}
	if mean := inputs[0] / counts[0]; math.Abs(mean-250) > 20 {
		t.Errorf("prompts of %v tokens, want 250", mean)
	}
	cut, err := OpenRates(dir, Rates{From: 20 * time.Minute, To: 25 * time.Minute, Scale: 0.5, Seed: 1})
	if err != nil || cut.Duration() != 5*time.Minute || math.Abs(float64(cut.Len())-600) > 130 {
		t.Errorf("%v: %d requests in %v", err, cut.Len(), cut.Duration())
	}
	again, err := OpenRates(dir, Rates{Seed: 1})
	if err != nil || again.Len() != tr.Len() {
		t.Errorf("another reading has %d requests, this one %d", again.Len(), tr.Len())
	}
}

// The mean rate is kept however clumped the arrivals are, and their CV is that of the pattern.
func TestRatesKeepRateAndVariance(t *testing.T) {
	for _, tc := range []struct {
		row string
		scv float64
	}{{"0,20,0,,0,0", 1}, {"0,20,3,Gamma,,", 9}, {"0,20,0,Gamma,0.25,8", 4}, {"0,20,2,Weibull,,", 4}, {"0,20,0.5,weibull,2.1013,1", 0.25}} {
		dir := t.TempDir()
		path := put(t, dir, "x-trace.csv", tc.row+"\n20000,0,0,,0,0\n")
		tr, err := OpenRates(path, Rates{Lengths: oneShape, Seed: 3, To: 20_000 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		n, sum, squares := 0.0, 0.0, 0.0
		for i := 1; i < tr.Len(); i++ {
			gap := (tr.At(i).At - tr.At(i-1).At).Seconds()
			n, sum, squares = n+1, sum+gap, squares+gap*gap
		}
		mean := sum / n
		if scv := squares/n/(mean*mean) - 1; math.Abs(scv/tc.scv-1) > 0.05 || math.Abs(float64(tr.Len())/4e5-1) > 0.015 {
			t.Errorf("%s: SCV %.3f, want %v; %d requests, want 400,000", tc.row, scv, tc.scv, tr.Len())
		}
	}
	// Short windows of few clumps too: the mean over many of them is the rate.
	var rows strings.Builder
	for i := range 20_000 {
		rows.WriteString(strconv.Itoa(600*i) + ",0.02,6.7,Gamma,0.0223,73\n")
	}
	path := put(t, t.TempDir(), "y-trace.csv", rows.String())
	_, err := OpenRates(path, Rates{Lengths: oneShape})
	if err == nil || !strings.Contains(err.Error(), "covers 3333h20m0s; allowed is up to 2400h0m0s") {
		t.Errorf("more than a hundred days: %v", err)
	}
	short := strings.Join(strings.SplitAfter(rows.String(), "\n")[:14_000], "")
	tr, err := OpenRates(put(t, t.TempDir(), "z-trace.csv", short), Rates{Lengths: oneShape})
	if err != nil {
		t.Fatal(err)
	}
	if want := 14_000 * 12.0; math.Abs(float64(tr.Len())/want-1) > 0.06 {
		t.Errorf("%d requests, the rates say %v", tr.Len(), want)
	}
}

func TestRatesByNameAndClient(t *testing.T) {
	path := put(t, t.TempDir(), "rates.csv", "client,rate,cv,pattern,time\na,1,1,Gamma,0\nb,3,x,,0\na,2,1,Gamma,3600\n")
	if _, err := OpenRates(path, Rates{Lengths: oneShape}); err == nil || !strings.Contains(err.Error(), `rates.csv line 3: CV is "x"`) {
		t.Error(err)
	}
	path = put(t, t.TempDir(), "rates.csv", "client,rate,cv,pattern,time\na,1,1,Gamma,0\nb,3,,,0\na,2,1,Gamma,3600\nb,0,0,,3600\n")
	tr, err := OpenRates(path, Rates{Lengths: oneShape})
	if err != nil || math.Abs(float64(tr.Len())/21_600-1) > 0.05 || tr.Duration() != 2*time.Hour {
		t.Errorf("%v: %d requests in %v", err, tr.Len(), tr.Duration())
	}
}

func TestBrokenRatesAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ rates, dataset, want string }{
		"nothing":     {"", "", "x-trace.csv holds no rate"},
		"columns":     {"0,1\n", "", "x-trace.csv line 1: 2 columns; CV is column 3"},
		"no number":   {"0,0,0,,0,0\n600,fast,1,,0,0\n", "", `x-trace.csv line 2: rate is "fast"; allowed is a number from 0`},
		"negative":    {"0,-1,1,,0,0\n", "", `x-trace.csv line 1: rate is "-1"`},
		"NaN":         {"NaN,1,1,,0,0\n", "", `x-trace.csv line 1: t is "NaN"`},
		"too fast":    {"0,1e6,1,,0,0\n", "", "x-trace.csv line 1: rate is 1e+06 requests/s; allowed is up to 100000"},
		"pattern":     {"0,1,1,Pareto,1,1\n", "", `x-trace.csv line 1: pattern is "Pareto"; allowed are Gamma, Weibull, Poisson and none`},
		"no variance": {"0,1,0,Gamma,0,0\n", "", "x-trace.csv line 1: CV is 0 and shape 0; allowed for Gamma"},
		"order":       {"600,1,0,,0,0\n0,1,0,,0,0\n", "", "x-trace.csv line 2: t is 0 and 600 in the row before; allowed is a later one"},
		"many":        {strings.Repeat("0,x,1,,0,0\n", 15), "", "x-trace.csv: 5 more rows like these"},
		"no lengths":  {"0,1,0,,0,0\n", "", "x-trace.csv: nothing says how long this client's requests are"},
		"empty":       {"0,1,0,,0,0\n", `{"0": {"input_tokens": "{}", "output_tokens": "{}"}}`, "nothing says how long"},
		"no JSON":     {"0,1,0,,0,0\n", `{`, "x-dataset.json: unexpected end of JSON"},
		"window":      {"0,1,0,,0,0\n", `{"noon": {}}`, `x-dataset.json: "time" in window "noon"`},
		"share":       {"0,1,0,,0,0\n", `{"0": {"input_tokens": "{5: half}", "output_tokens": "{}"}}`, `x-dataset.json: "input_tokens" in window "0": the share of length 5 is " half"`},
		"length":      {"0,1,0,,0,0\n", `{"0": {"input_tokens": "{x: 1}", "output_tokens": "{}"}}`, `length is "x"; allowed is a whole number`},
		"no shares":   {"0,1,0,,0,0\n", `{"0": {"input_tokens": "5", "output_tokens": "{}"}}`, `"5"; allowed is {LENGTH: SHARE, ...}`},
		"too many":    {"0,90000,0,,0,0\n86400,90000,0,,0,0\n", "", "make about 15552000000 requests; at most 200000000 are allowed: cut the time or scale the rate"},
	} {
		dir := t.TempDir()
		put(t, dir, "x-trace.csv", tc.rates)
		if tc.dataset != "" {
			put(t, dir, "x-dataset.json", tc.dataset)
		}
		if _, err := OpenRates(dir, Rates{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q in it", name, err, tc.want)
		}
	}
	if _, err := OpenRates(t.TempDir(), Rates{}); err == nil || !strings.Contains(err.Error(), "holds no file of rates; allowed are those named NAME-trace.csv") {
		t.Error(err)
	}
	if _, err := OpenRates(filepath.Join(t.TempDir(), "none"), Rates{}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Error(err)
	}
	path := put(t, t.TempDir(), "x.csv", "0,1,0,,0,0\n")
	if _, err := OpenRates(path, Rates{From: time.Hour, Lengths: oneShape}); err == nil || !strings.Contains(err.Error(), "leaves nothing") {
		t.Error(err)
	}
	if _, err := OpenRates(path, Rates{Scale: math.NaN(), Lengths: oneShape}); err == nil || !strings.Contains(err.Error(), "rate scale is NaN") {
		t.Error(err)
	}
}

func TestRatesAreToldFromRequests(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{"0,0,0,,0,0\n": true, "client,t,rate,cv\n": true, zipped("600,1.5,2,Gamma,1,1\n"): true,
		azure2023: false, "arrival_s,input,output\n": false, "": false, "{}": false} {
		if got := LooksLikeRates(put(t, dir, "f", text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !LooksLikeRates(dir) || LooksLikeRates(filepath.Join(dir, "none")) {
		t.Error("a folder is of rates, and what is not there is not")
	}
}

// Whatever the files hold, they are refused with their names or drawn in order and within their time.
func FuzzRates(f *testing.F) {
	f.Add("0,1,1,Gamma,1,1\n600,1,1,Weibull,1,1\n", `{"0": {"input_tokens": "{5: 1}", "output_tokens": "{6: 1}"}}`)
	f.Add("client,t,rate,cv,pattern,shape\nx,0,1,0,,\n", `{"0": {"text_tokens": "{5: 1e-9, 6: 0}", "output_tokens": "{0: 1}"}}`)
	f.Add("0,1e-9,0.1,Gamma,1e4,1\n1e9,1,1,,1,1\n", `{}`)
	f.Fuzz(func(t *testing.T, rates, dataset string) {
		clients, err := parseRates([]byte(rates), "name.csv")
		if err == nil && len(clients) > 0 {
			if clients[0].lengths, err = parseDataset([]byte(dataset), "name.json"); err == nil {
				var tr *Trace
				tr, err = draw(clients, Rates{To: time.Minute, Scale: 1e-3, Lengths: oneShape})
				if err == nil {
					last := time.Duration(0)
					for _, r := range all(tr) {
						if wrong := check(&r); wrong != nil || r.At < last || r.At > tr.Duration() {
							t.Fatalf("%+v after %v of %v: %v", r, last, tr.Duration(), wrong)
						}
						last = r.At
					}
					return
				}
				if !strings.Contains(err.Error(), "name.") && !strings.Contains(err.Error(), "the rates") {
					t.Fatalf("%v says nothing of the file", err)
				}
				return
			}
		}
		if err != nil && !strings.Contains(err.Error(), "name.") {
			t.Fatalf("%v does not name the file", err)
		}
	})
}
