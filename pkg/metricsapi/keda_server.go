package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
)

// ScalerOptions say how KEDA's external scaler is served.
type ScalerOptions struct {
	// Address is host:port.
	Address string
	// CertDir holds tls.crt and tls.key. With a ca.crt in it as well, only those
	// are answered who show a certificate that it signed.
	CertDir string
	// Plaintext serves without TLS, to everyone who can connect. On an address
	// that is not loopback it has to be asked for.
	Plaintext bool
}

// ScalerServer is KEDA's external scaler over gRPC.
type ScalerServer struct {
	listener net.Listener
	server   *grpc.Server
	stopping chan struct{}
}

// NewScalerServer checks the options and listens. Nothing is answered before Start.
func NewScalerServer(o ScalerOptions, plans *Plans) (*ScalerServer, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	options, err := o.transport()
	if err != nil {
		return nil, err
	}
	listener, err := listen(o.Address)
	if err != nil {
		return nil, fmt.Errorf("the KEDA scaler cannot listen on %q: %w", o.Address, err)
	}
	s := &ScalerServer{listener: listener, server: grpc.NewServer(options...), stopping: make(chan struct{})}
	externalscaler.RegisterExternalScalerServer(s.server, &scaler{plans: plans, changes: plans.changes, stopping: s.stopping})
	return s, nil
}

// Check refuses what cannot be meant.
func (o ScalerOptions) Check() error {
	switch {
	case o.CertDir != "" && o.Plaintext:
		return errors.New("the KEDA scaler has a certificate directory and is to speak plain text: allowed is one of both")
	case o.CertDir != "":
		return checkCertDir("the directory of the KEDA scaler's certificate", o.CertDir)
	case !o.Plaintext && !isLoopback(o.Address):
		return fmt.Errorf("the KEDA scaler's address is %q and it has no certificate directory: without TLS only a loopback address is allowed, or plain text where it is asked for", o.Address)
	}
	return nil
}

// helloWithin is how long a peer may take to say who it is. A server that stops
// waits for it as long, and with it the lease for the next leader: gRPC's own two
// minutes are longer than a manager waits.
const helloWithin = 5 * time.Second

func (o ScalerOptions) transport() ([]grpc.ServerOption, error) {
	// A stream lives as long as its ScaledObject; a peer that is gone is noticed.
	options := []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.ConnectionTimeout(helloWithin),
	}
	if o.CertDir == "" {
		return options, nil
	}
	config, err := dirTLS(o.CertDir)
	if err != nil {
		return nil, fmt.Errorf("the KEDA scaler's certificates: %w", err)
	}
	return append(options, grpc.Creds(credentials.NewTLS(config))), nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Addr is where the server listens.
func (s *ScalerServer) Addr() net.Addr { return s.listener.Addr() }

// NeedLeaderElection is false: every replica answers.
func (*ScalerServer) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (s *ScalerServer) Start(ctx context.Context) error {
	go func() {
		<-ctx.Done()
		close(s.stopping)
		s.server.GracefulStop()
	}()
	if err := s.server.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("the KEDA scaler stopped: %w", err)
	}
	return nil
}

// String names the server in the manager's log.
func (s *ScalerServer) String() string {
	return "KEDA external scaler on " + s.listener.Addr().String()
}
