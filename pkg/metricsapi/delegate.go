package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	apiserverapi "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
)

// The ConfigMap in which an API server publishes how its aggregation layer is
// known: by which certificate authority, in which headers it names the caller,
// and which authority signs the certificates of users.
const (
	trustNamespace = metav1.NamespaceSystem
	trustName      = "extension-apiserver-authentication"
)

// How long what the API server said about a token or a permission is believed.
const delegationTTL = 10 * time.Second

// retries of a question to the API server.
var retries = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}

// delegate makes a server ask the cluster's API server who its callers are and
// what they may read. It fails where the trust ConfigMap cannot be read: without
// it nobody could be told from the front proxy.
func delegate(ctx context.Context, config *genericapiserver.Config, client kubernetes.Interface) error {
	clients, err := dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", trustNamespace, trustName, "client-ca-file", client)
	if err != nil {
		return err
	}
	proxy, err := newFrontProxy(client)
	if err != nil {
		return err
	}
	if err := proxy.RunOnce(ctx); err != nil {
		return fmt.Errorf("whom to trust as front proxy could not be read from ConfigMap %s/%s: %w", trustNamespace, trustName, err)
	}
	headers := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   proxy,
		UsernameHeaders:     headerrequest.StringSliceProviderFunc(proxy.UsernameHeaders),
		UIDHeaders:          headerrequest.StringSliceProviderFunc(proxy.UIDHeaders),
		GroupHeaders:        headerrequest.StringSliceProviderFunc(proxy.GroupHeaders),
		ExtraHeaderPrefixes: headerrequest.StringSliceProviderFunc(proxy.ExtraHeaderPrefixes),
		AllowedClientNames:  headerrequest.StringSliceProviderFunc(proxy.AllowedClientNames),
	}
	config.Authentication.RequestHeaderConfig = headers
	for _, ca := range []dynamiccertificates.CAContentProvider{clients, proxy} {
		if err := config.Authentication.ApplyClientCert(ca, config.SecureServing); err != nil {
			return err
		}
	}
	config.Authentication.Authenticator, _, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		// Whoever shows nothing is system:anonymous, who may read nothing but what a binding allows them.
		Anonymous:                          &apiserverapi.AnonymousAuthConfig{Enabled: true},
		TokenAccessReviewClient:            client.AuthenticationV1(),
		TokenAccessReviewTimeout:           delegationTTL,
		WebhookRetryBackoff:                &retries,
		CacheTTL:                           delegationTTL,
		ClientCertificateCAContentProvider: clients,
		RequestHeaderConfig:                headers,
	}.New()
	if err != nil {
		return err
	}
	config.Authorization.Authorizer, err = authorization(client)
	return err
}

// authorization lets everyone ask whether the server lives, and asks the API
// server about all else.
func authorization(client kubernetes.Interface) (authorizer.Authorizer, error) {
	probes, err := path.NewAuthorizer([]string{"/healthz", "/readyz", "/livez"})
	if err != nil {
		return nil, err
	}
	asked, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             delegationTTL,
		DenyCacheTTL:              delegationTTL,
		WebhookRetryBackoff:       &retries,
	}.New()
	if err != nil {
		return nil, err
	}
	return union.New(
		union.NamedAuthorizer{AuthorizerName: "probes", Authorizer: probes},
		union.NamedAuthorizer{AuthorizerName: "SubjectAccessReview", Authorizer: asked},
	)
}

// frontProxy follows what the API server publishes about its aggregation layer.
type frontProxy struct {
	*dynamiccertificates.ConfigMapCAController
	*headerrequest.RequestHeaderAuthRequestController
}

func newFrontProxy(client kubernetes.Interface) (frontProxy, error) {
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy-ca", trustNamespace, trustName, "requestheader-client-ca-file", client)
	if err != nil {
		return frontProxy{}, err
	}
	return frontProxy{ca, headerrequest.NewRequestHeaderAuthRequestController(trustName, trustNamespace, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")}, nil
}

// RunOnce reads it now.
func (p frontProxy) RunOnce(ctx context.Context) error {
	return errors.Join(p.ConfigMapCAController.RunOnce(ctx), p.RequestHeaderAuthRequestController.RunOnce(ctx))
}

// Run follows it until the context ends.
func (p frontProxy) Run(ctx context.Context, workers int) {
	go p.ConfigMapCAController.Run(ctx, workers)
	p.RequestHeaderAuthRequestController.Run(ctx, workers)
}
