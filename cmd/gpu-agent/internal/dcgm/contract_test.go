//go:build cgo && linux

package dcgm

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/test/dcgmfake"
)

func TestContractOfTheStandIn(t *testing.T) {
	showing(t, dcgmfake.TwoH200)
	contract(t, "embedded")
}

// On a GPU node with DCGM: PDAUTOSCALER_REAL_DCGM=embedded (or an address) go test -v -run Contract ./cmd/gpu-agent/internal/dcgm
func TestContractOfTheRealLibrary(t *testing.T) {
	address := os.Getenv(dcgmfake.Real)
	if address == "" {
		t.Skipf("%s is not set: it names the DCGM of this machine, embedded or tcp://host:port", dcgmfake.Real)
	}
	contract(t, address)
}

// contract is what the agent relies on, whatever the library.
func contract(t *testing.T, address string) {
	e := at(t, address)
	devices, err := e.Devices()
	if err != nil || len(devices) == 0 {
		t.Fatalf("devices %v, %v", devices, err)
	}
	first := devices[0]
	if !strings.HasPrefix(first.UUID, "GPU-") || first.Model == "" {
		t.Errorf("%+v has no UUID or no model", first)
	}
	entities := []gpu.Entity{first.Entity}
	if err := e.Watch(gpu.DeviceSet, entities, gpu.DeviceSet.IDs(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	fields := slices.Clone(gpu.DeviceSet.Fields())
	if err := e.Watch(gpu.ProfilingSet, entities, gpu.ProfilingSet.IDs(), 100*time.Millisecond); err != nil {
		t.Logf("no profiling: %v (%s)", err, condition.ProfilingFields)
	} else {
		fields = append(fields, gpu.ProfilingSet.Fields()...)
	}
	good := map[gpu.FieldID]float64{}
	deadline := time.Now().Add(2 * time.Minute)
	for done := false; !done && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, f := range fields {
			if number, why := one(t, e, first.Entity, f.ID).Number(f, time.Now(), time.Second); why == gpu.Good {
				good[f.ID] = number
			}
		}
		_, busy := good[203]
		_, tensor := good[gpu.FieldTensorActive]
		done = busy && (tensor || len(fields) == len(gpu.DeviceFields))
	}
	for _, f := range fields {
		number, ok := good[f.ID]
		t.Logf("%s = %v (read: %t)", f.Name, number, ok)
	}
	if _, ok := good[203]; !ok {
		t.Errorf("field 203 has no value: %s", one(t, e, first.Entity, 203))
	}
	e.Unwatch(gpu.DeviceSet)
	e.Disconnect()
	if err := e.Connect(); err != nil {
		t.Fatalf("a second time: %v", err)
	}
}
