package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/dcgm"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/pods"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/serve"
)

// goodbye is how long DCGM is given to let go at the end: a call that hangs must not hold the process.
const goodbye = 5 * time.Second

// run puts the parts together and works until the context ends. Only what a
// person must correct is an error; DCGM and the kubelet may come later.
func (s *settings) run(ctx context.Context, stderr io.Writer) error {
	if err := s.check(); err != nil {
		return err
	}
	log, err := s.logger(stderr)
	if err != nil {
		return err
	}
	address, err := dcgm.ParseAddress(s.dcgm)
	if err != nil {
		return fmt.Errorf("--dcgm: %w", err)
	}
	engine, err := newEngine(address)
	if err != nil {
		return err
	}
	secure, err := s.tls.Config()
	if err != nil {
		return err
	}

	board := condition.NewBoard(log, time.Now())
	reader := agent.New(agent.Config{Interval: s.interval, MaxAge: s.maxAge}, engine, board, log, time.Now())
	view := &serve.View{
		Node: s.node, Names: gpu.Generation(s.names), MaxAge: s.maxAge, Timestamps: s.timestamps, Version: version,
		Sample: reader.Sample, Progress: reader.Progress, Board: board, Clock: time.Now,
	}
	loops := []func(context.Context){reader.Run}
	if s.podResources == "" {
		board.Set(time.Now(), condition.Pods, true, condition.SwitchedOff, "the kubelet is not asked: GPUs are served without their pods")
	} else {
		watcher, err := pods.New(pods.Config{Socket: s.podResources, Interval: s.podsInterval, Resources: s.resourceNames}, board)
		if err != nil {
			return fmt.Errorf("--pod-resources: %w", err)
		}
		view.Owner = watcher.Owner
		loops = append(loops, watcher.Run)
	}
	handler, err := view.Handler(s.tls.ClientCAFile != "", log)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("--listen %s cannot be used: %w", s.listen, err)
	}
	log.Info("gpu-agent serves", "address", listener.Addr().String(), "tls", secure != nil, "dcgm", engine.Describe(), "node", s.node, "version", versionText())
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for _, loop := range loops {
		running.Go(func() { loop(ctx) })
	}
	err = serve.Run(ctx, listener, handler, log)
	cancel()
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(goodbye):
		log.Warn("a call to DCGM hangs: the agent ends without letting go of it")
	}
	return err
}
