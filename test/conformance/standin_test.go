package conformance

import (
	"context"
	"os"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/pdautoscaler/pdautoscaler/test/controlplane"
	"github.com/pdautoscaler/pdautoscaler/test/rbgfake"
)

// standIn runs the suite on the stand-in, each API version on a control plane of its own: a cluster keeps its groups in one
// version. Nothing but this file knows of the stand-in.
func standIn(t *testing.T, s settings, to *report) {
	if testing.Short() {
		t.Skip("needs a Kubernetes control plane: not under -short")
	}
	versions := s.apis
	if len(versions) == 0 {
		versions = []string{v1alpha1, v1alpha2}
	}
	for _, api := range versions {
		t.Run(api, func(t *testing.T) {
			cp, err := controlplane.Start(t.Context(), controlplane.Options{
				Progress: os.Stderr,
				BeforeControllers: func(ctx context.Context, cfg *rest.Config) error {
					return rbgfake.InstallAPI(ctx, cfg, rbgfake.API(api))
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := cp.Stop(); err != nil {
					t.Error(err)
				}
			})
			background(t, func(ctx context.Context) error {
				return rbgfake.Run(ctx, cp.Config, rbgfake.Options{API: rbgfake.API(api)})
			})
			c, err := connect(t.Context(), s, "stand-in", cp.Config)
			if err != nil {
				t.Fatal(err)
			}
			c.reserve = ownNode(cp)
			if _, err := cp.AddGPUNodes(t.Context(), 1, 0, ""); err != nil { // for the pods without GPUs
				t.Fatal(err)
			}
			c.run(t, api, to)
		})
	}
}

// background runs something until the test ends.
func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// ownNode gives every trial a node of its own.
func ownNode(cp *controlplane.ControlPlane) reserver {
	return func(ctx context.Context, t *trial, gpus int) (*place, error) {
		product := "product-of-" + t.ns
		nodes, err := cp.AddGPUNodes(ctx, 1, gpus, product)
		if err != nil {
			return nil, err
		}
		return &place{
			resource: controlplane.ResourceGPU, node: nodes[0], release: func() {},
			selector: map[string]string{controlplane.LabelGPUProduct: product},
		}, nil
	}
}
