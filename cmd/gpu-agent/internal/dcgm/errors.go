//go:build cgo && linux

package dcgm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
)

var errNotConnected = &agent.Error{Reason: condition.ConnectionLost, Text: "DCGM is not connected"}

// reasons of the codes that matter here. go-dcgm gives some errors without their
// code, so the words that DCGM 4 has for them are known too.
var reasons = []struct {
	code   int
	words  string
	reason condition.Reason
}{
	{-21, "connection invalid", condition.ConnectionLost},
	{-10, "undefined state", condition.ConnectionLost},
	{-34, "resource is in use", condition.InUse},
	{-54, "are paused", condition.InUse},
	{-6, "Feature not supported", condition.NotSupported},
	{-36, "Profiling is not supported", condition.NotSupported},
	{-38, "in a single pass", condition.NotSupported},
	{-33, "not currently loaded", condition.ModuleNotLoaded},
	{-17, "No permission", condition.NotPermitted},
	{-29, "running as non-root", condition.NotPermitted},
	{-56, "NVML doesn't exist", condition.NoGPUs},
	{-67, "GPUs are detached", condition.NoGPUs},
}

// failed is an error of DCGM in one sentence, with its cause.
func failed(what string, err error) error {
	code := 0
	if coded, ok := errors.AsType[*dcgm.Error](err); ok {
		code = int(coded.Code)
	}
	reason := condition.CallFailed
	for _, r := range reasons {
		if code == r.code || code == 0 && strings.Contains(err.Error(), r.words) {
			reason = r.reason
			break
		}
	}
	return &agent.Error{Reason: reason, Text: fmt.Sprintf("%s: %s", what, strings.TrimSpace(err.Error()))}
}
