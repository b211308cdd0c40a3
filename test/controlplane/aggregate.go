package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Aggregate makes an APIService, given as the YAML of a manifest, lead to a server on this machine, and returns when it is
// available. The Service that the manifest names is made anew as a name for localhost: Endpoints may hold no loopback
// addresses. caBundle is the PEM certificate that signed the server's, which must be one for NAME.NAMESPACE.svc of that Service.
func (cp *ControlPlane) Aggregate(ctx context.Context, manifest []byte, server net.Addr, caBundle []byte) error {
	api := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(manifest, &api.Object); err != nil {
		return fmt.Errorf("read an APIService: %w", err)
	}
	name, _, _ := unstructured.NestedString(api.Object, "spec", "service", "name")
	namespace, _, _ := unstructured.NestedString(api.Object, "spec", "service", "namespace")
	address, isTCP := server.(*net.TCPAddr)
	if name == "" || namespace == "" || !isTCP {
		return fmt.Errorf("aggregate %s: it names Service %q in namespace %q, and the server is at %s: want all three", api.GetName(), name, namespace, server)
	}
	port := int64(address.Port)
	service := map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{"type": "ExternalName", "externalName": "localhost", "ports": []any{map[string]any{"port": port}}},
	}
	to := api.Object["spec"].(map[string]any)
	delete(to, "insecureSkipTLSVerify")
	to["caBundle"] = caBundle
	to["service"] = map[string]any{"name": name, "namespace": namespace, "port": port}
	for _, object := range []map[string]any{service, api.Object} {
		if err := cp.apply(ctx, object); err != nil {
			return err
		}
	}
	if _, err := cp.Kubectl(ctx, "wait", "--for=condition=Available", "apiservice/"+api.GetName(), "--timeout=5m"); err != nil {
		return err
	}
	// The part of the API server that passes requests on hears of it by a watch of its own.
	group, _, _ := unstructured.NestedString(api.Object, "spec", "group")
	version, _, _ := unstructured.NestedString(api.Object, "spec", "version")
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not there after %s", startTimeout))
	defer cancel()
	return cp.waitFor(ctx, "the API server to pass requests on to "+api.GetName(), func(ctx context.Context) error {
		return cp.client.Discovery().RESTClient().Get().AbsPath("/apis", group, version).Do(ctx).Error()
	})
}

// apply makes an object what it is given as.
func (cp *ControlPlane) apply(ctx context.Context, object map[string]any) error {
	text, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = cp.KubectlInput(ctx, string(text), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}
