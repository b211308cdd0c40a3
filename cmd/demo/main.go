// Command demo shows the autoscaler at work on one machine: a real Kubernetes control plane, an emulated service with live
// traffic, and the shipped pdautoscaler binary that scales it. It then says what happened, and its exit code says whether the
// objectives and the budget were kept.
//
// It knows how to play and to show. What is shown is set up by test/stage, counted by test/gpuwatch, judged by
// internal/verdict, and drawn by internal/live (terminal) and internal/chart (SVG).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

// version is set by the build (-ldflags "-X main.version=v0.1.0").
var version = "development"

// Exit codes besides 0: the objectives and the budget were kept.
const (
	exitNotKept     = 1
	exitError       = 2
	exitInterrupted = 130
)

func main() { os.Exit(run(os.Args[1:])) }

// run runs one command line. The first Ctrl-C ends everything in order, a second one at once.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := newCommand(os.Stdout)
	root.SetArgs(args)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return 0
	case errors.Is(err, errNotKept):
		return exitNotKept
	case ctx.Err() != nil && !errors.Is(err, stage.ErrStop):
		fmt.Fprintln(os.Stderr, "demo: interrupted; nothing is left running")
		return exitInterrupted
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return exitError
	}
}
