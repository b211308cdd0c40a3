//go:build cgo && linux

package main

import (
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/dcgm"
)

// newEngine returns the binding to DCGM.
func newEngine(address dcgm.Address) (agent.Engine, error) { return dcgm.New(address), nil }
