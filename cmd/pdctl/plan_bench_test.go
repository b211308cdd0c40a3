package main

import (
	"context"
	"io"
	"testing"
	"time"
)

// A plan that needs some 500 GPUs, from the flags to the printed JSON.
func BenchmarkPlanFor512GPUs(b *testing.B) {
	for b.Loop() {
		code := run(context.Background(), []string{"plan", "--model", "qwen3-32b", "--gpu", "h200", "--prefill-tp", "2", "--decode-tp", "2",
			"--rate", "450", "--input", "4000", "--output", "1000", "--ttft", "p95=2s", "--tpot", "p95=40ms", "--max-gpus", "512", "-o", "json"},
			environment{stdout: io.Discard, stderr: io.Discard, now: time.Now})
		if code != exitDone && code != exitNo {
			b.Fatalf("exit code %d", code)
		}
	}
}
