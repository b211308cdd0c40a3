package controlplane

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserConfig returns a client configuration for a user of these groups, who may do what RBAC allows them, and so nothing
// before a binding names them. A ServiceAccount's rights can be had as user "system:serviceaccount:NAMESPACE:NAME" of groups
// "system:serviceaccounts" and "system:serviceaccounts:NAMESPACE".
func (cp *ControlPlane) UserConfig(name string, groups ...string) (*rest.Config, error) {
	return userConfig(cp.layout, name, groups...)
}

// UserKubeconfig writes the kubeconfig of such a user into the control plane's directory and returns its path.
func (cp *ControlPlane) UserKubeconfig(name string, groups ...string) (string, error) {
	cfg, err := cp.UserConfig(name, groups...)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(cp.Dir, "user-*.kubeconfig")
	if err != nil {
		return "", err
	}
	f.Close()
	return f.Name(), writeKubeconfig(f.Name(), cfg)
}

func userConfig(l *layout, name string, groups ...string) (*rest.Config, error) {
	pair, err := l.pki.cluster.issueClient(name, groups...)
	if err != nil {
		return nil, fmt.Errorf("certificate for user %q: %w", name, err)
	}
	return &rest.Config{
		Host: l.apiServerURL(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   l.pki.cluster.pem,
			CertData: pair.cert,
			KeyData:  pair.key,
		},
		QPS: 200, Burst: 400, // a test that waits for its own rate limit measures nothing
	}, nil
}

// writeKubeconfigs gives each component that is a client of the API server an identity of its own.
func writeKubeconfigs(l *layout) error {
	l.kubeconfigs = map[Component]string{}
	for component, user := range map[Component]struct{ name, group string }{
		ControllerManager: {name: controllerManagerUser},
		Scheduler:         {name: schedulerUser},
		Kwok:              {name: "kwok", group: adminGroup},
		Kubectl:           {name: adminUser, group: adminGroup},
	} {
		var groups []string
		if user.group != "" {
			groups = []string{user.group}
		}
		cfg, err := userConfig(l, user.name, groups...)
		if err != nil {
			return err
		}
		path := filepath.Join(l.dir, string(component)+".kubeconfig")
		if err := writeKubeconfig(path, cfg); err != nil {
			return err
		}
		l.kubeconfigs[component] = path
	}
	return nil
}

func writeKubeconfig(path string, cfg *rest.Config) error {
	const name = "controlplane"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: cfg.Host, CertificateAuthorityData: cfg.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
}
