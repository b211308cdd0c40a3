package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// The command prints what the model says, under the keys that other tools read.
func TestPredictPrintsTheModel(t *testing.T) {
	stdout, stderr, code := pdctl(t, "", "predict", "--model", "qwen3-32b", "--gpu", "h200", "--tp", "1",
		"--prefill", "64,512,8192", "--decode", "1x512,64x2048", "-o", "json")
	if code != exitDone || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		t.Fatal(err)
	}
	r, err := perfmodel.NewReplica(model, gpu, perfmodel.Options{TP: 1})
	if err != nil {
		t.Fatal(err)
	}
	point := func(tokens float64) map[string]any {
		return map[string]any{"tokens": tokens, "ms": r.Prefill.StepMs(tokens, 0)}
	}
	step := func(batch, context float64) map[string]any {
		return map[string]any{"batch": batch, "context": context, "ms": r.Decode.StepMs(batch, batch*context)}
	}
	want := map[string]any{
		"model": "Qwen3-32B", "gpu": "H200-SXM", "tp": 1.0, "gpus": 1.0,
		"prefill":         []any{point(64), point(512), point(8192)},
		"decode":          []any{step(1, 512), step(64, 2048)},
		"kvBytesPerToken": r.KVBytesPerToken, "kvCapacityTokens": r.KVCapacityTokens, "weightBytes": r.WeightBytes,
		"load": map[string]any{
			"prefill": map[string]any{"tensorActive": r.BusyActivity.PrefillTensorActive, "dramActive": r.BusyActivity.PrefillDRAMActive},
			"decode":  map[string]any{"tensorActive": r.BusyActivity.DecodeTensorActive, "dramActive": r.BusyActivity.DecodeDRAMActive},
		},
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("predict (-model +printed):\n%s", diff)
	}
}

func TestPredictTakesParallelism(t *testing.T) {
	var p prediction
	stdout, stderr, code := pdctl(t, "", "predict", "--model", "deepseek-v3", "--gpu", "h200", "--dp", "16", "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if p.GPUs != 16 || p.KVBytesPerToken != 70272 || p.KVCapacityTokens < 5e6 {
		t.Errorf("16 GPUs as groups of 1: %+v", p)
	}
	if _, stderr, code = pdctl(t, "", "predict", "--model", "qwen3-32b", "--gpu", "h200", "--dp", "2"); code != exitUsage {
		t.Errorf("data-parallel groups of a dense model: exit code %d: %s", code, stderr)
	}
}

// A GPU and a model that the catalogue lacks can be given as files.
func TestPredictTakesFiles(t *testing.T) {
	dir := t.TempDir()
	gpu, model := filepath.Join(dir, "lab-gpu.yaml"), filepath.Join(dir, "config.json")
	for path, text := range map[string]string{
		gpu: "bf16FLOPs: 9.89e14\nmemoryBytes: 151397597184\nbandwidthBytesPerSecond: 4.8e12\nlinkBytesPerSecond: 4.5e11\nnicBytesPerSecond: 5e10\n",
		model: `{"model_type":"qwen3","num_hidden_layers":64,"hidden_size":5120,"num_attention_heads":64,"num_key_value_heads":8,
			"head_dim":128,"intermediate_size":25600,"vocab_size":151936,"torch_dtype":"bfloat16","tie_word_embeddings":false}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	predicted := func(args ...string) prediction {
		stdout, stderr, code := pdctl(t, "", append([]string{"predict", "-o", "json"}, args...)...)
		var p prediction
		if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitDone {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		return p
	}
	want, got := predicted("--model", "qwen3-32b", "--gpu", "h200"), predicted("--model", model, "--gpu", gpu)
	if got.GPU != "lab-gpu" {
		t.Errorf("the GPU is called %q", got.GPU)
	}
	got.GPU, got.Model = want.GPU, want.Model
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the same peaks and shape as in the catalogue give another prediction (-catalogue +files):\n%s", diff)
	}
}
