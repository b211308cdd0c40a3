package natsqueue

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServerOptions are the choices of an embedded server. The zero value serves on
// a free port with a folder of its own.
type ServerOptions struct {
	// Port to listen on; 0 takes a free one. A server that is to come back under
	// its old address needs the same port and StoreDir.
	Port int
	// StoreDir holds the streams; empty is a temporary folder that Stop removes.
	StoreDir string
	// Monitor serves /jsz and /varz on a free port.
	Monitor bool
}

// Server is a NATS server with JetStream inside this process.
type Server struct {
	nats    *server.Server
	ownsDir string
}

const startTimeout = time.Minute

// StartServer starts a server on 127.0.0.1 and waits until clients can connect.
func StartServer(o ServerOptions) (*Server, error) {
	s := &Server{}
	if o.StoreDir == "" {
		dir, err := os.MkdirTemp("", "pdautoscaler-nats-")
		if err != nil {
			return nil, fmt.Errorf("natsqueue: no folder for the streams: %w", err)
		}
		o.StoreDir, s.ownsDir = dir, dir
	}
	options := &server.Options{
		ServerName: "emulator",
		Host:       "127.0.0.1",
		Port:       o.Port,
		JetStream:  true,
		StoreDir:   o.StoreDir,
		NoLog:      true,
		NoSigs:     true,
	}
	if o.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	if o.Monitor {
		options.HTTPHost, options.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	}
	var err error
	if s.nats, err = server.NewServer(options); err != nil {
		return nil, errors.Join(fmt.Errorf("natsqueue: %w", err), s.removeDir())
	}
	s.nats.Start()
	if !s.nats.ReadyForConnections(startTimeout) || !s.nats.JetStreamEnabled() {
		_ = s.Stop()
		return nil, fmt.Errorf("natsqueue: the NATS server on 127.0.0.1:%d (0 is any) did not get ready in %v; is the port taken?", o.Port, startTimeout)
	}
	return s, nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.nats.ClientURL() }

// MonitorURL is where /jsz and /varz are; empty without a monitor.
func (s *Server) MonitorURL() string {
	if addr := s.nats.MonitorAddr(); addr != nil {
		return "http://" + addr.String()
	}
	return ""
}

// Stop ends the server and waits until it is gone.
func (s *Server) Stop() error {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return s.removeDir()
}

func (s *Server) removeDir() error {
	if s.ownsDir == "" {
		return nil
	}
	return os.RemoveAll(s.ownsDir)
}
