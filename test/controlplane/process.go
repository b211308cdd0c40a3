package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A process is one running component. Its output goes to a log file.
type process struct {
	component Component
	logPath   string
	cmd       *exec.Cmd
	stopping  atomic.Bool
	exited    chan struct{} // closed once it is gone and err is set
	err       error         // how it ended; read only after exited
}

// startProcess starts a component. onExit is called, from another goroutine, if it ends before stop is asked of it.
func startProcess(c Component, binDir, logDir string, args []string, onExit func(error)) (*process, error) {
	p := &process{component: c, logPath: filepath.Join(logDir, string(c)+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has a copy of its own
	p.cmd = exec.Command(filepath.Join(binDir, string(c)), args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = childAttr()
	if err := startPinned(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
		if !p.stopping.Load() {
			onExit(p.exitError())
		}
	}()
	return p, nil
}

// exitError tells how the process ended and what it said last.
func (p *process) exitError() error {
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s ended early (%s); the end of %s:\n%s", p.component, how, p.logPath, tailOfFile(p.logPath, 15))
}

// terminate asks the process to end.
func (p *process) terminate() {
	p.stopping.Store(true)
	_ = signalGroup(p.cmd.Process.Pid, false) // one that is gone already is what is wanted
}

// wait returns once the process is gone, by force where it has not obeyed within grace.
func (p *process) wait(grace time.Duration) {
	select {
	case <-p.exited:
	case <-time.After(grace):
		_ = signalGroup(p.cmd.Process.Pid, true)
		<-p.exited
	}
}

// signalGroup ends a process and all it has started, politely or by force.
func signalGroup(pid int, force bool) error {
	signal := syscall.SIGTERM
	if force {
		signal = syscall.SIGKILL
	}
	err := syscall.Kill(-pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// spawn runs functions on one OS thread that lives as long as this process: Linux sends the parent-death signal when the
// thread that forked ends, not the process, and the Go runtime is free to end its other threads.
var spawn = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startPinned is cmd.Start on the thread that outlives every child.
func startPinned(cmd *exec.Cmd) error {
	done := make(chan error)
	spawn() <- func() { done <- cmd.Start() }
	return <-done
}

// tailOfFile returns the last lines of a file, of which it reads no more than the last 16 KiB.
func tailOfFile(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-16<<10), io.SeekStart) // at worst the whole file is read
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
