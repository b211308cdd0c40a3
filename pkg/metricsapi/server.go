package metricsapi

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	openapicore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	openapicustom "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	openapiexternal "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// Groups of the aggregated API.
const (
	GroupExternal = "external"
	GroupCustom   = "custom"
)

// ServerOptions say how the aggregated API is served.
type ServerOptions struct {
	// Address is host:port. It always speaks TLS.
	Address string
	// CertDir holds tls.crt and tls.key; empty is a certificate that is made at the start.
	CertDir string
	// Groups to serve: GroupExternal, GroupCustom. A cluster has one server of
	// each; KEDA brings its own of the first.
	Groups []string
}

// Server is the aggregated API server of metrics.
type Server struct {
	options  ServerOptions
	plans    *Plans
	client   kubernetes.Interface
	listener net.Listener
}

// Check refuses what cannot be meant.
func (o ServerOptions) Check() error {
	if len(o.Groups) == 0 {
		return fmt.Errorf("the metrics API has no groups: allowed is %s, %s or both", GroupExternal, GroupCustom)
	}
	for _, g := range o.Groups {
		if g != GroupExternal && g != GroupCustom {
			return fmt.Errorf("the metrics API has no group %q: allowed is %s, %s or both", g, GroupExternal, GroupCustom)
		}
	}
	if o.CertDir == "" {
		return nil
	}
	return checkCertDir("the directory of the metrics API's certificate", o.CertDir)
}

// NewServer checks the options and listens. Nothing is answered before Start.
// The client asks the cluster's API server who a caller is and what it may read.
func NewServer(o ServerOptions, plans *Plans, client kubernetes.Interface) (*Server, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	listener, err := listen(o.Address)
	if err != nil {
		return nil, fmt.Errorf("the metrics API cannot listen on %q: %w", o.Address, err)
	}
	return &Server{o, plans, client, listener}, nil
}

func listen(address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp", address)
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// NeedLeaderElection is false: every replica answers.
func (*Server) NeedLeaderElection() bool { return false }

// retryAfter is when another try is made to learn whom to trust.
const retryAfter = 5 * time.Second

// Start serves until the context ends. While the API server does not say whom to
// trust nothing is served and the controller beside goes on.
func (s *Server) Start(ctx context.Context) error {
	var server *apiserver.CustomMetricsAdapterServer
	err := wait.PollUntilContextCancel(ctx, retryAfter, true, func(ctx context.Context) (done bool, err error) {
		if server, err = s.build(ctx); err != nil && ctx.Err() == nil {
			log.Log.WithName("metrics-api").Error(err, "the metrics API cannot be served yet", "retryAfter", retryAfter)
		}
		return err == nil, nil
	})
	if err != nil { // the context has ended
		return s.listener.Close()
	}
	return server.GenericAPIServer.PrepareRun().RunWithContext(ctx)
}

// build makes the generic API server. It asks the cluster's API server whom to
// trust as front proxy, and fails where that does not answer.
func (s *Server) build(ctx context.Context) (*apiserver.CustomMetricsAdapterServer, error) {
	config := genericapiserver.NewConfig(apiserver.Codecs)
	config.EnableProfiling, config.EnableMetrics = false, false
	// Its clients are HPAs, and each waits for its own answer.
	config.ShutdownDelayDuration, config.RequestTimeout = 0, 10*time.Second
	names := openapinamer.NewDefinitionNamer(apiserver.Scheme)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(s.definitions, names)
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(s.definitions, names)
	config.OpenAPIConfig.Info.Title, config.OpenAPIV3Config.Info.Title = "pdautoscaler", "pdautoscaler"
	if err := s.serving(config); err != nil {
		return nil, err
	}
	if err := delegate(ctx, config, s.client); err != nil {
		return nil, err
	}
	var e provider.ExternalMetricsProvider
	var c provider.CustomMetricsProvider
	if slices.Contains(s.options.Groups, GroupExternal) {
		e = external{s.plans}
	}
	if slices.Contains(s.options.Groups, GroupCustom) {
		c = custom{s.plans}
	}
	return (&apiserver.Config{GenericConfig: config}).Complete(nil).New("pdautoscaler", c, e)
}

// serving sets the listener and its certificates. A generic API server wants to
// be able to call itself, for which it gets a certificate that nobody else sees.
func (s *Server) serving(config *genericapiserver.Config) error {
	cert, err := s.certificate()
	if err != nil {
		return err
	}
	selfCert, selfKey, err := selfMade(genericapiserver.LoopbackClientServerNameOverride)
	if err != nil {
		return err
	}
	self, err := dynamiccertificates.NewStaticSNICertKeyContent("loopback", selfCert, selfKey, genericapiserver.LoopbackClientServerNameOverride)
	if err != nil {
		return err
	}
	config.SecureServing = &genericapiserver.SecureServingInfo{
		Listener: s.listener, Cert: cert, SNICerts: []dynamiccertificates.SNICertKeyContentProvider{self}, MinTLSVersion: tls.VersionTLS12,
	}
	config.LoopbackClientConfig, err = config.SecureServing.NewLoopbackClientConfig(rand.Text(), selfCert)
	return err
}

// certificate is that of the directory, read again when it changes, or one made now.
func (s *Server) certificate() (dynamiccertificates.CertKeyContentProvider, error) {
	if dir := s.options.CertDir; dir != "" {
		return dynamiccertificates.NewDynamicServingContentFromFiles("serving", filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	}
	cert, key, err := selfMade("pdautoscaler")
	if err != nil {
		return nil, err
	}
	return dynamiccertificates.NewStaticCertKeyContent("self-made", cert, key)
}

func (s *Server) definitions(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
	all := openapicore.GetOpenAPIDefinitions(ref)
	if slices.Contains(s.options.Groups, GroupExternal) {
		maps.Copy(all, openapiexternal.GetOpenAPIDefinitions(ref))
	}
	if slices.Contains(s.options.Groups, GroupCustom) {
		maps.Copy(all, openapicustom.GetOpenAPIDefinitions(ref))
	}
	return all
}

// String names the server in the manager's log.
func (s *Server) String() string {
	return "metrics API (" + strings.Join(s.options.Groups, ", ") + ") on " + s.listener.Addr().String()
}
