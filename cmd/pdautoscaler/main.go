// Command pdautoscaler is the controller that runs in the cluster: it carries
// out PDAutoscaler resources. Everything it does is in pkg/controller; here are
// only its flags and its log.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	ctrl "sigs.k8s.io/controller-runtime"
)

// version is set by the build (-ldflags "-X main.version=v0.1.0").
var version = "development"

// garbagePercent is how much the heap may grow before it is collected, unless
// $GOGC says otherwise. Go's own 100 lets a heap of hundreds of services take
// twice its size; half of that costs this mostly waiting process little. Where
// $GOMEMLIMIT bounds the whole, as in the deployment, Go's own does.
const garbagePercent = 50

func main() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	os.Exit(run(ctrl.SetupSignalHandler(), os.Args[1:]))
}

// run runs one command line until its context ends. What goes wrong is said on
// standard error in one line, and the exit code is 1.
func run(ctx context.Context, args []string) int {
	root := newCommand(os.Stderr)
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "pdautoscaler: %v\n", err)
		return 1
	}
	return 0
}
