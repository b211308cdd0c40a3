package controlplane

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// T is what ForTest needs of a *testing.T. This package is linked into programs too, so it does not import testing.
type T interface {
	Helper()
	Context() context.Context
	Skip(args ...any)
	Fatal(args ...any)
}

// shared is the control plane of one test binary.
var shared struct {
	once sync.Once
	opts *Options // given by Main, which will stop it
	cp   *ControlPlane
	err  error
}

// ForTest returns a whole control plane that all tests of the package share, and starts it for the first one. Tests keep out
// of each other's way with a namespace (NewNamespace) and nodes (AddGPUNodes, of a product of their own) for each. It skips
// the test under -short. The package must have
//
//	func TestMain(m *testing.M) { os.Exit(controlplane.Main(m, controlplane.Options{})) }
func ForTest(t T) *ControlPlane {
	t.Helper()
	if f := flag.Lookup("test.short"); f != nil && f.Value.String() == "true" {
		t.Skip("needs a Kubernetes control plane: not under -short")
	}
	if shared.opts == nil {
		t.Fatal("controlplane.ForTest: TestMain must call controlplane.Main, which stops the control plane")
	}
	shared.once.Do(func() {
		shared.cp, shared.err = Start(context.Background(), *shared.opts)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	if err := shared.cp.Err(); err != nil {
		t.Fatal(err)
	}
	return shared.cp
}

// Main runs a package's tests, then stops the control plane that they shared. The options are those of Start; without a
// Progress of its own it is told on stderr. It returns the exit status. After a failure the logs stay where it says.
func Main(m interface{ Run() int }, opts Options) int {
	if opts.Progress == nil {
		opts.Progress = os.Stderr
	}
	shared.opts = &opts
	code := m.Run()
	cp := shared.cp
	if cp == nil {
		return code
	}
	if code != 0 && cp.temporary {
		cp.temporary = false
		fmt.Fprintln(os.Stderr, "the control plane's logs are in", cp.Logs)
	}
	if err := cp.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// NewNamespace makes a namespace with a unique name that starts with prefix, in which pods can be created at once.
func (cp *ControlPlane) NewNamespace(ctx context.Context, prefix string) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	ns, err := cp.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a namespace: %w", err)
	}
	return ns.Name, cp.NamespaceReady(ctx, ns.Name)
}
