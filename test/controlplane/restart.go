package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// EtcdURL is where etcd serves, for a witness that asks no API server.
func (cp *ControlPlane) EtcdURL() string { return cp.layout.etcdURL() }

// Restart kills a component without a warning, leaves it down for so long and starts it again with the same command line. Of
// the API server it returns when it serves again. It must not be called at the same time as Stop or another Restart.
func (cp *ControlPlane) Restart(ctx context.Context, c Component, down time.Duration) error {
	at := slices.IndexFunc(cp.processes, func(p *process) bool { return p.component == c })
	if at < 0 {
		return fmt.Errorf("restart %s: it does not run", c)
	}
	old := cp.processes[at]
	old.stopping.Store(true)
	_ = signalGroup(old.cmd.Process.Pid, true) // one that is gone already is what is wanted
	<-old.exited
	select {
	case <-ctx.Done():
		return fmt.Errorf("restart %s: %w", c, context.Cause(ctx))
	case <-time.After(down):
	}
	p, err := startProcess(c, cp.binDir, cp.Logs, old.cmd.Args[1:], cp.fail)
	if err != nil {
		return err
	}
	cp.processes[at] = p
	if c != APIServer {
		return nil
	}
	return cp.waitFor(ctx, "kube-apiserver to be ready again", cp.apiServerReady)
}
