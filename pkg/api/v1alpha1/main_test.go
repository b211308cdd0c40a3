package v1alpha1_test

import (
	"context"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
)

const crdDir = "../../../config/crd/bases"

// The definition is tested where it works: in a real API server. Nothing else
// of a control plane is needed.
func TestMain(m *testing.M) {
	os.Exit(controlplane.Main(m, controlplane.Options{
		Components: []controlplane.Component{controlplane.Etcd, controlplane.APIServer},
		BeforeControllers: func(_ context.Context, config *rest.Config) error {
			_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{crdDir}, ErrorIfPathMissing: true, MaxTime: 3 * time.Minute})
			return err
		},
	}))
}
