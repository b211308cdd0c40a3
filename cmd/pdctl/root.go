package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

// Exit codes.
const (
	exitDone = 0
	// exitNo: the question was answered, and the answer is no.
	exitNo = 1
	// exitUsage: a flag, an argument or a file is wrong.
	exitUsage = 2
	// exitCluster: the cluster or the controller did not give what was asked for.
	exitCluster = 3
	// exitInterrupted is what a shell says of a program that SIGINT ended.
	exitInterrupted = 130
)

// environment is what a command has of the world around it.
type environment struct {
	// program is the name that the program was called by, with or without a path.
	program        string
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
}

// exitError ends the program with a code. Its error may be nil: all was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func clusterError(format string, args ...any) error {
	return &exitError{exitCluster, fmt.Errorf(format, args...)}
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, env environment) int {
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil {
		fmt.Fprintf(env.stderr, "%s: interrupted\n", cmd.CommandPath())
		return exitInterrupted
	}
	code := exitUsage
	if e, ok := errors.AsType[*exitError](err); ok {
		if code = e.code; e.err == nil {
			return code
		}
	}
	fmt.Fprintf(env.stderr, "%s: %v\n", cmd.CommandPath(), groupError(err))
	return code
}

func newRoot(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "pdctl",
		Short: "Ask a prefill/decode autoscaler what it decided and why, and what a service can hold",
		Long: `pdctl says what the autoscaler of a prefill/decode service decided and why, and answers
capacity questions without a cluster.

Exit codes:
  0  done
  1  the answer is no: a replayed decision differs, no plan meets the objectives, a service has a fault
  2  a flag, an argument or a file is wrong
  3  the cluster or the controller did not give what was asked for
  130  interrupted`,
		Version:       version,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w; see %s --help", flagError(err), cmd.CommandPath())
	})
	if asPlugin(env.program) {
		root.Use, root.Short = "kubectl-pda", "kubectl pda: "+root.Short
		// cobra names commands by this, in usage lines and in errors.
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl pda"}
		root.Long = strings.Replace(root.Long, "pdctl says", "kubectl pda (pdctl, installed as a plugin of kubectl) says", 1)
		root.SetVersionTemplate("kubectl pda version {{.Version}}\n")
	}
	root.AddCommand(newExplain(env), newDoctor(env), newSnapshot(env), newPlan(env), newPredict(env), newSimulate(env), newMerge(env), newFit(env), newAccuracy(env), newModels(env), newGPUs(env))
	for _, cmd := range root.Commands() {
		cmd.Example, cmd.Long = called(env, cmd.Example), called(env, cmd.Long)
	}
	return root
}

// asPlugin reports whether kubectl runs the program, which it finds by the name kubectl-pda. The same file under both names
// is enough: ln -s pdctl kubectl-pda.
func asPlugin(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "kubectl-pda"
}

// called puts the name that the program was called by into examples.
func called(env environment, example string) string {
	if asPlugin(env.program) {
		return strings.ReplaceAll(example, "pdctl ", "kubectl pda ")
	}
	return example
}

// noArguments refuses arguments, and names the commands where one of them was perhaps meant.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError("unknown command %q; see %s --help", args[0], cmd.CommandPath())
	}
	return usageError("unexpected argument %q; see %s --help", args[0], cmd.CommandPath())
}
