package controlplane

import (
	"fmt"
	"path/filepath"
)

// Names that both ends of a connection must agree on.
const (
	frontProxyUser        = "front-proxy-client"
	adminUser             = "kubernetes-admin"
	adminGroup            = "system:masters" // bypasses RBAC
	controllerManagerUser = "system:kube-controller-manager"
	schedulerUser         = "system:kube-scheduler"
)

// layout is where everything of one control plane lies and listens.
type layout struct {
	dir                           string
	pki                           *pki
	etcdClientPort, etcdPeerPort  int
	apiServerPort                 int
	podCIDR                       string
	kubeconfigs                   map[Component]string
	stagesPath, auditPolicy, logs string
	auditLog                      bool
}

func (l *layout) apiServerURL() string { return fmt.Sprintf("https://127.0.0.1:%d", l.apiServerPort) }

func (l *layout) etcdURL() string { return fmt.Sprintf("http://127.0.0.1:%d", l.etcdClientPort) }

// args returns a component's command line.
func (l *layout) args(c Component) []string {
	switch c {
	case Etcd:
		return l.etcdArgs()
	case APIServer:
		return l.apiServerArgs()
	case ControllerManager:
		return l.controllerManagerArgs()
	case Scheduler:
		return []string{
			"--kubeconfig=" + l.kubeconfigs[Scheduler],
			"--leader-elect=false",
			"--secure-port=0",
			"--kube-api-qps=200", "--kube-api-burst=400",
		}
	case Kwok:
		return []string{
			"--kubeconfig=" + l.kubeconfigs[Kwok],
			"--config=" + l.stagesPath,
			"--manage-all-nodes=true",
			"--node-ip=127.0.0.1",
			"--cidr=" + l.podCIDR, // its default is a range of real addresses
			"--node-lease-duration-seconds=40",
		}
	}
	return nil
}

func (l *layout) etcdArgs() []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", l.etcdPeerPort)
	return []string{
		"--data-dir=" + filepath.Join(l.dir, "etcd"),
		"--listen-client-urls=" + l.etcdURL(), "--advertise-client-urls=" + l.etcdURL(),
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
		"--unsafe-no-fsync", // nothing has to survive a power cut
		"--log-level=warn",
	}
}

func (l *layout) apiServerArgs() []string {
	args := []string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", l.apiServerPort),
		"--etcd-servers=" + l.etcdURL(),
		"--endpoint-reconciler-type=none", // it may not publish a loopback address
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged=true",
		"--authorization-mode=RBAC",
		"--tls-cert-file=" + l.pki.path("apiserver.crt"), "--tls-private-key-file=" + l.pki.path("apiserver.key"),
		"--client-ca-file=" + l.pki.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.pki.path("service-account.pub"),
		"--service-account-signing-key-file=" + l.pki.path("service-account.key"),
		// The aggregation layer: extension API servers are reached through an ExternalName Service, without endpoints.
		"--enable-aggregator-routing=false",
		"--requestheader-client-ca-file=" + l.pki.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxyUser,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + l.pki.path("front-proxy-client.crt"),
		"--proxy-client-key-file=" + l.pki.path("front-proxy-client.key"),
	}
	if l.auditLog {
		args = append(args, "--audit-policy-file="+l.auditPolicy, "--audit-log-path="+filepath.Join(l.logs, "audit.log"))
	}
	return args
}

func (l *layout) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + l.kubeconfigs[ControllerManager],
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials=true",
		// The API refuses loopback addresses in endpoints, so their controllers could only fail; pods get theirs from kwok.
		"--controllers=*,-node-ipam-controller,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller",
		"--root-ca-file=" + l.pki.path("ca.crt"),
		"--service-account-private-key-file=" + l.pki.path("service-account.key"),
		"--kube-api-qps=200", "--kube-api-burst=400", // with the default the first ServiceAccount is 5 s late
		// kwok renews the leases of all nodes when the machine lets it: a node is lost when it is deleted, not when that takes long.
		"--node-monitor-grace-period=10m",
		// An HPA that reacts within a test's patience.
		"--horizontal-pod-autoscaler-sync-period=2s",
		"--horizontal-pod-autoscaler-downscale-stabilization=10s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=1s",
		"--horizontal-pod-autoscaler-cpu-initialization-period=1s",
	}
}
