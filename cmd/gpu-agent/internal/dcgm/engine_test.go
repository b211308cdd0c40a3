//go:build cgo && linux

package dcgm

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/agent"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
	"github.com/pdautoscaler/pdautoscaler/test/dcgmfake"
)

func TestMain(m *testing.M) { os.Exit(dcgmfake.Main(m)) }

var _ agent.Engine = (*Engine)(nil)

// showing returns a node that the stand-in for DCGM shows.
func showing(t *testing.T, scenario string) *dcgmfake.Node {
	t.Helper()
	dcgmfake.Need(t)
	return dcgmfake.NewNode(t, scenario)
}

// at returns a connected engine.
func at(t *testing.T, address string) *Engine {
	t.Helper()
	a, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	e := New(a)
	t.Cleanup(e.Disconnect)
	if err := e.Connect(); err != nil {
		t.Fatal(err)
	}
	return e
}

var twoGPUs = []gpu.Entity{{Kind: gpu.WholeGPU, ID: 0}, {Kind: gpu.WholeGPU, ID: 1}}

// one reads one value of one entity.
func one(t *testing.T, e *Engine, entity gpu.Entity, field gpu.FieldID) gpu.Value {
	t.Helper()
	values, err := e.Latest([]gpu.Entity{entity}, []gpu.FieldID{field})
	if err != nil || len(values) != 1 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	return values[0]
}

func wantReason(t *testing.T, err error, want condition.Reason) {
	t.Helper()
	got, ok := err.(*agent.Error) //nolint:errorlint // the engine's own errors are not wrapped
	if !ok || got.Reason != want || strings.Contains(got.Text, "\n") {
		t.Errorf("error %v (%+v), want the reason %s", err, got, want)
	}
}

func TestWaysToConnect(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	for address, want := range map[string]string{
		"embedded":              "connect embedded mode=1",
		"tcp://10.0.0.1:5555":   "connect 10.0.0.1:5555 socket=0",
		"unix:///run/dcgm.sock": "connect /run/dcgm.sock socket=1",
	} {
		at(t, address).Disconnect()
		if calls := node.Calls(); !slices.Contains(calls, want) {
			t.Errorf("%s: calls %q, want %q", address, calls, want)
		}
	}
}

func TestDevices(t *testing.T) {
	showing(t, dcgmfake.TwoH200)
	got, err := at(t, "embedded").Devices()
	want := []gpu.Device{
		{Entity: twoGPUs[0], Index: 0, UUID: "GPU-aaaaaaaa-0000-0000-0000-000000000000", Model: "NVIDIA H200", BusID: "00000000:19:00.0"},
		{Entity: twoGPUs[1], Index: 1, UUID: "GPU-bbbbbbbb-0000-0000-0000-000000000000", Model: "NVIDIA H200", BusID: "00000000:3B:00.0"},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
}

// A divided GPU: pods hold its instances, whose UUIDs DCGM gives in the same
// field. A name that DCGM does not know stays empty.
func TestInstances(t *testing.T) {
	showing(t, `
gpu 0
text gpu 0 54 GPU-a
text gpu 0 50 <<<NULL>>>
instance 7 of 0 as 3
text instance 7 54 MIG-c
text instance 7 50 1g.18gb
instance 9 of 5 as 1`)
	got, err := at(t, "embedded").Devices()
	want := []gpu.Device{
		{Entity: twoGPUs[0], UUID: "GPU-a", Divided: true},
		{Entity: gpu.Entity{Kind: gpu.Instance, ID: 7}, UUID: "GPU-a", InstanceID: 3, InstanceUUID: "MIG-c", Profile: "1g.18gb"},
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
}

func TestNoGPUs(t *testing.T) {
	showing(t, "")
	if got, err := at(t, "embedded").Devices(); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestValuesAsDCGMGivesThem(t *testing.T) {
	showing(t, `
gpu 0
value gpu 0 203 i 97
value gpu 0 204 i blank+2
value gpu 0 155 d 512.5 age=3600
value gpu 0 1004 d blank+1
value gpu 0 1005 d nan
value gpu 0 252 i 5 status=-18`)
	e := at(t, "embedded")
	for set, fields := range map[gpu.Set][]gpu.FieldID{gpu.DeviceSet: {203, 204, 155, 252, 251}, gpu.ProfilingSet: {1004, 1005}} {
		if err := e.Watch(set, twoGPUs[:1], fields, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		field  gpu.FieldID
		number float64
		why    gpu.Why
	}{
		"a whole number":     {203, 97, gpu.Good},
		"blank whole number": {204, 0, gpu.NotSupported},
		"old":                {155, 0, gpu.Stale},
		"blank double":       {1004, 0, gpu.NotFound},
		"not a number":       {1005, 0, gpu.Impossible},
		"status":             {252, 0, gpu.Lost},
		"no value yet":       {251, 0, gpu.NoData},
		"nobody watches it":  {100, 0, gpu.NotWatched},
	} {
		t.Run(name, func(t *testing.T) {
			v := one(t, e, twoGPUs[0], c.field)
			if number, why := v.Number(gpu.Field{}, time.Now(), 30*time.Minute); number != c.number || why != c.why {
				t.Errorf("%s gives %v %q, want %v %q", v, number, why, c.number, c.why)
			}
		})
	}
}

// What is watched, and that nothing is left behind.
func TestWatchesAreMadeAndLetGo(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	e := at(t, "embedded")
	for range 3 { // a set's former watch is replaced
		if err := e.Watch(gpu.DeviceSet, twoGPUs, gpu.DeviceSet.IDs(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Watch(gpu.ProfilingSet, twoGPUs, gpu.Essential, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	e.Unwatch(gpu.DeviceSet)
	if v := one(t, e, twoGPUs[0], 203); v.Status != -16 {
		t.Errorf("after Unwatch: %s", v)
	}
	if v := one(t, e, twoGPUs[1], gpu.FieldTensorActive); v.Status != 0 || v.Double != 0.77 {
		t.Errorf("the other set: %s", v)
	}
	e.Disconnect()
	calls := node.Calls()
	for _, want := range []string{
		"watch entities=2 device=8 profiling=0 usec=1000000 age=0 samples=1 -> 0",
		"watch entities=2 device=0 profiling=2 usec=2000000 age=0 samples=1 -> 0",
		"disconnect lost=0 left=0",
	} {
		if !slices.Contains(calls, want) {
			t.Errorf("calls %q, want %q", calls, want)
		}
	}
}

func TestProfilingRefused(t *testing.T) {
	for code, want := range map[string]condition.Reason{
		"-33": condition.ModuleNotLoaded, "-34": condition.InUse, "-36": condition.NotSupported, "-38": condition.NotSupported, "-3": condition.CallFailed,
	} {
		node := showing(t, dcgmfake.TwoH200+"profiling "+code)
		e := at(t, "embedded")
		wantReason(t, e.Watch(gpu.ProfilingSet, twoGPUs, gpu.ProfilingSet.IDs(), time.Second), want)
		if err := e.Watch(gpu.DeviceSet, twoGPUs, gpu.DeviceSet.IDs(), time.Second); err != nil {
			t.Error(err)
		}
		e.Disconnect()
		if calls := node.Calls(); !slices.Contains(calls, "disconnect lost=0 left=0") {
			t.Errorf("something is left: %q", calls)
		}
	}
}

func TestConnectionLostAndMadeAgain(t *testing.T) {
	node := showing(t, dcgmfake.TwoH200)
	e := at(t, "tcp://127.0.0.1:5555")
	for generation := range 3 {
		if err := e.Watch(gpu.DeviceSet, twoGPUs, gpu.DeviceSet.IDs(), time.Second); err != nil {
			t.Fatal(err)
		}
		if v := one(t, e, twoGPUs[0], 203); v.Int != 100 {
			t.Fatalf("%s", v)
		}
		node.Show("engine down")
		_, err := e.Latest(twoGPUs, gpu.DeviceSet.IDs())
		wantReason(t, err, condition.ConnectionLost)
		_, err = e.Devices()
		wantReason(t, err, condition.ConnectionLost)
		wantReason(t, e.Watch(gpu.DeviceSet, twoGPUs, gpu.DeviceSet.IDs(), time.Second), condition.ConnectionLost)
		e.Disconnect()
		wantReason(t, e.Connect(), condition.Unreachable)
		node.Show(dcgmfake.TwoH200 + "generation " + string(rune('2'+generation)))
		if err := e.Connect(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every call on an engine that is not connected is an error: in the library it would end the process.
func TestNotConnected(t *testing.T) {
	showing(t, "engine down")
	e := New(Address{})
	wantReason(t, e.Connect(), condition.CallFailed)
	_, err := e.Devices()
	wantReason(t, err, condition.ConnectionLost)
	_, err = e.Latest(twoGPUs, gpu.Essential)
	wantReason(t, err, condition.ConnectionLost)
	wantReason(t, e.Watch(gpu.DeviceSet, twoGPUs, gpu.Essential, time.Second), condition.ConnectionLost)
	e.Unwatch(gpu.DeviceSet)
	e.Disconnect()
	e.Disconnect()
}
