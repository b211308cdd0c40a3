package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A Pod is what the API server holds of a Deployment's pods, made ready for a machine without a kubelet.
type Pod struct {
	// Args are the first container's, in which the paths of mounted Secrets are those of copies on this machine.
	Args []string
	// Kubeconfig has a token of the pod's ServiceAccount, and nothing else that would give it rights.
	Kubeconfig string
	// Spec is the template's.
	Spec corev1.PodSpec
}

// ReadPod reads the pod template of a Deployment, and does in dir what a kubelet does before it starts a pod.
func ReadPod(ctx context.Context, config *rest.Config, namespace, deployment, dir string) (*Pod, error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	d, err := kube.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	spec := d.Spec.Template.Spec
	if len(spec.Containers) != 1 {
		return nil, fmt.Errorf("Deployment %s has %d containers, want one", deployment, len(spec.Containers))
	}
	pod := &Pod{Args: slices.Clone(spec.Containers[0].Args), Spec: spec}
	for _, mount := range spec.Containers[0].VolumeMounts {
		at := filepath.Join(dir, mount.MountPath)
		if err := writeSecret(ctx, kube, namespace, spec.Volumes, mount.Name, at); err != nil {
			return nil, err
		}
		for i, arg := range pod.Args {
			pod.Args[i] = strings.Replace(arg, "="+mount.MountPath, "="+at, 1)
		}
	}
	pod.Kubeconfig, err = tokenKubeconfig(ctx, kube, config, namespace, spec.ServiceAccountName, dir)
	return pod, err
}

// writeSecret writes the Secret of a volume as files.
func writeSecret(ctx context.Context, kube kubernetes.Interface, namespace string, volumes []corev1.Volume, name, at string) error {
	i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 || volumes[i].Secret == nil {
		return fmt.Errorf("the mounted volume %q is no Secret of the pod", name)
	}
	secret, err := kube.CoreV1().Secrets(namespace).Get(ctx, volumes[i].Secret.SecretName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	for file, content := range secret.Data {
		if err := os.WriteFile(filepath.Join(at, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tokenKubeconfig writes a kubeconfig of a ServiceAccount.
func tokenKubeconfig(ctx context.Context, kube kubernetes.Interface, config *rest.Config, namespace, account, dir string) (string, error) {
	token, err := kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("a token of ServiceAccount %s/%s: %w", namespace, account, err)
	}
	const name = "pod"
	path := filepath.Join(dir, account+".kubeconfig")
	return path, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name, Namespace: namespace}},
		CurrentContext: name,
	}, path)
}
