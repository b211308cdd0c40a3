package metricsapi_test

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/stage"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	os.Exit(controlplane.Main(m, controlplane.Options{
		BeforeControllers: stage.Install,
		AuditLog:          true,
		ExtraArgs:         map[controlplane.Component][]string{controlplane.ControllerManager: {"--horizontal-pod-autoscaler-sync-period=500ms"}},
	}))
}
