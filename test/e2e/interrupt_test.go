package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterruptLeavesNothingRunning stops a running demo as Ctrl-C does.
func TestInterruptLeavesNothingRunning(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Kubernetes control plane: not under -short")
	}
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("looks for processes in /proc: ", err)
	}
	repository, bin := build(t, "demo", "pdautoscaler")
	demo := exec.Command(filepath.Join(bin, "demo"), "--plain", "--dir", t.TempDir(), "--repository", repository)
	demo.Stderr = os.Stderr
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	defer func() { _ = demo.Process.Kill() }()

	playing := make(chan string, 1) // gives the control plane's directory
	go func() {
		controlPlane := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, path, found := strings.Cut(lines.Text(), "export KUBECONFIG="); found {
				controlPlane = filepath.Dir(path)
			}
			if strings.HasPrefix(lines.Text(), " 0:00") {
				playing <- controlPlane
			}
		}
		ended <- demo.Wait()
	}()
	var controlPlane string
	select {
	case controlPlane = <-playing:
	case err := <-ended:
		t.Fatalf("the demo ended before it played: %v", err)
	case <-time.After(15 * time.Minute): // the control plane may have to be built
		t.Fatal("the demo does not play")
	}
	if n := len(processes(t, controlPlane)); n < 5 {
		t.Fatalf("%d processes of the control plane in %s run, want 5: this test would prove nothing", n, controlPlane)
	}
	if n := len(processes(t, filepath.Join(bin, "pdautoscaler"))); n != 1 {
		t.Fatalf("%d autoscalers run, want 1: this test would prove nothing", n)
	}

	if err := demo.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err = <-ended:
	case <-time.After(5 * time.Minute):
		t.Fatal("the demo did not end within five minutes of Ctrl-C")
	}
	exit := &exec.ExitError{}
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("the demo ended with %v, want exit status 130", err)
	}
	for _, of := range []string{controlPlane, bin} {
		for _, p := range processes(t, of) {
			t.Errorf("still running: %s", p)
		}
	}
	if _, err := os.Stat(controlPlane); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control plane's directory %s is still there (%v)", controlPlane, err)
	}
}

// processes returns the command lines of all processes that name a path, zombies apart: those have none.
func processes(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		line, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended meanwhile
		}
		if strings.Contains(string(line), path) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}
