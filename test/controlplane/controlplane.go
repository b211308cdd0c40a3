package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// How long a component may take to end before it is killed: in good order, where the API server's own shutdown takes about a
// second, and after one has failed, without which another may never come to its end (the API server without etcd).
const (
	stopGrace       = 10 * time.Second
	failedStopGrace = time.Second
)

// A ControlPlane is one that runs, until Stop or until this process ends.
type ControlPlane struct {
	// Config is the administrator's client configuration. Copy it before changing it.
	Config *rest.Config
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Dir holds everything the control plane writes, Logs the output of each component as COMPONENT.log.
	Dir, Logs string
	// PodCIDR is where pods get their addresses: a part of 127.244.0.0/16.
	PodCIDR string
	// FrontProxyCA is the PEM certificate that signs the aggregation layer's client certificate, whose name is
	// "front-proxy-client".
	FrontProxyCA []byte

	binDir    string
	layout    *layout
	client    kubernetes.Interface
	temporary bool // Dir goes away with the control plane
	podLock   *fileLock
	ports     *ports.Held
	nodesMade atomic.Int64

	mu        sync.Mutex
	processes []*process // in the order they were started
	stopping  bool
	revived   []Component
	failOnce  sync.Once
	failed    chan struct{}
	failure   error // read only after failed

	stopOnce sync.Once
	stopErr  error
}

// Failed is closed when a component has ended that nobody asked to. Err then tells which and why.
func (cp *ControlPlane) Failed() <-chan struct{} { return cp.failed }

// Err returns nil while every component that was started still runs or has been stopped on purpose.
func (cp *ControlPlane) Err() error {
	select {
	case <-cp.failed:
		return cp.failure
	default:
		return nil
	}
}

func (cp *ControlPlane) fail(err error) {
	cp.failOnce.Do(func() {
		cp.failure = err
		close(cp.failed)
	})
}

// Stop ends all components, clients first, and returns when no process is left. Called again it does nothing. The error is
// that of a component which had failed before, or of removing the temporary directory.
func (cp *ControlPlane) Stop() error {
	cp.stopOnce.Do(func() { cp.stopErr = cp.stop() })
	return cp.stopErr
}

func (cp *ControlPlane) stop() error {
	server := func(p *process) bool { return p.component == Etcd || p.component == APIServer }
	var clients, servers []*process
	cp.mu.Lock()
	cp.stopping = true // nothing comes back from here on
	processes := slices.Clone(cp.processes)
	cp.mu.Unlock()
	for _, p := range processes {
		if server(p) {
			servers = append(servers, p)
		} else {
			clients = append(clients, p)
		}
	}
	grace := stopGrace
	if cp.Err() != nil {
		grace = failedStopGrace
	}
	for _, p := range clients {
		p.terminate()
	}
	for _, p := range clients {
		p.wait(grace)
	}
	for _, p := range slices.Backward(servers) { // etcd outlives its client
		p.terminate()
		p.wait(grace)
	}
	cp.release()
	err := cp.Err()
	if cp.temporary && err == nil { // after a failure the logs are wanted
		return os.RemoveAll(cp.Dir)
	}
	return err
}

// release gives back what is reserved on this machine.
func (cp *ControlPlane) release() {
	if cp.podLock != nil {
		cp.podLock.unlock()
	}
	if cp.ports != nil {
		cp.ports.Close()
	}
}

// NamespaceReady waits until pods can be created in a namespace, which needs its default ServiceAccount.
func (cp *ControlPlane) NamespaceReady(ctx context.Context, namespace string) error {
	return cp.waitFor(ctx, "the default ServiceAccount of namespace "+namespace, func(ctx context.Context) error {
		return cp.defaultServiceAccount(ctx, namespace)
	})
}

// waitFor tries until it succeeds, a component fails, or the context ends.
func (cp *ControlPlane) waitFor(ctx context.Context, what string, try func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last answer: %w)", what, context.Cause(ctx), err)
		case <-cp.failed:
			return cp.failure
		case <-tick.C:
		}
	}
}

// prepareDir makes the directory that everything is written to.
func prepareDir(dir string) (path string, temporary bool, err error) {
	if dir == "" {
		dir, err = os.MkdirTemp("", "controlplane-")
		return dir, true, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, err
	}
	if fileExists(filepath.Join(dir, "etcd")) {
		return "", false, errors.New(dir + " holds another control plane's data: want a directory without one")
	}
	return dir, false, nil
}
