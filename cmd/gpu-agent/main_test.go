package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/pdautoscaler/pdautoscaler/test/dcgmfake"
)

// asAgent has the test binary be the agent.
const asAgent = "PDAUTOSCALER_TEST_AS_GPU_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, os.Args[1:])
		stop()
		os.Exit(code)
	}
	os.Exit(dcgmfake.Main(m))
}
