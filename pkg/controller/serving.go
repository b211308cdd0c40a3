package controller

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	certutil "k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"

	"github.com/pdautoscaler/pdautoscaler/pkg/live"
)

// The files of a directory of certificates, as Kubernetes names them in a Secret of type kubernetes.io/tls.
const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
)

// certificate gives a served port its certificate: that of a directory, read again when it changes, or one that is made now,
// which nobody can know and which still keeps what is sent from being read on the way.
type certificate struct {
	get     func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	watcher *certwatcher.CertWatcher // nil for one that was made
}

// newCertificate fails for a directory without a usable pair: to serve another certificate than the one that was meant is
// worse than not to start.
func newCertificate(flag, dir string) (certificate, error) {
	if dir != "" {
		w, err := certwatcher.New(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
		if err != nil {
			return certificate{}, fmt.Errorf("%s is %s: want %s and %s in it, a certificate and its key in PEM: %w", flag, dir, certFile, keyFile, err)
		}
		return certificate{w.GetCertificate, w}, nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "pdautoscaler"
	}
	cert, key, err := certutil.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, []string{"localhost"})
	if err != nil {
		return certificate{}, fmt.Errorf("no serving certificate could be made: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return certificate{}, fmt.Errorf("no serving certificate could be made: %w", err)
	}
	return certificate{get: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }}, nil
}

// use sets what a served port speaks. HTTP/2 is left out: it serves no purpose here and has been a way to wear servers down.
func (c certificate) use(t *tls.Config) {
	t.MinVersion, t.NextProtos, t.GetCertificate = tls.VersionTLS12, []string{"http/1.1"}, c.get
}

// watch makes a manager read the files again when they change.
func (c certificate) watch(mgr manager.Manager) error {
	if c.watcher == nil {
		return nil
	}
	return mgr.Add(everyReplica{c.watcher})
}

// pageServer serves the page on every replica: those that stand by say so.
type pageServer struct {
	listener net.Listener
	handler  http.Handler
}

// addPage makes the server of the page and adds it to a manager.
func (o Options) addPage(mgr manager.Manager, board *live.Board) error {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", o.PageAddress)
	if err != nil {
		return fmt.Errorf("the page cannot be served on %q: %w", o.PageAddress, err)
	}
	nobody := func() string {
		select {
		case <-mgr.Elected():
			return "No PDAutoscaler was looked at yet: there is none in the namespaces of this controller, or it has only just started."
		default:
			return "This replica of the controller stands by. What is seen and decided is shown by the one that holds the lease " + LeaderElectionID + "."
		}
	}
	handler := board.Handler(live.Options{Nobody: nobody, SignedIn: !o.PageInsecure})
	if !o.PageInsecure {
		if handler, listener, err = o.securePage(mgr, handler, listener); err != nil {
			return err
		}
	}
	return mgr.Add(&pageServer{listener, handler})
}

// securePage puts the page behind TLS and the API server's word on who asks and what they may get.
func (o Options) securePage(mgr manager.Manager, handler http.Handler, listener net.Listener) (http.Handler, net.Listener, error) {
	cert, err := newCertificate("the directory of the page's certificate", o.PageCertDir)
	if err != nil {
		return nil, nil, err
	}
	filter, err := filters.WithAuthenticationAndAuthorization(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, nil, fmt.Errorf("the page cannot ask the API server who may see it: %w", err)
	}
	if handler, err = filter(ctrl.Log.WithName("page"), handler); err != nil {
		return nil, nil, err
	}
	c := &tls.Config{}
	cert.use(c)
	return live.SignIn(handler), tls.NewListener(listener, c), cert.watch(mgr)
}

// NeedLeaderElection is false: every replica answers.
func (*pageServer) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (s *pageServer) Start(ctx context.Context) error {
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 90 * time.Second, MaxHeaderBytes: 64 << 10}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(grace) // what still reads after that is cut off
	}()
	if err := server.Serve(s.listener); err != nil && err != http.ErrServerClosed {
		return fmt.Errorf("the page stopped: %w", err)
	}
	<-stopped
	return nil
}
