// Command gpu-agent reads the GPUs of its node from DCGM and serves them, by pod,
// to Prometheus and to the controller. It is the only binary that needs cgo;
// what it does is in internal, here are its flags and how the parts are put together.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the build (-ldflags "-X main.version=v0.1.0").
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one command line until its context ends. What goes wrong is said on
// standard error in one line, and the exit code is 1.
func run(ctx context.Context, args []string) int {
	root := newCommand(os.Stderr)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "gpu-agent: %v\n", err)
		return 1
	}
	return 0
}
