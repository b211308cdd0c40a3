package faults

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/pdautoscaler/pdautoscaler/config/crd"
	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

func TestMain(m *testing.M) {
	silence := logr.New(log.NullLogSink{})
	ctrl.SetLogger(silence)
	klog.SetLogger(silence) // faults make client-go complain all the time
	os.Exit(controlplane.Main(m, controlplane.Options{
		BeforeControllers: install,
		// Some of these do not survive an API server that is away.
		Revive: []controlplane.Component{controlplane.ControllerManager, controlplane.Scheduler, controlplane.Kwok},
	}))
}

// install installs the kinds of RBG and ours.
func install(ctx context.Context, config *rest.Config) error {
	if err := rbgfake.Install(ctx, config); err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(bytes.TrimPrefix(crd.PDAutoscalers, []byte("---\n")), &definition); err != nil {
		return err
	}
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{&definition}, PollInterval: 20 * time.Millisecond, MaxTime: patience})
	return err
}
