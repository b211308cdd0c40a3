package main

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// noTime is the time of a text that says nothing of now.
var noTime time.Time

var errNoCluster = clusterError("no cluster is configured: set --kubeconfig or $KUBECONFIG")

// clusterOptions say which API server and which namespace.
type clusterOptions struct {
	kubeconfig, context, namespace string
	timeout                        time.Duration
}

func (o *clusterOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default $KUBECONFIG, ~/.kube/config, or the pod's own account)")
	cmd.Flags().StringVar(&o.context, "context", "", "context of the kubeconfig (default the current one)")
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace of the PDAutoscaler (default the context's)")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 15*time.Second, "longest wait for an answer")
}

// check refuses what no API server is asked with.
func (o *clusterOptions) check(name string) error {
	switch {
	case o.timeout <= 0:
		return usageError("--timeout is %s: allowed is a time above 0s", o.timeout)
	case o.namespace != "" && len(validation.IsDNS1123Label(o.namespace)) > 0:
		return usageError("--namespace is %q: allowed are lower case letters, digits and -, at most 63", o.namespace)
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		return usageError("NAME is %q: allowed are lower case letters, digits, - and ., at most 253", name)
	}
	return nil
}

// config reads the kubeconfig. It also fills in the namespace.
func (o *clusterOptions) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	config, err := loader.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			if o.kubeconfig != "" {
				return nil, clusterError("no cluster is configured in %s: allowed is a kubeconfig with one", o.kubeconfig)
			}
			return nil, errNoCluster
		}
		return nil, clusterError("the kubeconfig cannot be used: %w", err)
	}
	if o.namespace == "" {
		if o.namespace, _, err = loader.Namespace(); err != nil {
			return nil, clusterError("the namespace is not known: %w", err)
		}
	}
	config.Timeout = o.timeout
	config.UserAgent = "pdctl"
	return config, nil
}

// pdautoscaler reads one resource.
func (o *clusterOptions) pdautoscaler(ctx context.Context, name string) (*v1alpha1.PDAutoscaler, error) {
	if err := o.check(name); err != nil {
		return nil, err
	}
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, clusterError("the kubeconfig cannot be used: %w", err)
	}
	object, err := client.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)).Namespace(o.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, o.clusterSays(err, config.Host, "PDAutoscaler "+o.namespace+"/"+name)
	}
	pda := &v1alpha1.PDAutoscaler{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pda); err != nil {
		return nil, clusterError("PDAutoscaler %s/%s cannot be read by this pdctl: %w", o.namespace, name, err)
	}
	return pda, nil
}

// rawClient asks an API server for paths, not for objects: no type is registered.
func rawClient(config *rest.Config) (*rest.RESTClient, error) {
	raw := rest.CopyConfig(config)
	raw.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(raw)
	if err != nil {
		return nil, clusterError("the kubeconfig cannot be used: %w", err)
	}
	return client, nil
}

// clusterSays puts an API server's refusal into one sentence.
func (o *clusterOptions) clusterSays(err error, host, what string) error {
	var status apierrors.APIStatus
	switch {
	case apierrors.IsNotFound(err) && errors.As(err, &status) && (status.Status().Details == nil || status.Status().Details.Name == ""):
		return clusterError("%s does not serve %s %s/%s: install the CRD of pdautoscaler", host, v1alpha1.Resource, v1alpha1.Group, v1alpha1.Version)
	case apierrors.IsNotFound(err):
		return clusterError("%s does not exist", what)
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return clusterError("%s may not be read with this kubeconfig: %w", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		return clusterError("%s gave no answer within %s", host, o.timeout)
	case errors.As(err, &status):
		return clusterError("%s could not be read: %w", what, err)
	}
	return clusterError("%s could not be reached: %w", host, cause(err))
}

// cause takes the method and address off an error of a request: the sentence names the server itself.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
