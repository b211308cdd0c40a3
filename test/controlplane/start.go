package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pdautoscaler/pdautoscaler/test/ports"
)

// startTimeout is how long the components may take from their start until the control plane is usable. It is 50 times what was
// measured on 2 idle cores: a component that ends is seen at once, and only one that hangs is waited for so long.
const startTimeout = 5 * time.Minute

// Start runs a control plane and returns when pods can be created in namespace default. The context bounds the start, a
// build of the binaries included; the control plane lives on until Stop. After an error nothing is left running.
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	components, err := opts.components()
	if err != nil {
		return nil, err
	}
	progress := NewProgress(opts.Progress)
	binDir, err := Binaries(ctx, progress, components...)
	if err != nil {
		return nil, err
	}
	return start(ctx, opts, components, binDir, progress)
}

func start(ctx context.Context, opts Options, components []Component, binDir string, progress *Progress) (_ *ControlPlane, err error) {
	dir, temporary, err := prepareDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{Dir: dir, temporary: temporary, binDir: binDir, revived: opts.Revive, failed: make(chan struct{})}
	defer func() {
		if err == nil {
			return
		}
		err = errors.Join(err, cp.stopAfterFailedStart())
	}()
	if err := cp.prepare(opts); err != nil {
		return nil, err
	}
	progress.Step("starting etcd and kube-apiserver in %s", dir)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not there after %s", startTimeout))
	defer cancel()
	for _, c := range []Component{Etcd, APIServer} {
		if err := cp.startComponent(c, opts.ExtraArgs[c]); err != nil {
			return nil, err
		}
	}
	if err := cp.waitFor(ctx, "kube-apiserver to be ready", cp.apiServerReady); err != nil {
		return nil, err
	}
	if opts.BeforeControllers != nil {
		if err := opts.BeforeControllers(ctx, rest.CopyConfig(cp.Config)); err != nil {
			return nil, fmt.Errorf("prepare the API before the controllers start: %w", err)
		}
	}
	var clients []Component
	for _, c := range components {
		if c == ControllerManager || c == Scheduler || c == Kwok {
			clients = append(clients, c)
		}
	}
	if len(clients) > 0 {
		progress.Step("starting %s", joinComponents(clients))
	}
	for _, c := range clients {
		if err := cp.startComponent(c, opts.ExtraArgs[c]); err != nil {
			return nil, err
		}
	}
	for _, c := range clients {
		if c == ControllerManager {
			if err := cp.NamespaceReady(ctx, metav1.NamespaceDefault); err != nil {
				return nil, err
			}
		}
	}
	progress.Step("the control plane is up: export KUBECONFIG=%s", cp.Kubeconfig)
	return cp, nil
}

// prepare writes all files and chooses all addresses, so that components need nothing but their command lines.
func (cp *ControlPlane) prepare(opts Options) (err error) {
	l := &layout{dir: cp.Dir, logs: filepath.Join(cp.Dir, "logs"), auditLog: opts.AuditLog}
	cp.layout, cp.Logs = l, l.logs
	if err := os.MkdirAll(l.logs, 0o755); err != nil {
		return err
	}
	if l.pki, err = newPKI(filepath.Join(cp.Dir, "pki")); err != nil {
		return err
	}
	if l.podCIDR, cp.podLock, err = reservePodCIDR(); err != nil {
		return err
	}
	if cp.ports, err = ports.Hold(3); err != nil {
		return err
	}
	l.etcdClientPort, l.etcdPeerPort, l.apiServerPort = cp.ports.Numbers[0], cp.ports.Numbers[1], cp.ports.Numbers[2]
	if err := writeKubeconfigs(l); err != nil {
		return err
	}
	l.stagesPath = filepath.Join(cp.Dir, "stages.yaml")
	if err := os.WriteFile(l.stagesPath, stages, 0o644); err != nil {
		return err
	}
	if l.auditLog {
		l.auditPolicy = filepath.Join(cp.Dir, "audit-policy.yaml")
		if err := os.WriteFile(l.auditPolicy, []byte(auditPolicy), 0o644); err != nil {
			return err
		}
	}
	if cp.Config, err = userConfig(l, adminUser, adminGroup); err != nil {
		return err
	}
	cp.Kubeconfig = l.kubeconfigs[Kubectl]
	cp.PodCIDR = l.podCIDR
	cp.FrontProxyCA = l.pki.frontProxy.pem
	cp.client, err = kubernetes.NewForConfig(cp.Config)
	return err
}

// auditPolicy logs every finished request, without its body and without the noise of reading.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  resources: [{group: coordination.k8s.io}, {group: "", resources: [events]}, {group: events.k8s.io}]
- level: Metadata
`

func (cp *ControlPlane) startComponent(c Component, extra []string) error {
	p, err := cp.launch(c, append(cp.layout.args(c), extra...))
	if err != nil {
		return err
	}
	cp.mu.Lock()
	defer cp.mu.Unlock()
	cp.processes = append(cp.processes, p)
	return nil
}

// stopAfterFailedStart leaves nothing running, and the logs only where a component wrote why it failed.
func (cp *ControlPlane) stopAfterFailedStart() error {
	if len(cp.processes) == 0 && cp.temporary {
		cp.release()
		return os.RemoveAll(cp.Dir)
	}
	if err := cp.Stop(); !errors.Is(err, cp.Err()) {
		return err
	}
	return nil // the caller has it already
}

func (cp *ControlPlane) apiServerReady(ctx context.Context) error {
	var status int
	body, err := cp.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Raw()
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("/readyz answers %d: %s", status, body)
	}
	return nil
}

func (cp *ControlPlane) defaultServiceAccount(ctx context.Context, namespace string) error {
	_, err := cp.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	return err
}
