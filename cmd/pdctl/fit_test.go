package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

// slowService writes a service's files: 1.3 times as slow as the roofline of TP 1.
func slowService(t *testing.T) (dir string, slow perfmodel.Replica) {
	t.Helper()
	model, err := perfmodel.LookupModel("qwen3-32b")
	if err != nil {
		t.Fatal(err)
	}
	gpu, err := perfmodel.LookupGPU("h200")
	if err != nil {
		t.Fatal(err)
	}
	if slow, err = perfmodel.NewReplica(model, gpu, perfmodel.Options{}); err != nil {
		t.Fatal(err)
	}
	scaled := func(c []float64) []float64 {
		for i := range c {
			c[i] *= 1.3
		}
		return c
	}
	slow.Prefill = slow.Prefill.WithCoefficients(scaled(slow.Prefill.Coefficients()))
	slow.Decode = slow.Decode.WithCoefficients(scaled(slow.Decode.Coefficients()))
	requests, steps := "input,output,prefill_start_s,prefill_end_s\n", "t_s,batch,context_tokens,ms\n"
	at := 0.0
	for i := range 60 {
		n := float64(100 + 61*i)
		took := slow.Prefill.StepMs(n, 0) / 1000
		requests += fmt.Sprintf("%v,200,%.6f,%.6f\n", n, at, at+took)
		at += took + 0.01
	}
	at = 0
	for i := range 100 {
		b := float64(1 + i%40)
		took := slow.Decode.StepMs(b, 1500*b)
		steps += fmt.Sprintf("%.6f,%v,%v,%.3f\n", at, b, 1500*b, took-0.3)
		at += took / 1000
	}
	dir = t.TempDir()
	for name, text := range map[string]string{"requests.csv": requests, "steps.csv": steps,
		"grid.json": `{"model":"qwen3-14b","prefill":[{"tokens":512,"ms":60}]}`, "bad.csv": "a,b\n1,2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, slow
}

func TestFitCorrectsPredictAndPlan(t *testing.T) {
	dir, slow := slowService(t)
	fit := filepath.Join(dir, "fit.json")
	base := []string{"--model", "qwen3-32b", "--gpu", "h200"}
	stdout, stderr, code := pdctl(t, "", append([]string{"fit", "--tp", "1", "--requests", filepath.Join(dir, "requests.csv"),
		"--steps", filepath.Join(dir, "steps.csv"), "-o", fit}, base...)...)
	if code != exitDone || !strings.Contains(stdout, "prefill.gemmMsPerToken") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	predictWith := func(args ...string) (p prediction) {
		stdout, stderr, code := pdctl(t, "", append(append([]string{"predict", "-o", "json", "--prefill", "2000", "--decode", "20x1500"}, base...), args...)...)
		if code != exitDone {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	fitted := predictWith("--fit", fit)
	if got, want := fitted.Prefill[0].Ms, slow.Prefill.StepMs(2000, 0); math.Abs(got/want-1) > 0.02 {
		t.Errorf("prefill of 2000 tokens is %v ms, the service takes %v", got, want)
	}
	if got, want := fitted.Decode[0].Ms, slow.Decode.StepMs(20, 30_000); math.Abs(got/want-1) > 0.02 {
		t.Errorf("a decode step is %v ms, the service takes %v", got, want)
	}
	if one, two := predictWith("--tp", "2"), predictWith("--tp", "2", "--fit", fit); two.Prefill[0].Ms < 1.1*one.Prefill[0].Ms {
		t.Errorf("rescaled to TP 2 the fit gives %v ms, the roofline alone %v", two.Prefill[0].Ms, one.Prefill[0].Ms)
	}
	gpus := func(args ...string) int {
		var p plan
		stdout, stderr, code := pdctl(t, "", append(append([]string{"plan", "-o", "json", "--rate", "10", "--input", "4000", "--output", "500",
			"--ttft", "p95=2s", "--tpot", "p95=60ms"}, base...), args...)...)
		if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != exitDone {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		return p.GPUs
	}
	if without, with := gpus(), gpus("--fit", fit); with <= without {
		t.Errorf("a service 1.3 times as slow is planned with %d GPUs, the roofline with %d", with, without)
	}
}

// A fit belongs to the image that was measured: asked for another one it is refused.
func TestFitKeepsItsImage(t *testing.T) {
	dir, _ := slowService(t)
	fit := filepath.Join(dir, "fit.json")
	const image = "registry.example/vllm:v0.11.0"
	base := []string{"--model", "qwen3-32b", "--gpu", "h200"}
	stdout, stderr, code := pdctl(t, "", append([]string{"fit", "--image", image, "--requests", filepath.Join(dir, "requests.csv"), "-o", fit}, base...)...)
	if code != exitDone || !strings.Contains(strings.SplitN(stdout, "\n", 2)[0], image) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for other, want := range map[string]string{
		"":                              "",
		image:                           "",
		"registry.example/vllm:v0.12.0": "the fit is of image " + image + ", not of registry.example/vllm:v0.12.0",
	} {
		_, stderr, code := pdctl(t, "", append([]string{"predict", "--tp", "2", "--fit", fit, "--image", other}, base...)...)
		if (code == exitDone) != (want == "") || !strings.Contains(stderr, want) {
			t.Errorf("--image %q: exit code %d, %q, want %q", other, code, stderr, want)
		}
	}
	if _, stderr, code := pdctl(t, "", append([]string{"fit", "--image", "a\nb", "--requests", filepath.Join(dir, "requests.csv")}, base...)...); code != exitUsage || !strings.Contains(stderr, "printable") {
		t.Errorf("an image of two lines: exit code %d, %q", code, stderr)
	}
}

func TestFitRefusesInOneSentence(t *testing.T) {
	dir, _ := slowService(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	base := []string{"--model", "qwen3-32b", "--gpu", "h200"}
	if _, stderr, code := pdctl(t, "", append([]string{"fit", "--requests", file("requests.csv"), "-o", file("fit.json")}, base...)...); code != exitDone {
		t.Fatal(stderr)
	}
	for want, args := range map[string][]string{
		"nothing to fit: give --requests, --steps or --grid":  append([]string{"fit"}, base...),
		"was measured with model Qwen3-14B":                   append([]string{"fit", "--grid", file("grid.json")}, base...),
		`column "input" is missing`:                           append([]string{"fit", "--requests", file("bad.csv")}, base...),
		"--steps":                                             append([]string{"fit", "--steps", file("absent.csv")}, base...),
		`the fit is of model "Qwen3-32B", not of "Qwen3-14B"`: {"predict", "--model", "qwen3-14b", "--gpu", "h200", "--fit", file("fit.json")},
		`the fit is of GPU "H200-SXM", not of "H100-SXM"`:     {"predict", "--model", "qwen3-32b", "--gpu", "h100", "--tp", "2", "--fit", file("fit.json")},
		"fit file: not a JSON object":                         {"predict", "--model", "qwen3-32b", "--gpu", "h200", "--fit", file("bad.csv")},
		"--output":                                            append([]string{"fit", "--requests", file("requests.csv"), "-o", dir}, base...),
	} {
		_, stderr, code := pdctl(t, "", args...)
		if code != exitUsage || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q, want one line that says %q", args, code, stderr, want)
		}
	}
}

func TestAccuracyHoldsOnTheMeasuredData(t *testing.T) {
	dir := os.Getenv("PDAUTOSCALER_DATA")
	if dir == "" {
		t.Skip("PDAUTOSCALER_DATA is not set: the measured steps are not part of the repository")
	}
	stdout, stderr, code := pdctl(t, "", "accuracy", "--data", dir)
	if code != exitDone || !strings.Contains(stdout, "AIConfigurator") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code := pdctl(t, "", "accuracy", "--data", t.TempDir()); code != exitUsage || !strings.Contains(stderr, "--data") {
		t.Errorf("without the files: exit code %d, %q", code, stderr)
	}
}
