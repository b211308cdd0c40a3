package rbgfake

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

//go:embed crds/*.yaml
var files embed.FS

// Install creates or updates the custom resource definitions and waits until they are served. On a control plane of package
// controlplane it belongs into Options.BeforeControllers: see there why.
func Install(ctx context.Context, cfg *rest.Config) error { return InstallAPI(ctx, cfg, V1Alpha2) }

// InstallAPI is Install for an API version: V1Alpha1 brings groups and adapters of that version alone, as RBG v0.6 did. A
// cluster has one of them.
func InstallAPI(ctx context.Context, cfg *rest.Config, api API) error {
	client, err := apiextensions.NewForConfig(cfg)
	if err != nil {
		return err
	}
	definitions, err := definitions(api)
	if err != nil {
		return err
	}
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, crd := range definitions {
		_, err := crds.Create(ctx, crd, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			var old *apiextensionsv1.CustomResourceDefinition
			if old, err = crds.Get(ctx, crd.Name, metav1.GetOptions{}); err == nil {
				crd.ResourceVersion = old.ResourceVersion
				_, err = crds.Update(ctx, crd, metav1.UpdateOptions{})
			}
		}
		if err != nil {
			return fmt.Errorf("install %s: %w", crd.Name, err)
		}
	}
	for _, crd := range definitions {
		err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
			got, err := crds.Get(ctx, crd.Name, metav1.GetOptions{})
			return err == nil && established(got), err
		})
		if err != nil {
			return fmt.Errorf("wait for %s to be served: %w", crd.Name, err)
		}
	}
	return nil
}

// definitions reads the embedded files, as an API version has them.
func definitions(api API) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	paths, err := fs.Glob(files, "crds/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []*apiextensionsv1.CustomResourceDefinition
	for _, path := range paths {
		content, err := files.ReadFile(path)
		if err != nil {
			return nil, err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, crd); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch kind := crd.Spec.Names.Kind; {
		case api == V1Alpha2, kind == podGroupKind.Kind:
		case kind == KindGroup, kind == KindAdapter:
			crd.Spec.Versions[0].Name = string(api) // the schemas leave open what differs
		default:
			continue // not of that age
		}
		out = append(out, crd)
	}
	return out, nil
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
