package stage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/config/crd"
	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// startCluster starts a control plane that knows the kinds of the example, with its nodes and namespaces.
func (s *Stage) startCluster(ctx context.Context) error {
	namespaces, install := []string{exporterNamespace, systemNamespace}, Install
	if s.options.Installation != nil { // which brings its own
		namespaces, install = namespaces[:1], rbgfake.Install
	}
	cp, err := controlplane.Start(ctx, controlplane.Options{Progress: s.options.Progress, BeforeControllers: install})
	if err != nil {
		return err
	}
	s.ControlPlane = cp
	s.onStop("the control plane", cp.Stop)
	s.failWhen(cp.Failed(), cp.Err)
	if s.Kubernetes, err = kubernetes.NewForConfig(cp.Config); err != nil {
		return err
	}
	for _, name := range namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := s.Kubernetes.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make namespace %s: %w", name, err)
		}
		if err := cp.NamespaceReady(ctx, name); err != nil {
			return err
		}
	}
	if _, err := cp.AddGPUNodes(ctx, Nodes, GPUsPerNode, gpuProduct); err != nil {
		return err
	}
	return nil
}

// Install installs the kinds of RBG and ours.
func Install(ctx context.Context, cfg *rest.Config) error {
	if err := rbgfake.Install(ctx, cfg); err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(bytes.TrimPrefix(crd.PDAutoscalers, []byte("---\n")), &definition); err != nil {
		return fmt.Errorf("definition of the PDAutoscaler: %w", err)
	}
	_, err := envtest.InstallCRDs(cfg, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{&definition}, PollInterval: 20 * time.Millisecond, MaxTime: patience})
	return err
}

// An Installation puts the autoscaler into the cluster of a stage, which holds neither its definition nor its rights yet.
type Installation interface {
	// Install returns the kubeconfig and the flags that the autoscaler is to run with. What only a machine without pods needs,
	// such as addresses of its own, is added to the flags. The right to read decisions belongs to the ServiceAccount Reader in
	// Namespace.
	Install(ctx context.Context, s *Stage) (kubeconfig string, args []string, err error)
	// Resource is the PDAutoscaler to make in place of the stage's own, whose times are short.
	Resource(own *v1alpha1.PDAutoscaler) (*v1alpha1.PDAutoscaler, error)
}

// Reader is the ServiceAccount that reads decisions.
const Reader = "decision-reader"

// install gives the autoscaler's ServiceAccount just what config/rbac says, and the reader the right to read decisions.
func (s *Stage) install(ctx context.Context) (kubeconfig string, args []string, err error) {
	rbac := filepath.Join(s.options.Repository, "config", "rbac")
	if _, err := os.Stat(rbac); err != nil {
		return "", nil, fmt.Errorf("the autoscaler's rights are read from %s: %w; run this in the root of the repository", rbac, err)
	}
	if _, err := s.ControlPlane.Kubectl(ctx, "apply", "--server-side", "-k", rbac); err != nil {
		return "", nil, err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Reader},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "pdautoscaler-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: Reader}},
	}
	if _, err := s.Kubernetes.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return "", nil, err
	}
	kubeconfig, err = s.autoscalerKubeconfig()
	return kubeconfig, []string{"--namespaces", Namespace}, err
}

// makeReader makes the ServiceAccount that reads decisions, and its token.
func (s *Stage) makeReader(ctx context.Context) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: Reader}}
	if _, err := s.Kubernetes.CoreV1().ServiceAccounts(Namespace).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return err
	}
	token, err := s.Kubernetes.CoreV1().ServiceAccounts(Namespace).CreateToken(ctx, Reader, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("a token to read decisions with: %w", err)
	}
	s.readerToken = token.Status.Token
	return nil
}

// autoscalerKubeconfig is that of the autoscaler's ServiceAccount.
func (s *Stage) autoscalerKubeconfig() (string, error) {
	return s.ControlPlane.UserKubeconfig("system:serviceaccount:"+systemNamespace+":pdautoscaler",
		"system:serviceaccounts", "system:serviceaccounts:"+systemNamespace)
}
