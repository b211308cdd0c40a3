package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func lengthsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lengths.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlanCountsLengths(t *testing.T) {
	var b strings.Builder
	b.WriteString("arrival_s,input,output,cached\n")
	for i := range 500 {
		b.WriteString([]string{"0,1000,100,250\n", "0,8000,400,2000\n"}[i%2])
	}
	slo := []string{"--rate", "6", "--ttft", "p95=3s", "--tpot", "p95=40ms"}
	counted, code := planOf(t, append(slo, "--lengths", lengthsFile(t, b.String()))...)
	if code != exitDone {
		t.Fatalf("exit code %d: %+v", code, counted)
	}
	// The same two moments and the same reuse, given by hand.
	byHand, _ := planOf(t, append(slo, "--input", "4500", "--input-scv", "0.605", "--output", "250", "--output-scv", "0.36", "--cached-share", "0.25")...)
	if math.Abs(*counted.PrefillLoad/(*byHand.PrefillLoad)*float64(counted.Prefill)/float64(byHand.Prefill)-1) > 0.03 {
		t.Errorf("prefill load %v on %d counted, %v on %d by hand", *counted.PrefillLoad, counted.Prefill, *byHand.PrefillLoad, byHand.Prefill)
	}
	fresh, _ := planOf(t, append(slo, "--lengths", lengthsFile(t, b.String()), "--cached-share", "0")...)
	if *fresh.PrefillLoad*float64(fresh.Prefill) <= *counted.PrefillLoad*float64(counted.Prefill) {
		t.Errorf("without reuse the load is %v, with it %v", *fresh.PrefillLoad, *counted.PrefillLoad)
	}
}

func TestPlanRefusesLengths(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "it is empty",
		"in,out\n1,2\n":                     `the header has no column "input"`,
		"input,output\n10,20\n":             "it holds 1 requests",
		"input,output\n10,20\n0,3\n":        `line 3: input is "0"`,
		"input,output\n10,20\n5,NaN\n":      `line 3: output is "NaN"`,
		"input,output\n10,20\n5\n":          "not a CSV file",
		"input,output,cached\n10,20,11\n":   "cached is 11 of 10",
		"input,output\n10,20\n1e12,3\n":     `input is "1e12"`,
		"input,output\n\"10,20\n5,\x00\n\"": "not a CSV file",
	} {
		args := []string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--rate", "1", "--ttft", "p95=2s", "--tpot", "p95=40ms", "--lengths", lengthsFile(t, text)}
		if _, stderr, code := pdctl(t, "", args...); code != exitUsage || !strings.Contains(stderr, want) || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
			t.Errorf("%q: exit code %d, %q, want it to say %q", text, code, stderr, want)
		}
	}
	if _, stderr, code := pdctl(t, "", "plan", "--model", "qwen3-32b", "--gpu", "h200", "--rate", "1", "--ttft", "p95=2s", "--tpot", "p95=40ms"); code != exitUsage || !strings.Contains(stderr, "lengths") {
		t.Errorf("neither lengths nor means: exit code %d, %q", code, stderr)
	}
}

// What an engine does to its prompts shows where it must.
func TestPlanOfEngines(t *testing.T) {
	flags := []string{"--rate", "6", "--input", "6000", "--output", "300", "--ttft", "p95=3s", "--tpot", "p95=40ms"}
	plain, _ := planOf(t, flags...)
	busy := func(p plan) float64 { return *p.PrefillLoad * float64(p.Prefill) }
	for name, c := range map[string]struct {
		args []string
		more bool
	}{
		"chunks cost a step each":         {[]string{"--batching", "tokenBudget", "--max-batch-tokens", "512"}, true},
		"a transfer that blocks is work":  {[]string{"--prefill-kv-transfer", "blocking"}, true},
		"padding is work":                 {[]string{"--pad-tokens", "4096"}, true},
		"reuse saves":                     {[]string{"--cached-share", "0.5"}, false},
		"a fast tier saves":               {[]string{"--offloaded-share", "0.5", "--offload-bandwidth", "200"}, false},
		"what decode prefills is not its": {[]string{"--local-prefill-share", "0.5"}, false},
	} {
		p, _ := planOf(t, append(flags, c.args...)...)
		if got := busy(p) > busy(plain); got != c.more || busy(p) == busy(plain) {
			t.Errorf("%s: prefill is busy on %.3f replicas, %.3f without", name, busy(p), busy(plain))
		}
	}
	for want, args := range map[string][]string{
		"--batching is \"x\"":            {"--batching", "x"},
		"--prefill-kv-transfer is \"x\"": {"--prefill-kv-transfer", "x"},
		"--pad-tokens is -1":             {"--pad-tokens", "-1"},
		"go together":                    {"--offloaded-share", "0.1"},
		"from 0 to below 1":              {"--local-prefill-share", "1"},
	} {
		all := append([]string{"plan", "--model", "qwen3-32b", "--gpu", "h200"}, append(flags, args...)...)
		if _, stderr, code := pdctl(t, "", all...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit code %d, %q, want it to say %q", args, code, stderr, want)
		}
	}
}

func FuzzLengths(f *testing.F) {
	f.Add("input,output\n10,20\n30,40\n")
	f.Add("Input, OUTPUT ,cached\n10,20,0\n30,40,30\n")
	f.Add("\ufeffarrival_s,input,output\n0,1e3,2\n1,7,8\n")
	f.Add("input,output\n\"10\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := countLengths(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of several lines: %q", err)
			}
			return
		}
		for _, v := range []float64{l.input.Mean, l.output.Mean} {
			if !(v >= 1 && v <= maxTokens) {
				t.Fatalf("a mean of %v tokens", v)
			}
		}
		if !(l.input.SCV >= 0 && l.output.SCV >= 0 && l.cachedShare >= 0 && l.cachedShare < 1) {
			t.Fatalf("%+v", l)
		}
	})
}
