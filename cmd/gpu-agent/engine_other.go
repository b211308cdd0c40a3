//go:build !cgo || !linux

package main

import (
	"errors"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/dcgm"
)

// newEngine says that this binary cannot reach DCGM.
func newEngine(dcgm.Address) (agent.Engine, error) {
	return nil, errors.New("this binary was built without cgo and cannot load DCGM: build it on Linux with `make gpu-agent`, which sets CGO_ENABLED=1 and needs gcc")
}
