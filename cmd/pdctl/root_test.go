package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Every command has a text, an example and its exit codes, and the examples that need no cluster work.
func TestHelpShowsWhatWorks(t *testing.T) {
	root := newRoot(environment{now: time.Now})
	dir, _ := slowService(t)
	writeShards(t, dir)
	t.Chdir(dir) // the examples' files
	for _, cmd := range root.Commands() {
		if cmd.Hidden {
			continue
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			if cmd.Short == "" || cmd.Example == "" || !strings.Contains(cmd.Long, "Exit code") {
				t.Error("a short text, an example or the exit codes are missing")
			}
			stdout, _, code := pdctl(t, "", cmd.Name(), "--help")
			if code != exitDone || !strings.Contains(stdout, "Examples:") {
				t.Errorf("--help gives exit code %d:\n%s", code, stdout)
			}
			if needsCluster(cmd) {
				return
			}
			for line := range strings.Lines(cmd.Example) {
				args := strings.Fields(line)
				if stdout, stderr, code := pdctl(t, "", args[1:]...); code != exitDone || stderr != "" || stdout == "" {
					t.Errorf("%s: exit code %d: %s", strings.TrimSpace(line), code, stderr)
				}
			}
		})
	}
}

func needsCluster(cmd *cobra.Command) bool { return cmd.Flags().Lookup("kubeconfig") != nil }

func TestTheCatalogueInEveryFormat(t *testing.T) {
	for _, command := range []string{"models", "gpus"} {
		table, _, _ := pdctl(t, "", command)
		if !strings.HasPrefix(table, "NAME") || strings.Count(table, "\n") < 4 {
			t.Errorf("%s prints\n%s", command, table)
		}
		var fromJSON, fromYAML []map[string]any
		stdout, _, code := pdctl(t, "", command, "-o", "json")
		if err := json.Unmarshal([]byte(stdout), &fromJSON); err != nil || code != exitDone {
			t.Errorf("%s -o json: exit code %d: %v", command, code, err)
		}
		stdout, _, code = pdctl(t, "", command, "-o", "yaml")
		if err := yaml.Unmarshal([]byte(stdout), &fromYAML); err != nil || code != exitDone {
			t.Errorf("%s -o yaml: exit code %d: %v", command, code, err)
		}
		if rows := strings.Count(table, "\n") - 1; len(fromJSON) != rows || len(fromYAML) != rows {
			t.Errorf("%s lists %d rows, %d in JSON and %d in YAML", command, rows, len(fromJSON), len(fromYAML))
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gpu := write("gpu.yaml", "teraflops: 989\n")
	pictures := write("config.json", `{"model_type":"llama4","text_config":{"model_type":"llama4_text"}}`)
	record, err := os.ReadFile("testdata/situations/steady.json")
	if err != nil {
		t.Fatal(err)
	}
	cut := write("cut.json", string(record[:len(record)/2]))
	predict := []string{"predict", "--model", "qwen3-32b", "--gpu", "h200"}
	plan := []string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--prefill-tp", "2", "--decode-tp", "2", "--rate", "1", "--input", "100", "--output", "100", "--ttft", "p95=2s", "--tpot", "p95=40ms"}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":     {[]string{"exlain"}, `unknown command "exlain"; see pdctl --help`},
		"unknown flag":        {append(predict, "--foo"), "unknown flag: --foo; see pdctl predict --help"},
		"no fit file":         {append(predict, "--fit", "absent.json"), "--fit: open absent.json"},
		"unexpected argument": {[]string{"gpus", "h200"}, `unexpected argument "h200"`},
		"unknown format":      {[]string{"gpus", "-o", "xml"}, "allowed is table, json or yaml"},
		"no model":            {[]string{"predict", "--gpu", "h200"}, "pdctl predict: --model is missing\n"},
		"nothing to plan":     {[]string{"plan"}, "pdctl plan: --gpu, --model, --rate, --tpot and --ttft are missing\n"},
		"no lengths":          {[]string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--rate", "1", "--ttft", "p95=2s", "--tpot", "p95=40ms"}, "--input or --lengths is missing"},
		"half of the lengths": {[]string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--rate", "1", "--ttft", "p95=2s", "--tpot", "p95=40ms", "--input", "4"}, "--output is missing"},
		"both lengths":        {append(plan, "--lengths", "r.csv"), "--input and --lengths were given: allowed is one of them"},
		"TP is no number":     {append(predict, "--tp", "two"), `--tp is "two": allowed is a whole number; see pdctl predict --help`},
		"TP is too long":      {append(predict, "--tp", "99999999999999999999"), `--tp is "99999999999999999999": allowed is a whole number; see pdctl predict --help`},
		"time without a unit": {[]string{"explain", "qwen3", "--timeout", "15"}, `--timeout is "15": allowed is a time with its unit, such as 15s`},
		"time below 0":        {[]string{"explain", "qwen3", "--timeout", "-1s"}, "--timeout is -1s: allowed is a time above 0s"},
		"no time to answer":   {[]string{"snapshot", "qwen3", "--timeout", "0s"}, "--timeout is 0s: allowed is a time above 0s"},
		"name with a slash":   {[]string{"doctor", "default/qwen3"}, `NAME is "default/qwen3": allowed are lower case letters`},
		"odd namespace":       {[]string{"explain", "qwen3", "-n", "Default"}, `--namespace is "Default": allowed are lower case letters`},
		"switch":              {[]string{"simulate", "--stepwise=perhaps"}, `--stepwise is "perhaps": allowed is true or false`},
		"target of nothing":   {[]string{"simulate", "-f", "s.yaml", "--target", "0.9"}, "--frontier is missing"},
		"no stages":           {append(predict, "--pp", "0"), "--pp is 0: allowed is 1 or more of each"},
		"unknown model":       {[]string{"predict", "--model", "gpt-9", "--gpu", "h200"}, `--model: model "gpt-9" is not in the catalogue: use one of`},
		"unknown GPU":         {[]string{"predict", "--model", "qwen3-32b", "--gpu", "h900"}, `--gpu: GPU "h900" is not in the catalogue: use one of`},
		"no such GPU file":    {[]string{"predict", "--model", "qwen3-32b", "--gpu", "gone.yaml"}, "--gpu: open gone.yaml"},
		"GPU file":            {[]string{"predict", "--model", "qwen3-32b", "--gpu", gpu}, `unknown field "teraflops"; allowed are the keys that pdctl gpus -o yaml shows`},
		"multimodal":          {[]string{"predict", "--model", pictures, "--gpu", "h200"}, "text_config says a multimodal model"},
		"does not fit":        {[]string{"predict", "--model", "llama-3.1-70b", "--gpu", "h200"}, "does not fit"},
		"TP 0":                {append(predict, "--tp", "0"), "--tp is 0: allowed is 1 or more"},
		"TP 3":                {append(predict, "--tp", "3"), "tp is 3: allowed is a divisor"},
		"prompt of 0":         {append(predict, "--prefill", "64,0"), `"0": allowed are whole numbers from 1`},
		"prompt is NaN":       {append(predict, "--prefill", "NaN"), `"NaN": allowed are whole numbers`},
		"batch without x":     {append(predict, "--decode", "64"), "allowed is SEQUENCESxCONTEXT, such as 64x2048"},
		"odd type":            {append(predict, "--kv-dtype", "fp4"), `--kv-dtype is "fp4": allowed is auto, bf16 or fp8`},
		"memory over 100 %":   {append(predict, "--memory-percent", "140"), "allowed is a percentage above 0 and up to 100"},
		"rate of 0":           {append(plan, "--rate", "0"), "allowed is a number above 0"},
		"rate of no service":  {append(plan, "--rate", "1e9"), "allowed is a number above 0 and up to 1e7"},
		"rate is NaN":         {append(plan, "--rate", "NaN"), "allowed is a number above 0"},
		"SCV below 0":         {append(plan, "--input-scv", "-1"), "allowed is a number from 0"},
		"all is cached":       {append(plan, "--cached-share", "1"), "allowed is a share from 0 to below 1"},
		"objective":           {append(plan, "--ttft", "2s"), "such as p95=2s"},
		"objective, no unit":  {append(plan, "--ttft", "p95=2000"), "such as p95=2s"},
		"percentile 100":      {append(plan, "--ttft", "p100=2s"), "a percentile above 0 and below 100"},
		"negative latency":    {append(plan, "--tpot", "p95=-40ms"), "such as p95=2s"},
		"TTFT end":            {append(plan, "--ttft-ends-at", "frontend"), `--ttft-ends-at is "frontend": allowed is prefill or decode`},
		"too few GPUs":        {append(plan, "--max-gpus", "3"), "at least the 4 GPUs of one replica of each role"},
		"sequences":           {append(plan, "--max-sequences", "0"), "--max-sequences is 0: allowed is 1 or more"},
		"nothing to explain":  {[]string{"explain"}, "Give the NAME of a PDAutoscaler, or --snapshot FILE"},
		"two things":          {[]string{"explain", "qwen3", "--snapshot", "f.json"}, "a NAME and --snapshot were given"},
		"record of a name":    {[]string{"explain", "qwen3", "--record", "1"}, "--record picks a record of a file"},
		"no such record":      {[]string{"explain", "--snapshot", "testdata/situations/steady.json", "--record", "-2"}, "--record is -2 and testdata/situations/steady.json holds 1"},
		"no such file":        {[]string{"explain", "--snapshot", "gone.json"}, "open gone.json"},
		"cut record":          {[]string{"explain", "--snapshot", cut}, "record 1: the JSON ends in the middle: it was cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := pdctl(t, "", c.args...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; it should say %q", code, stdout, stderr, c.want)
			}
			if strings.Count(stderr, "\n") != 1 {
				t.Errorf("the error is not one line: %q", stderr)
			}
		})
	}
}
