package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// reviveAfter is how long a component that ended by itself stays away.
const reviveAfter = time.Second

// EtcdURL is where etcd serves, for a witness that asks no API server.
func (cp *ControlPlane) EtcdURL() string { return cp.layout.etcdURL() }

// Restart kills a component without a warning, leaves it down for so long and starts it again with the same command line. Of
// the API server it returns when it serves again. It must not be called at the same time as another Restart of it.
func (cp *ControlPlane) Restart(ctx context.Context, c Component, down time.Duration) error {
	old := cp.process(c)
	if old == nil {
		return fmt.Errorf("restart %s: it does not run", c)
	}
	old.stopping.Store(true)
	_ = signalGroup(old.cmd.Process.Pid, true) // one that is gone already is what is wanted
	<-old.exited
	select {
	case <-ctx.Done():
	case <-time.After(down):
	}
	// Also where the context has ended: others may still want the component.
	if err := cp.startAgain(old); err != nil {
		return err
	}
	if c != APIServer {
		return context.Cause(ctx)
	}
	return cp.waitFor(ctx, "kube-apiserver to be ready again", cp.apiServerReady)
}

// launch starts a component whose end is a failure, or the beginning of the next one.
func (cp *ControlPlane) launch(c Component, args []string) (*process, error) {
	return startProcess(c, cp.binDir, cp.Logs, args, func(err error) {
		if !slices.Contains(cp.revived, c) {
			cp.fail(err)
			return
		}
		time.Sleep(reviveAfter)
		if err := cp.startAgain(cp.process(c)); err != nil {
			cp.fail(err)
		}
	})
}

// process is that of a component, nil where it has none.
func (cp *ControlPlane) process(c Component) *process {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	at := slices.IndexFunc(cp.processes, func(p *process) bool { return p.component == c })
	if at < 0 {
		return nil
	}
	return cp.processes[at]
}

// startAgain starts a component that has ended in its old place, unless the control plane stops.
func (cp *ControlPlane) startAgain(old *process) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	at := slices.Index(cp.processes, old)
	if cp.stopping || at < 0 {
		return nil
	}
	p, err := cp.launch(old.component, old.cmd.Args[1:])
	if err == nil {
		cp.processes[at] = p
	}
	return err
}
